"""Predict: a trained network on new films. Research software, not a medical device.

python -m stages.predict FILM_OR_FOLDER... [--model adaptive] [--output predictions] [--format png,json,dicom-seg]
python -m stages.predict export [--model adaptive] [--output exported]

Films are PNG, JPEG, TIFF or DICOM (CR, DX, CT) of 8 or 16 bits, folders of them, or patterns. Each gets a folder with
probability.png, mask.png, overlay.jpg, prediction.json and, for DICOM, segmentation.dcm, all in the film's own pixels.
A film that is done is left out until it, the model or an option changes. Exit code 1: a film could not be read.
"""

import argparse
import hashlib
import sys
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from stages.common.artifacts import new_folder, read_json
from stages.common.commit import git_commit
from stages.common.dataset import load_films
from stages.common.errors import Fault
from stages.common.runs import VARIANTS
from stages.ingest.labels import Unreadable
from stages.predict.films import Film, decode, find_films
from stages.predict.model import Model, Prediction, finished, open_model, prepared, run_folders
from stages.predict.outputs import FORMATS, WARNING, facts_of, is_done, write_prediction
from stages.preprocess.chain import Frame

BATCH, THREADS = 8, 2  # films of one forward pass; threads that read and write beside it
AHEAD = 2 * BATCH  # films in memory that wait, so that ten thousand need no more than these


@dataclass
class Job:
    """A film on its way; `inputs` is None where it is done already or cannot be read."""

    name: Path
    folder: Path
    facts: dict[str, Any] | None = None
    film: Film | None = None
    frame: Frame | None = None
    inputs: np.ndarray | None = None
    problem: str = ""


def main(words: list[str]) -> int:
    if words[:1] == ["export"]:
        return export_command(words[1:])
    options = read_options(words)
    model = open_model(options.model, average=options.average, flip=options.tta)
    films = find_films(options.films)
    chosen = {"average": options.average, "tta": options.tta, "format": options.format}
    facts = facts_of(model, git_commit(), chosen)
    print(f"predict: {WARNING}", file=sys.stderr)
    failed = done = 0
    with ThreadPoolExecutor(THREADS) as pool:
        read = partial(read_film, model=model, output=options.output, facts=facts)
        for number, (job, said) in enumerate(work(pool, ahead(pool, read, films), model, options.format), start=1):
            failed, done = failed + bool(job.problem), done + (job.film is None and not job.problem)
            place = sys.stderr if job.problem else sys.stdout
            print(f"{number}/{len(films)} {job.name}: {said}", file=place, flush=True)
    skipped = f", {done} done before" if done else ""
    print(f"predict: {len(films) - failed} of {len(films)} films{skipped} -> {options.output}")
    return 1 if failed else 0


def read_options(words: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m stages.predict", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
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


def ahead(pool: ThreadPoolExecutor, read: Any, films: list[tuple[Path, Path]]) -> Iterator[Job]:
    """Films, read by threads a little before they are needed, in order."""
    waiting: deque[Future[Job]] = deque()
    todo = iter(films)
    for film in islice(todo, AHEAD):
        waiting.append(pool.submit(read, film))
    while waiting:
        yield waiting.popleft().result()
        for film in islice(todo, 1):
            waiting.append(pool.submit(read, film))


def read_film(film: tuple[Path, Path], model: Model, output: Path, facts: dict[str, Any]) -> Job:
    """Read and prepare one film, unless it is done."""
    cv2.setNumThreads(1)
    path, name = film
    job = Job(path, output / name)
    try:
        content = path.read_bytes()
        job.facts = facts | {"input_sha256": hashlib.sha256(content).hexdigest()}
        if is_done(job.folder, job.facts):
            return job
        job.film = decode(content, model.recipe["megapixels"], model.recipe["ct_window"])
        job.frame, job.inputs = prepared(job.film.pixels, model)
    except Unreadable as error:
        job.problem = error.problem.sentence(str(path))
    except Fault as error:
        job.problem = f"{path}: {error}"
    except OSError as error:
        job.problem = f"expected a readable file, found: {error.strerror}"
    return job


def work(pool: ThreadPoolExecutor, jobs: Iterable[Job], model: Model, formats: list[str]) -> Iterator[tuple[Job, str]]:
    """Each film with a line about it, in order: batches go through the network, threads write what comes out."""
    writing: deque[tuple[Job, Future[str]]] = deque()
    todo = iter(jobs)
    while batch := list(islice(todo, BATCH)):
        inputs = [job.inputs for job in batch if job.inputs is not None]
        grids: Iterator[np.ndarray] = iter(model.chances(np.stack(inputs)) if inputs else [])
        for job in batch:
            grid = next(grids) if job.inputs is not None else None
            writing.append((job, pool.submit(finish, job, grid, model, formats)))
        while len(writing) > AHEAD:
            job, said = writing.popleft()
            yield job, said.result()
    for job, said in writing:
        yield job, said.result()


def finish(job: Job, grid: np.ndarray | None, model: Model, formats: list[str]) -> str:
    """Write one film's folder; returns what to say of it."""
    if job.problem:
        return job.problem
    if grid is None or job.film is None or job.frame is None or job.inputs is None or job.facts is None:
        return "done before"
    found = finished(job.film.pixels.shape, job.frame, job.inputs, grid, model, job.film.spacing)
    with new_folder(job.folder) as out:
        problem = write_prediction(out, job.film, found, job.facts, formats)
    return described(found) + (f"; no DICOM SEG: {problem}" if problem else "")


def described(found: Prediction) -> str:
    count = len(found.regions)
    said = f"{count} region{'' if count == 1 else 's'}, highest probability {found.probability.max():.2f}"
    return said if found.familiar else f"{said}; UNFAMILIAR: unlike the films that the model was trained on"


def export_command(words: list[str]) -> int:
    from stages.predict.export import TOLERANCE, export

    parser = argparse.ArgumentParser(prog="python -m stages.predict export", description="A model as ONNX.")
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
    except Fault as fault:
        sys.exit(f"predict: {fault}")
    except KeyboardInterrupt:
        sys.exit("predict: interrupted; films that are done stay, run it again to go on")
