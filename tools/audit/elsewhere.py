"""What a withdrawal names and does not remove: a user's files below the project, clones of it, queued experiments."""

import csv
from collections.abc import Iterator
from pathlib import Path

from stages.common.core.errors import UserError
from stages.common.core.hashing import sha256
from stages.common.data.layout import INBOX, PINS, WITHDRAWN_PINS
from tools.audit.check_record import covered
from tools.audit.dvc_lock import git
from tools.audit.folders import look_below
from tools.audit.own_output import json_of
from tools.audit.patient_files import PatientFiles, below, inbox_of, is_film, is_written
from tools.audit.words import Words
from tools.predict import films as predicted
from tools.temporary import temporary_folders

QUEUED = "refs/exps/celery/stash"  # where DVC keeps experiments that are queued or run
UNREAD = (".git", ".venv", ".dvc")  # of the project's folders, where a user's own files are looked for


def elsewhere(root: Path, files: PatientFiles) -> list[str]:
    """Paths of files that name the patient, or are named so, or are copies of the patient's films, and that a user put
    below the project or linked there, of the patient's predictions, and of clones of the project with such files.
    """
    found, words = {path for path in files.behind if path.exists()}, files.words
    kept = [root / PINS, root / INBOX, root / inbox_of(root)]
    users, closed = users_files(root, kept, files.outs)
    for path in users:
        try:
            if names_or_shows(files.images, words, path, path.relative_to(root)) or is_copy(path, files.hashes):
                found.add(path)
            elif path.name == predicted.PREDICTION and is_prediction(path, files.hashes):
                found |= set(of_prediction(path.parent, root))
        except PermissionError:
            closed.append(path)
    outside = [f"{below(root, path)} (cannot be opened: look for yourself)" for path in closed]
    for folder in temporary_folders():
        if any(names_or_shows(files.images, words, path, path.relative_to(folder)) for path in folder.rglob("*")):
            outside.append(str(folder))
    return [*sorted(below(root, path) for path in found), *outside]


def queued(root: Path, patients: set[str]) -> list[str]:
    """The names of queued experiments that would read the patients' films again.

    They start from the commit on which they were queued, and find the list of withdrawals that it has.
    """
    try:
        entries = git(root, "log", "-g", "--format=%H %gs", QUEUED).splitlines()
    except UserError:  # nothing was ever queued
        return []
    return sorted(entry.rpartition(":")[2] for entry in entries if not knows(root, entry.split()[0], patients))


def knows(root: Path, commit: str, patients: set[str]) -> bool:
    """Whether the list of withdrawals of a commit has all patients."""
    try:
        text = git(root, "show", f"{commit}:./{WITHDRAWN_PINS}")
    except UserError:
        return False
    return patients <= {row[0] for row in csv.reader(text.splitlines()) if row}  # as ingest reads it


def names_or_shows(images: set[str], words: Words, path: Path, name: Path) -> bool:
    """Whether a file names the patient, or is called as a film; of a prediction the folder has the film's name.

    Args:
        images: ids of the patient's films.
        words: by which a text names the patient.
        path: of the file.
        name: its path from the folder that is looked through.
    """
    return any(is_film(part, images) for part in name.parts) or words.stand_in(path, name.as_posix())


def is_copy(path: Path, hashes: set[str]) -> bool:
    """Whether a file has one of these SHA-256."""
    return path.is_file() and sha256(path) in hashes


def is_prediction(record: Path, hashes: set[str]) -> bool:
    """Whether a prediction.json is that of a film with one of these SHA-256."""
    return record.is_file() and str(json_of(record.read_bytes()).get("input_sha256")) in hashes


def of_prediction(folder: Path, root: Path) -> Iterator[Path]:
    """The files of a predicted film: in its folder, its picture, and the tables and pages over all films.

    Args:
        folder: of the film.
        root: of the project, beyond which nothing is looked for.
    """
    yield from (path for path in folder.iterdir() if path.is_file())
    pictures = json_of((folder / predicted.PREDICTION).read_bytes()).get("files") or ()
    for above in folder.parents:
        if not above.is_relative_to(root):
            return
        record = above / predicted.WRITTEN
        pages = json_of(record.read_bytes()) if record.is_file() else {}
        names = [*(name for name in pictures if "/" in name), *pages]
        yield from (above / name for name in names if (above / name).is_file())


def users_files(root: Path, kept: list[Path], outs: set[str]) -> tuple[list[Path], list[Path]]:
    """Files below the project that neither it nor DVC wrote, and those behind links to folders, wherever these are.

    Args:
        root: of the project.
        kept: folders of sources, and of the record of withdrawals, which are left out.
        outs: paths of outputs.
    Returns:
        These files, and folders that cannot be opened.
    """
    users = list[Path]()
    found, closed = look_below(root)
    for path in found:
        name = path.relative_to(root).as_posix()
        if any(map(path.is_relative_to, kept)) or name.startswith((".git/", ".venv/")):
            continue
        if path.is_symlink() and path.is_dir():
            behind, shut = look_below(path)
            users += [file for file in behind if not file.is_dir()]
            closed += shut
        elif not covered(name, UNREAD) and not is_written(name, outs) and not path.is_dir():
            users.append(path)
    return users, closed
