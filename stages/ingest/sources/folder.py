"""Ordinary pictures: a folder of films, or an archive of a public data set."""

from collections.abc import Iterable
from fnmatch import fnmatchcase
from pathlib import PurePosixPath

from stages.ingest.account import LABELS, TABLES
from stages.ingest.annotations.film_names import original_of, suffix_of, without_suffix
from stages.ingest.annotations.pairing import OF_MANY, Pairs, class_names, pair
from stages.ingest.file_access import FileAccess
from stages.ingest.params import AnnotatedSource
from stages.ingest.pictures import SUFFIXES
from stages.ingest.problems import Refusal
from stages.ingest.sources.film_tables import FilmTables, read_tables
from stages.ingest.types import SourceFilm, SourcePlan, image_id


def picture_films(
    files: FileAccess,
    source: str,
    entry: AnnotatedSource,
    include: Iterable[str] = ("*",),
    pinned: dict[str, str] | None = None,
) -> SourcePlan:
    """Every picture that a pattern of `include` matches, with its labels, patient and split.

    Tables may give patients and sides of a split (`film_tables`); a film that none lists is its own patient.

    Args:
        files: the folder or archive.
        source: its name in the manifest.
        entry: of params.yaml.
        include: patterns of file names.
        pinned: SHA-256 that files must have, by name.
    """
    pins = pinned or {}
    pictures = [name for name in files.names() if name.lower().endswith(SUFFIXES)]
    pairs = pair(files, pictures, entry)
    names_file, names = class_names(files) if entry.annotations == "yolo" else ("", {})
    tables = read_tables(files, pictures)
    uses = uses_of(files, pictures, pairs, tables, names_file)
    plan = SourcePlan(source, {public_name(files, name): use for name, use in uses.items()})
    problems = pairs.problems + tables.problems
    plan.refusals += [Refusal(source, public_name(files, file), problem) for file, problem in problems]
    plan.notes += [f"{source}: {note}" for note in tables.notes]
    patterns = list(include)
    for name in pictures:
        if not any(fnmatchcase(name, pattern) for pattern in patterns):
            continue
        path = PurePosixPath(name)
        stated = tables.rows.get(name, {})
        label_file = pairs.file_of.get(name, "")
        film = SourceFilm(
            image_id=image_id(without_suffix(path.name)),
            source=source,
            entry=entry,
            files=files,
            name=name,
            public_name=public_name(files, name),
            labels=pairs.labels.get(name),
            label_file=label_file,
            label_public_name=public_name(files, label_file) if label_file else "",
            class_names=names,
            patient=stated.get("patient_id") or original_of(name) or without_suffix(printable(path.name)),
            split=stated.get("split", ""),
            pinned={file: pins[file] for file in (name, label_file) if file in pins},
        )
        plan.films.append(film)
        if stated:
            plan.stated[film.image_id] = stated
    originals = [original for film in plan.films if (original := original_of(film.name))]
    if originals:
        plan.notes.append(
            f"{source}: {len(originals)} films are Roboflow's augmented copies of {len(set(originals))} films; the "
            "copies of a film stay on one side of the split"
        )
    if entry.annotations in OF_MANY:
        shared = sorted({film.label_public_name for film in plan.films if film.label_public_name})
        plan.notes.append(f"{source}: labels of {len(pairs.labels)} films from {', '.join(shared) or 'no file'}")
    return plan


def uses_of(
    files: FileAccess, pictures: list[str], pairs: Pairs, tables: FilmTables, names_file: str
) -> dict[str, str]:
    """Every file of a source by name, with its use or with why it is left out.

    Args:
        files: of the source.
        pictures: names of those that can be films.
        pairs: the labels of films.
        tables: of films.
        names_file: with the names of classes; blank for none.
    """
    uses = {name: f"of no use here ({suffix_of(name) or 'no suffix'})" for name in files.names()}
    uses |= dict.fromkeys(files.system_files(), "of an operating system")
    uses |= dict.fromkeys(pictures, "that no pattern of `include` takes")
    uses |= dict.fromkeys(tables.used, TABLES)
    uses |= {names_file: "with names of classes"} if names_file else {}
    return uses | dict.fromkeys(pairs.file_of.values(), LABELS)


def public_name(files: FileAccess, name: str) -> str:
    """What messages and tables call a file."""
    return f"{files.label}/{printable(name)}" if files.label else printable(name)


def printable(name: str) -> str:
    """A file's name, with escapes such as \\udce4 for bytes that are no UTF-8."""
    return name.encode(errors="backslashreplace").decode()
