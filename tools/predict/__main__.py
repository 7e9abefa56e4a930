"""Predict: a trained network on new films. Research software, not a medical device.

python -m tools.predict FILM_OR_FOLDER... [--model adaptive] [--output predictions] [--format png,json,dicom-seg]
python -m tools.predict export [--model adaptive] [--output exported]

Films are PNG, JPEG, TIFF or DICOM (CR, DX, CT) of 8 or 16 bits, folders of them, or patterns. Each gets a folder with
probability.png, mask.png, overlay.jpg, prediction.json and, for DICOM, segmentation.dcm, all in the film's own pixels.
A film that is done is left out until it, the model or an option changes. Exit code 1: a film could not be read.
"""

import argparse
import hashlib
import sys
from collections import Counter, deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, Literal

import cv2

from stages.common.core.errors import UserError
from stages.common.core.files import new_folder, read_json
from stages.common.core.git import git_commit
from stages.common.core.parallel import count_workers
from stages.common.data.dataset import load_films
from stages.common.data.run_id import VARIANTS
from stages.ingest.problems import Unreadable
from tools.predict.films import decode, find_films
from tools.predict.model import Model, Prediction, open_model, predict, run_folders
from tools.predict.outputs import FORMATS, WARNING, facts_of, is_done, write_prediction

AHEAD = 4  # films in memory for each worker, so that ten thousand need no more than these


@dataclass(frozen=True)
class PredictionResult:
    """What became of a film, and what is said about it."""

    path: Path
    said: str
    how: Literal["predicted", "done before", "failed"]


Named = tuple[Path, Path]  # a film, and where its folder lies below the output
Work = Callable[[Named], PredictionResult]


def main(words: list[str]) -> int:
    if words[:1] == ["export"]:
        return export_command(words[1:])
    options = read_options(words)
    model = open_model(options.model, average=options.average, flip=options.tta, threads=1)
    films = find_films(options.films)
    chosen = {"average": options.average, "tta": options.tta, "format": options.format}
    facts = facts_of(model, git_commit(), chosen)
    print(f"predict: {WARNING}", file=sys.stderr)
    counts = Counter[str]()
    # Each film goes all the way by itself on one core: what is found does not depend on the films beside it, no core
    # waits for another, and a folder is done as fast as by batches that are each spread over all cores.
    with ThreadPoolExecutor(count_workers()) as pool:
        work = partial(predict_film, model=model, output=options.output, facts=facts, formats=options.format)
        for number, outcome in enumerate(in_order(pool, work, films), start=1):
            counts[outcome.how] += 1
            place = sys.stderr if outcome.how == "failed" else sys.stdout
            print(f"{number}/{len(films)} {outcome.path}: {outcome.said}", file=place, flush=True)
    skipped = f", {counts['done before']} done before" if counts["done before"] else ""
    print(f"predict: {len(films) - counts['failed']} of {len(films)} films{skipped} -> {options.output}")
    return 1 if counts["failed"] else 0


def read_options(words: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tools.predict", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("films", nargs="+", help="files, folders, patterns")
    parser.add_argument("--model", default="adaptive", help="adaptive, baseline, a run below models/, an export")
    parser.add_argument("--output", type=Path, default=Path("predictions"), help="folder to write to")
    parser.add_argument("--format", default="png,json,dicom-seg", help=f"some of {','.join(FORMATS)}")
    parser.add_argument("--average", action="store_true", help="average over all seeds and folds: each costs a pass")
    parser.add_argument("--tta", action="store_true", help="average over the film and its mirror image: costs 2 passes")
    options = parser.parse_args(words)
    options.format = sorted(set(options.format.split(",")))
    if not set(options.format) <= set(FORMATS):
        parser.error(f"--format: expected some of {','.join(FORMATS)}, found {','.join(options.format)}")
    return options


def in_order(pool: ThreadPoolExecutor, work: Work, films: list[Named]) -> Iterator[PredictionResult]:
    """Films by workers of the pool, a few ahead of what is asked for."""
    todo = iter(films)
    waiting = deque(pool.submit(work, film) for film in islice(todo, AHEAD * count_workers()))
    while waiting:
        yield waiting.popleft().result()
        waiting.extend(pool.submit(work, film) for film in islice(todo, 1))


def predict_film(
    film: Named, model: Model, output: Path, facts: dict[str, Any], formats: list[str]
) -> PredictionResult:
    """Read a film, have the network look at it and write its folder, unless it is done or no film."""
    cv2.setNumThreads(1)
    path, folder = film[0], output / film[1]
    try:
        content = path.read_bytes()
        facts = facts | {"input_sha256": hashlib.sha256(content).hexdigest()}
        if is_done(folder, facts):
            return PredictionResult(path, "done before", "done before")
        decoded = decode(content, model.recipe["megapixels"], model.recipe["ct_window"])
        found = predict(decoded.pixels, model, decoded.spacing)
    except Unreadable as error:
        return PredictionResult(path, error.problem.sentence(str(path)), "failed")
    except UserError as error:
        return PredictionResult(path, f"{path}: {error}", "failed")
    except OSError as error:
        return PredictionResult(path, f"expected a readable file, found: {error.strerror}", "failed")
    with new_folder(folder) as out:
        problem = write_prediction(out, decoded, found, facts, formats)
    return PredictionResult(path, summary(found) + (f"; no DICOM SEG: {problem}" if problem else ""), "predicted")


def summary(found: Prediction) -> str:
    count = len(found.regions)
    said = f"{count} region{'' if count == 1 else 's'}, highest probability {found.probability.max():.2f}"
    return said if found.familiar else f"{said}; UNFAMILIAR: unlike the films that the model was trained on"


def export_command(words: list[str]) -> int:
    from tools.predict.export import TOLERANCE, export

    parser = argparse.ArgumentParser(prog="python -m tools.predict export", description="A model as ONNX.")
    parser.add_argument("--model", default="adaptive", help="adaptive, baseline, or a run below models/")
    parser.add_argument("--output", type=Path, default=Path("exported"), help="folder to write to")
    options = parser.parse_args(words)
    folder = run_folders(options.model, Path())[0] if options.model in VARIANTS else Path(options.model)
    trained = read_json(folder / "model.json")
    films = load_films(Path("data/dataset"), "test", trained["unet"]["input"], trained["fold"])
    apart = export(folder, options.output, films.inputs)
    size = (options.output / "model.onnx").stat().st_size / 1e6
    print(
        f"predict export: {size:.0f} MB, probabilities within {apart:.1g} of torch on {len(films.ids)} test films "
        f"(allowed {TOLERANCE:g}) -> {options.output}"
    )
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except UserError as fault:
        sys.exit(f"predict: {fault}")
    except KeyboardInterrupt:
        sys.exit("predict: interrupted; films that are done stay, run it again to go on")
