"""The doors for ordinary pictures: a folder of films, or an archive of a public data set."""

import csv
from collections.abc import Iterable
from fnmatch import fnmatchcase
from io import StringIO
from pathlib import PurePosixPath

from stages.ingest.annotations.csv_table import CORNERS, IMAGE_COLUMNS
from stages.ingest.annotations.pairing import OF_MANY, class_names, match
from stages.ingest.annotations.text_file import text_of
from stages.ingest.file_access import FileAccess
from stages.ingest.params import Kaggle, Labelled
from stages.ingest.pictures import SUFFIXES
from stages.ingest.problems import Unreadable
from stages.ingest.types import Annotator, SourceFilm, SourcePlan, image_id

PATIENT_COLUMNS = ("patient_id", "patient", "group")


def picture_films(
    bundle: FileAccess,
    source: str,
    labelled: Labelled | Kaggle,
    include: Iterable[str] = ("*",),
    pinned: dict[str, str] | None = None,
) -> SourcePlan:
    """Every picture of a bundle that a pattern of `include` matches, with its labels, patient and split.

    A CSV with an image column (image_id, filename, filestem or image) may give `patient_id` (or `patient`, `group`)
    and `split`; a film that it does not list is its own patient.
    """
    plan, pins = SourcePlan(), pinned or {}
    pictures = [name for name in bundle.names() if name.lower().endswith(SUFFIXES)]
    found = match(bundle, pictures, labelled.annotations)
    names = class_names(bundle) if labelled.annotations == "yolo" else {}
    how = Annotator(labelled.annotations, labelled.classes, labelled.other_classes, labelled.unlabelled, names)
    table = tables(bundle, plan, source)
    plan.refused += [
        (source, tell(bundle, file), problem.sentence(tell(bundle, file))) for file, problem in found.problems
    ]
    patterns = list(include)
    for name in pictures:
        if not any(fnmatchcase(name, pattern) for pattern in patterns):
            continue
        path = PurePosixPath(name)
        facts = table.get(path.name) or table.get(path.stem) or {}
        label_file = found.file_of.get(name, "")
        film = SourceFilm(
            image_id=image_id(path.stem),
            source=source,
            licence=labelled.licence,
            bundle=bundle,
            name=name,
            told=tell(bundle, name),
            annotator=how,
            labels=found.labels.get(name),
            label_file=label_file,
            label_told=tell(bundle, label_file) if label_file else "",
            patient=first(facts, PATIENT_COLUMNS) or path.stem,
            split=facts.get("split") or "",
            pinned={file: pins[file] for file in (name, label_file) if file in pins},
        )
        plan.films.append(film)
        if facts:
            plan.stated[film.image_id] = facts
    if labelled.annotations in OF_MANY:
        shared = sorted({film.label_told for film in plan.films if film.label_told})
        plan.notes.append(f"{source}: labels of {len(found.labels)} films from {', '.join(shared) or 'no file'}")
    return plan


def tell(bundle: FileAccess, name: str) -> str:
    return f"{bundle.label}/{name}" if bundle.label else name


def first(facts: dict[str, str], columns: Iterable[str]) -> str:
    return next((facts[column] for column in columns if facts.get(column)), "")


def tables(bundle: FileAccess, plan: SourcePlan, source: str) -> dict[str, dict[str, str]]:
    """Rows of the bundle's tables about films, by film name; tables of coordinates are annotations."""
    rows: dict[str, dict[str, str]] = {}
    for name in bundle.names():
        if name.lower().endswith(".csv"):
            try:
                rows |= table_rows(bundle.read(name))
            except Unreadable as error:
                plan.refused.append((source, tell(bundle, name), error.problem.sentence(tell(bundle, name))))
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
            found = f"{row[image]!r:.80} a second time"
            raise Unreadable("one row per image", found, "remove one of the rows", reader.line_num)
        rows[row[image]] = {key: value or "" for key, value in row.items() if isinstance(key, str)}
    return rows
