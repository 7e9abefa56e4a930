"""Ordinary pictures: a folder of films, or an archive of a public data set."""

import csv
from collections.abc import Iterable
from fnmatch import fnmatchcase
from io import StringIO
from pathlib import PurePosixPath

from stages.ingest.annotations.csv_table import CORNERS, IMAGE_COLUMNS
from stages.ingest.annotations.pairing import OF_MANY, class_names, pair
from stages.ingest.annotations.text_file import text_of
from stages.ingest.file_access import FileAccess
from stages.ingest.params import AnnotatedSource
from stages.ingest.pictures import SUFFIXES
from stages.ingest.problems import Refusal, Unreadable
from stages.ingest.types import SourceFilm, SourcePlan, image_id

PATIENT_COLUMNS = ("patient_id", "patient", "group")


def picture_films(
    files: FileAccess,
    source: str,
    entry: AnnotatedSource,
    include: Iterable[str] = ("*",),
    pinned: dict[str, str] | None = None,
) -> SourcePlan:
    """Every picture that a pattern of `include` matches, with its labels, patient and split.

    A CSV with an image column (image_id, filename, filestem or image) may give `patient_id` (or `patient`, `group`)
    and `split`; a film that it does not list is its own patient.

    Args:
        files: the folder or archive.
        source: its name in the manifest.
        entry: of params.yaml.
        include: patterns of file names.
        pinned: SHA-256 that files must have, by name.
    """
    plan, pins = SourcePlan(), pinned or {}
    pictures = [name for name in files.names() if name.lower().endswith(SUFFIXES)]
    pairs = pair(files, pictures, entry)
    names = class_names(files) if entry.annotations == "yolo" else {}
    table = film_table(files, plan, source)
    plan.refusals += [Refusal(source, public_name(files, file), problem) for file, problem in pairs.problems]
    patterns = list(include)
    for name in pictures:
        if not any(fnmatchcase(name, pattern) for pattern in patterns):
            continue
        path = PurePosixPath(name)
        stated = table.get(path.name) or table.get(path.stem) or {}
        label_file = pairs.file_of.get(name, "")
        film = SourceFilm(
            image_id=image_id(path.stem),
            source=source,
            entry=entry,
            files=files,
            name=name,
            public_name=public_name(files, name),
            labels=pairs.labels.get(name),
            label_file=label_file,
            label_public_name=public_name(files, label_file) if label_file else "",
            class_names=names,
            patient=first(stated, PATIENT_COLUMNS) or path.stem,
            split=stated.get("split") or "",
            pinned={file: pins[file] for file in (name, label_file) if file in pins},
        )
        plan.films.append(film)
        if stated:
            plan.stated[film.image_id] = stated
    if entry.unlabelled == "no_fracture":
        bare = sum(film.labels is None and not film.label_file for film in plan.films)
        plan.notes.append(f"{source}: {bare} of {len(plan.films)} films have no labels and count as free of fractures")
    if entry.annotations in OF_MANY:
        shared = sorted({film.label_public_name for film in plan.films if film.label_public_name})
        plan.notes.append(f"{source}: labels of {len(pairs.labels)} films from {', '.join(shared) or 'no file'}")
    return plan


def public_name(files: FileAccess, name: str) -> str:
    """What messages and tables call a file."""
    return f"{files.label}/{name}" if files.label else name


def first(cells: dict[str, str], columns: Iterable[str]) -> str:
    """The first cell that is not blank; '' where all are."""
    return next((cells[column] for column in columns if cells.get(column)), "")


def film_table(files: FileAccess, plan: SourcePlan, source: str) -> dict[str, dict[str, str]]:
    """Rows of the tables about films, by film name; tables of coordinates are annotations."""
    rows: dict[str, dict[str, str]] = {}
    for name in files.names():
        if name.lower().endswith(".csv"):
            try:
                rows |= table_rows(files.read(name))
            except Unreadable as error:
                plan.refusals.append(Refusal(source, public_name(files, name), error.problem))
    return rows


def table_rows(content: bytes) -> dict[str, dict[str, str]]:
    """Rows of a CSV by image name; a table without an image column is not about images: no rows.

    Raises:
        Unreadable: no UTF-8, or an image that stands in the table twice.
    """
    reader = csv.DictReader(StringIO(text_of(content)))
    try:
        return patient_rows(reader)
    except csv.Error as error:
        raise Unreadable("comma-separated values", str(error), "export the table again", reader.line_num) from None


def patient_rows(reader: "csv.DictReader[str]") -> dict[str, dict[str, str]]:
    columns = reader.fieldnames or []
    image = next((column for column in IMAGE_COLUMNS if column in columns), None)
    if image is None or set(CORNERS) <= set(columns):
        return {}
    rows: dict[str, dict[str, str]] = {}
    for row in reader:
        if row[image] in rows:
            again = f"{row[image]!r:.80} a second time"
            raise Unreadable("one row per image", again, "remove one of the rows", reader.line_num)
        rows[row[image]] = {key: value or "" for key, value in row.items() if isinstance(key, str)}
    return rows
