"""What a withdrawal names and does not remove: a user's files below the project, and clones of it."""

from collections.abc import Iterator
from pathlib import Path

from stages.common.core.files import finished_name
from stages.common.core.hashing import sha256
from stages.common.data.layout import INBOX, PINS, WITHDRAWN_PINS
from tools.audit.check_record import covered
from tools.audit.dvc_cache import cache_folders, file_md5, stored
from tools.audit.dvc_lock import LOCK
from tools.audit.folders import look_below
from tools.audit.own_output import json_of
from tools.audit.patient_files import PatientFiles, below, is_film, is_written
from tools.audit.words import Words
from tools.audit.yaml_files import inbox_of, params_here
from tools.predict import films as predicted
from tools.temporary import temporary_folders

UNREAD = (".git", ".venv")  # of the project's folders, where files of users are looked for


def elsewhere(root: Path, files: PatientFiles) -> list[str]:
    """Paths of files that name the patient, or are named so, or are copies of the patient's films, and that a user put
    below the project or linked there, of the patient's predictions, and of clones of the project with such files.
    """
    found, words = {path for path in files.behind if path.exists()}, files.words
    sources = [root / INBOX, root / inbox_of(params_here(root))]
    written = [root / PINS, root / LOCK]  # pins are named apart; `dvc repro` copies params.yaml into its lock
    kept = [*written, *sources, *(path.parents[1] for path in cache_folders(root))]
    users, closed = users_files(root, kept)
    for path in sorted(users - set(files.here)):
        name = path.relative_to(root)
        is_code = path.suffix == ".py" and is_written(name.as_posix(), files.outs)  # of logged models
        try:
            if (not is_code and names_or_shows(files.images, words, path, name)) or is_copy(path, files.hashes):
                found.add(path)
            elif path.name == predicted.PREDICTION and is_prediction(path, files.hashes):
                found |= set(of_prediction(path.parent, root))
        except PermissionError:
            closed.append(path)
    outside = [f"{below(root, path)} (cannot be opened: look for yourself)" for path in closed]
    for folder in temporary_folders():
        inside, shut = look_below(folder)  # some of them may be gone by now
        outside += [f"{path} (cannot be opened: look for yourself)" for path in shut]
        if any(names_or_shows(files.images, words, path, path.relative_to(folder)) for path in inside):
            outside.append(str(folder))
    return [*sorted(below(root, path) for path in found), *outside, *tracked(root, files), *pinned(root, files)]


def tracked(root: Path, files: PatientFiles) -> Iterator[str]:
    """What users track with DVC beside the pipeline that names or shows the patient, and folders whose list is away."""
    words = files.words
    for md5, paths in sorted(files.users.items(), key=lambda item: sorted(item[1])):
        path, content = min(paths), stored(root, md5)
        if md5.endswith(".dir"):  # its files are listed by themselves
            if not content.is_file():
                yield f"{path} (DVC tracks it, and this cache lacks its list: look for yourself)"
        elif names_or_shows(files.images, words, content, Path(path)) or is_copy(content, files.hashes):
            yield f"{path} (DVC tracks it: in its cache and remotes, too)"


def pinned(root: Path, files: PatientFiles) -> Iterator[str]:
    """Pins of data sets with the patient's films; without them `ingest` does not know whether the others changed."""
    words, hashes = files.words, [digest.encode() for digest in files.hashes]
    for path in sorted((root / PINS).glob("*")):
        own = path.is_file() and path != root / WITHDRAWN_PINS
        if own and (words.stand_in(path) or any(digest in path.read_bytes() for digest in hashes)):
            yield f"{below(root, path)} (name and SHA-256, which `ingest` needs while the data set has the film)"


def names_or_shows(images: set[str], words: Words, path: Path, name: Path) -> bool:
    """Whether a file names the patient, or is called as a film; of a prediction the folder has the film's name.

    Args:
        images: ids of the patient's films.
        words: by which a text names the patient.
        path: of the file.
        name: its path from the folder that is looked through.
    """
    return is_named(images, words, name) or words.stand_in(path, str(name))


def is_named(images: set[str], words: Words, name: Path) -> bool:
    """Whether a path names the patient or a film, also where a killed program left it half-written.

    Args:
        images, words, name: as for `names_or_shows`.
    """
    finished = finished_name(name.as_posix())
    stands_in_it = words.pattern.search(finished.encode(errors="replace"))
    return bool(stands_in_it) or any(is_film(part, images) for part in finished.split("/"))


def is_copy(path: Path, hashes: set[str]) -> bool:
    """Whether a file has one of these SHA-256 or MD5."""
    return path.is_file() and (file_md5(path) in hashes or sha256(path) in hashes)


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


def users_files(root: Path, kept: list[Path]) -> tuple[set[Path], list[Path]]:
    """Files below the project, and those behind links to folders, wherever these are.

    Args:
        root: of the project.
        kept: folders of sources, of pins, and of DVC's cache, and dvc.lock, which are left out.
    Returns:
        These files, and folders that cannot be opened.
    """
    users, closed, seen, todo = set[Path](), list[Path](), set[Path](), [root]
    while todo:
        folder = todo.pop()
        if folder.resolve() in seen:  # links can lead in circles
            continue
        seen.add(folder.resolve())
        found, shut = look_below(folder)
        closed += shut
        for path in found:
            if any(map(path.is_relative_to, kept)) or covered(path.relative_to(root).as_posix(), UNREAD):
                continue
            if not path.is_dir():
                users.add(path)
            elif path.is_symlink():
                todo.append(path)
    return users, closed
