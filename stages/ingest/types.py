"""What the sources hand to the workers, one SourceFilm each, and what comes back."""

import re
from collections import Counter
from dataclasses import dataclass, field

import numpy as np

from stages.common.data.rows import AnnotationRow, FileRow, ManifestRow, Role
from stages.common.data.shapes import Shape, write_points
from stages.ingest.annotations.labels import FilmLabels
from stages.ingest.dicom.pseudonyms import Key
from stages.ingest.file_access import FileAccess
from stages.ingest.params import AnnotatedSource, Hospital
from stages.ingest.problems import Problem, Refusal


@dataclass(frozen=True)
class SharedFile:
    """A source file that several films may have; name: its public one."""

    role: Role
    name: str
    sha256: str


@dataclass(frozen=True)
class SourceFilm:
    """One film that is there to be read.

    files, name: where it lies. public_name: what messages and tables may call it; a number for hospital films, since
    their file names hold names and dates. entry: of params.yaml, whose film it is. labels: from a file of many films.
    label_file: a file of its own; without either the film has no annotation. class_names: names of YOLO's numbers or
    masks' colours. shared: the files of the film that others may have, too. patient: as the source calls it; blank for
    a hospital's film whose header states it. pseudonyms: of the patient of a hospital's film, and of the patient's
    number. pinned: the SHA-256 that its files must have, by name.
    """

    image_id: str
    source: str
    entry: AnnotatedSource
    files: FileAccess
    name: str
    public_name: str
    labels: FilmLabels | None = None
    label_file: str = ""
    label_public_name: str = ""
    class_names: dict[str, str] = field(default_factory=dict)
    shared: list[SharedFile] = field(default_factory=list)
    patient: str = ""
    pseudonyms: frozenset[str] = frozenset()
    split: str = ""
    pinned: dict[str, str] = field(default_factory=dict)

    @property
    def hospital(self) -> Hospital | None:
        """The entry of a hospital's film, which is DICOM; None for a picture."""
        return self.entry if isinstance(self.entry, Hospital) else None


@dataclass
class FilmResult:
    """A film that was taken, with its rows for the tables, or the reasons why it was not.

    other_labels: how many of its shapes were left out, by class. number, study: pseudonyms of the patient's number and
    its issuer without punctuation, and of the study; blank where a film states none. number_id: of number and issuer as
    one. original: the film that this one is an augmented copy of. withdrawn: nothing of the film is here, since its
    patient withdrew.
    """

    image_id: str
    source: str
    public_name: str
    row: ManifestRow | None = None
    shapes: list[AnnotationRow] = field(default_factory=list)
    other_labels: Counter[str] = field(default_factory=Counter)
    files: list[FileRow] = field(default_factory=list)
    hashes: np.ndarray = field(default_factory=lambda: np.zeros((8, 32), dtype=np.uint8))
    missing: float = 0.0
    refusals: list[Refusal] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    number: tuple[str, str] = ("", "")
    study: str = ""
    number_id: str = ""
    original: str = ""
    withdrawn: bool = False

    def refuse(self, problem: Problem, cause: str = "") -> None:
        """Enter a reason to refuse the film; `cause` is the public name of another file that has the problem."""
        sha256 = self.files[0]["sha256"] if self.files else ""
        self.refusals.append(Refusal(self.source, self.public_name, problem, sha256, cause))


@dataclass
class SourcePlan:
    """What a source holds: films, refused files that belong to no film, and what a person should know.

    source: its name in the manifest. files: all of them by public name, each with its use or why it is left out.
    stated: rows of the source's own table by image id. key: makes the pseudonyms of a hospital's films.
    """

    source: str
    files: dict[str, str]
    films: list[SourceFilm] = field(default_factory=list)
    refusals: list[Refusal] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    stated: dict[str, dict[str, str]] = field(default_factory=dict)
    key: Key | None = None


def annotation_row(film: SourceFilm, shape: Shape) -> AnnotationRow:
    """The row of annotations.csv of one shape."""
    return {
        "image_id": film.image_id,
        "label": shape.label,
        "kind": shape.kind,
        "points": write_points(shape.rings),
        "file": "" if film.hospital else film.label_public_name,
        "line": shape.line,
    }


def image_id(text: str) -> str:
    """A name that is safe as a file name on every system: letters, digits, dot, dash and underscore."""
    return re.sub(r"[^A-Za-z0-9._-]+", "_", text).strip("._") or "image"
