"""Predict many films: each by a worker, its folder written whole, its outcome printed in a line."""

import hashlib
import os
import sys
import warnings
from collections import Counter, deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Literal, TextIO

import cv2

from stages.common.core.busy import busy
from stages.common.core.errors import UserError, first_few
from stages.common.core.files import new_folder, write_bytes
from stages.common.core.git import git_commit
from stages.common.core.hashing import sha256
from stages.common.core.parallel import count_workers
from stages.common.core.printed import one_line
from stages.ingest.file_access import printable, read_file
from stages.ingest.problems import EXPORT_AGAIN, Unreadable, in_words
from stages.ingest.silence import NO_STDERR
from tools.predict import TOOLS
from tools.predict.annotations import picture_path, refuse_odd_names, refuse_one_picture, tool_files
from tools.predict.films import (
    ANNOTATIONS,
    FILES,
    INDEX,
    PREDICTION,
    SUMMARY,
    WRITTEN,
    Named,
    decode,
    find_films,
    predicted_below,
)
from tools.predict.index import LEFT_OUT, write_pages
from tools.predict.label_next import Measure
from tools.predict.model import Model, Prediction, open_model, predict
from tools.predict.outputs import (
    WARNING,
    Facts,
    FilmFacts,
    changed_files,
    facts_of,
    film_picture,
    is_done,
    recorded_hashes,
    write_prediction,
)
from tools.predict.own_files import alone_in, require_own_files, require_own_folder

SHOWN = 5  # names of files that are left out
LONGEST = 255  # bytes of a file's name on Linux
AHEAD = 4  # films in memory for each worker, so that ten thousand need no more than these


@dataclass(frozen=True)
class PredictionResult:
    """What became of a film, and the line that is printed about it."""

    path: Path
    message: str
    how: Literal["predicted", "done before", "failed"]


Work = Callable[[Named], PredictionResult]


def predict_films(
    names: list[str],
    model: str,
    output: Path,
    formats: list[str],
    average: bool = False,
    flip: bool = False,
    measure: Measure = "uncertainty",
    accelerator: Literal["auto", "cpu"] = "auto",
) -> int:
    """Predict films and write a folder for each; returns the number of films that could not be read.

    Args:
        names: files, folders and patterns.
        model: as for `open_model`.
        output: the folder to write to.
        formats: some of FORMATS.
        average: over all seeds and folds of the variant.
        flip: average over each film and its mirror image.
        measure: by which films are ranked for labelling.
        accelerator: auto takes a GPU where there is one.
    """
    with busy("predict: loads the model"):
        network = open_model(model, average=average, flip=flip, threads=1, accelerator=accelerator)
    if measure == "disagreement" and len(network.networks) < 2:
        raise UserError("--label-next disagreement: expected several networks, found one; train more seeds, --average")
    with busy("predict: looks for films"), errors_on_one_line():
        found = find_films(names)
    films, others = found.films, found.others
    with busy("predict: looks at what is in the output"), errors_on_one_line():
        refuse_files(output, films, formats)
        if set(formats) & set(TOOLS):  # whose files hold all films below the output
            names_below = [*(name.as_posix() for _, name in films), *predicted_below(output)]
            refuse_odd_names(names_below)
            refuse_one_picture(names_below)
    if others:
        shown = first_few([one_line(str(path)) for path, _ in others], SHOWN)
        print(f"predict: {len(others)} files are no films and are left out: {shown}", file=sys.stderr)
    for kind, count in sorted(found.passed_over.items()):
        print(f"predict: {count} files {kind} are passed over", file=sys.stderr)
    facts = facts_of(network, git_commit(), {"average": average, "tta": flip, "format": formats})
    print(f"predict: {WARNING}", file=sys.stderr)
    counts, done = Counter[str](), set[str]()
    refused = {name.as_posix(): LEFT_OUT for _, name in others}
    # Each film goes all the way by itself on one core: the result does not depend on the films beside it, no core
    # waits for another, and a folder is done as fast as by batches that are each spread over all cores. A GPU computes
    # the films of several cores at once.
    with own_stderr() as errors, ThreadPoolExecutor(count_workers()) as pool:
        work = partial(predict_film, model=network, output=output, facts=facts, formats=formats)
        for number, result in enumerate(in_order(pool, work, films), start=1):
            counts[result.how] += 1
            name = films[number - 1][1].as_posix()
            if result.how == "failed":
                refused[name] = result.message
            else:
                done.add(name)
            stream = errors if result.how == "failed" else sys.stdout
            line = one_line(f"{number}/{len(films)} {result.path}: {result.message}")
            print(line, file=stream, flush=True)
    with errors_on_one_line():
        output.mkdir(parents=True, exist_ok=True)
        with alone_in(output):
            write_pages(output, refused, measure, formats, done)
    skipped = f", {counts['done before']} done before" if counts["done before"] else ""
    print(f"predict: {len(films) - counts['failed']} of {len(films)} films{skipped} -> {output}, {output / INDEX}")
    return counts["failed"]


@contextmanager
def errors_on_one_line() -> Iterator[None]:
    """Give the sentence of a UserError without line breaks, which in it are those of names.

    Raises:
        UserError: of the block.
    """
    try:
        yield
    except UserError as error:
        raise UserError(one_line(str(error))) from error


@contextmanager
def own_stderr() -> Iterator[TextIO]:
    """Standard error for what this program says, while the decoders of all its threads are silent.

    Each decoder would else silence the whole process for itself, and swallow what is said at that moment.
    """
    with ExitStack() as stack:
        stream = sys.stderr
        with suppress(OSError):  # of a stream without a descriptor
            descriptor = os.dup(stream.fileno())
            stream = stack.enter_context(os.fdopen(descriptor, "w", encoding=stream.encoding, errors=stream.errors))
        stack.enter_context(NO_STDERR)
        stack.enter_context(warnings.catch_warnings(action="ignore"))  # they quote headers; one filter for all threads
        yield stream


def refuse_files(output: Path, films: list[Named], formats: list[str]) -> None:
    """Refuse an output in which a user's files would be replaced, one of which may be the film itself.

    Args:
        output: the folder to write to.
        films: each with where its folder lies below the output.
        formats: some of FORMATS.
    Raises:
        UserError: a file lies where a folder would, or something is there that this command did not write.
    """
    if file := no_folder(output):
        raise UserError(f"--output {output}: expected a folder, found the file {file}; choose another")
    if output.is_dir():
        with alone_in(output):
            require_own_files(output, (SUMMARY, INDEX, *tool_files(formats)))
    pictured = bool(set(formats) & set(TOOLS))
    for name in (name for _, name in films if not name_problem(name, pictured)):
        if links := [folder for folder in (output / name).parents if output in folder.parents and folder.is_symlink()]:
            raise UserError(f"--output {output}: expected folders in it, found the link {links[-1]}; choose another")
        above = picture_path(output, name.as_posix()).parent
        if file := no_folder(output / name) or (no_folder(above) if pictured else None):
            raise UserError(f"--output {output}: the outputs of a film would replace the file {file}; choose another")
        require_own_folder(output / name, FILES, (output / name / PREDICTION).exists())


def name_problem(name: Path, pictured: bool) -> str:
    """Why the outputs of a film cannot have its name; blank where they can.

    Args:
        name: of its folder below the output.
        pictured: whether annotation tools get a picture of it.
    """
    if name.parts[0] in (SUMMARY, INDEX, WRITTEN, ANNOTATIONS) or PREDICTION in name.parts:
        return "expected another name, since outputs are called so; rename the film"
    # As `new_folder` and `write_bytes` call what is half-written.
    longest = [f".{name.name}-partial-1-old"]
    longest += [f".{picture_path(Path(), name.name).name}-partial-{'0' * 8}"] if pictured else []
    length, over = len(os.fsencode(name.name)), max(len(os.fsencode(text)) for text in longest) - LONGEST
    return f"expected a name of at most {length - over} bytes, found {length}; rename the film" if over > 0 else ""


def no_folder(place: Path) -> Path | None:
    """What is in the way of a folder: this place or the lowest one above it that is there, and none; else None."""
    return next((path for path in (place, *place.parents) if path.exists() and not path.is_dir()), None)


def in_order(pool: ThreadPoolExecutor, work: Work, films: list[Named]) -> Iterator[PredictionResult]:
    """Films by workers of the pool, a few ahead of what is asked for."""
    todo = iter(films)
    waiting = deque(pool.submit(work, film) for film in islice(todo, AHEAD * count_workers()))
    while waiting:
        yield waiting.popleft().result()
        waiting.extend(pool.submit(work, film) for film in islice(todo, 1))


def predict_film(film: Named, model: Model, output: Path, facts: Facts, formats: list[str]) -> PredictionResult:
    """Read a film, have the network look at it and write its folder, unless it is done or no film.

    Args:
        film: its path, and the name of its folder.
        model: in evaluation mode; threads share it.
        output: holds a folder per film.
        facts: of the model and the command.
        formats: some of FORMATS.
    """
    cv2.setNumThreads(1)
    path, folder = film[0], output / film[1]
    picture = picture_path(output, film[1].as_posix()) if set(formats) & set(TOOLS) else None
    if problem := name_problem(film[1], picture is not None):
        return PredictionResult(path, problem, "failed")
    step = "read"
    try:
        content = read_file(path, model.recipe.file_mb, "leave it out")
        film_facts: FilmFacts = {**facts, "input_sha256": hashlib.sha256(content).hexdigest()}
        if is_done(folder, film_facts) and (picture is None or picture.exists()):
            return PredictionResult(path, "done before", "done before")
        if changed := changed_files(folder):
            raise UserError(
                f"{folder / changed[0]} was changed since it was written; move {folder} elsewhere or delete it"
            )
        decoded = decode(content, model.recipe.megapixels, model.recipe.ct_window)
        drawn = film_picture(decoded) if picture else b""
        pictures = hashes_of_pictures(output, folder, picture, drawn)
        step = "segmented"
        prediction = predict(decoded.pixels, model, decoded.spacing)
    except Unreadable as error:
        return PredictionResult(path, error.problem.words, "failed")
    except UserError as error:
        return PredictionResult(path, printable(str(error)), "failed")
    except Exception as error:  # one odd film does not end the command
        return PredictionResult(path, f"it cannot be {step}: {in_words(error)}; {EXPORT_AGAIN}", "failed")
    try:
        with new_folder(folder) as out:
            problem = write_prediction(out, decoded, prediction, film_facts, formats, pictures)
            if picture:  # before the folder, which says that its picture is there
                write_bytes(picture, drawn)
    except (OSError, UserError):
        raise  # the machine's, which ends the command
    except Exception as error:  # one odd header does not end the command
        return PredictionResult(path, f"it cannot be written: {in_words(error)}; {EXPORT_AGAIN}", "failed")
    return PredictionResult(path, summary(prediction) + (f"; no DICOM SEG: {problem}" if problem else ""), "predicted")


def hashes_of_pictures(output: Path, folder: Path, picture: Path | None, drawn: bytes) -> dict[str, str]:
    """SHA-256 of what a film has outside of its folder once it is written, by name below the output.

    Args:
        output: the folder of all predictions.
        folder: of the film.
        picture: where its picture for annotation tools goes; None where none is asked for.
        drawn: the bytes of that picture.
    Raises:
        UserError: something is there that was not written for this film, or was changed since.
    """
    known = {name: digest for name, digest in recorded_hashes(folder).items() if "/" in name}
    if picture is None:
        return known
    name, digest = picture.relative_to(output).as_posix(), hashlib.sha256(drawn).hexdigest()
    is_there = picture.exists() or picture.is_symlink()
    if is_there and not (picture.is_file() and sha256(picture) in (digest, known.get(name))):
        found = "was changed since it was written" if name in known else "is none of this film's and would be replaced"
        raise UserError(f"{picture} {found}; move it elsewhere or delete it")
    return {name: digest}


def summary(prediction: Prediction) -> str:
    count = len(prediction.regions)
    sentence = f"{count} region{'' if count == 1 else 's'}, highest probability {prediction.probability.max():.2f}"
    return (
        sentence if prediction.familiar else f"{sentence}; UNFAMILIAR: unlike the films that the model was trained on"
    )
