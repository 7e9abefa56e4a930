"""What the doors hand to the workers, one Film each, and what comes back."""

import re
from dataclasses import dataclass, field

import numpy as np

from stages.common.data.shapes import Shape, write_points
from stages.common.data.tables import AnnotationRow, FileRow, ManifestRow
from stages.ingest.annotations.labels import FilmLabels
from stages.ingest.file_access import FileAccess


@dataclass(frozen=True)
class Annotator:
    """How a source labels its films: which classes are fractures, which are known and left out."""

    format: str
    classes: list[str]
    other_classes: list[str]
    unlabelled: str
    names: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class SourceFilm:
    """One film that is there to be read.

    `told` is what messages and tables may call it: for hospital films a number, since file names hold names and
    dates. `labels` come from a file of many films, `label_file` is a file of its own; without either the film has
    no annotation. `pinned` is the sha256 that its bytes must have, or ''.
    """

    image_id: str
    source: str
    licence: str
    bundle: FileAccess
    name: str
    told: str
    annotator: Annotator
    labels: FilmLabels | None = None
    label_file: str = ""
    label_told: str = ""
    patient: str = ""
    split: str = ""
    pinned: dict[str, str] = field(default_factory=dict)
    hospital: bool = False


@dataclass
class FilmResult:
    """A film that was taken, with its rows for the tables, or the reasons why it was not."""

    image_id: str
    source: str
    told: str
    row: ManifestRow | None = None
    shapes: list[AnnotationRow] = field(default_factory=list)
    files: list[FileRow] = field(default_factory=list)
    hashes: np.ndarray = field(default_factory=lambda: np.zeros((8, 32), dtype=np.uint8))
    refused: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


@dataclass
class SourcePlan:
    """What a door found: films, what is wrong with files that belong to no film, and what a person should know."""

    films: list[SourceFilm] = field(default_factory=list)
    refused: list[tuple[str, str, str]] = field(default_factory=list)  # source, told, reason
    notes: list[str] = field(default_factory=list)
    stated: dict[str, dict[str, str]] = field(default_factory=dict)  # rows of the source's table by image id


def shape_row(film: SourceFilm, shape: Shape) -> AnnotationRow:
    """The row of annotations.csv of one shape."""
    return {
        "image_id": film.image_id,
        "label": shape.label,
        "kind": shape.kind,
        "points": write_points(shape.rings),
        "file": "" if film.hospital else film.label_told,
        "line": shape.line,
    }


def image_id(text: str) -> str:
    """A name that is safe as a file name on every system: letters, digits, dot, dash and underscore."""
    return re.sub(r"[^A-Za-z0-9._-]+", "_", text).strip("._") or "image"
