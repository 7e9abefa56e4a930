"""Which films a user means, and their pixels, by the code with which the pipeline reads its own."""

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from glob import glob
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from stages.common.core.errors import UserError
from stages.common.core.files import finished_name
from stages.common.data.layout import LAYERS_SUFFIX
from stages.ingest.annotations.film_names import DICOM_SUFFIXES
from stages.ingest.dicom.basics import flip, is_dicom
from stages.ingest.file_access import is_system_file
from stages.ingest.params import CtWindow
from stages.ingest.pictures import SUFFIXES, decode_picture

if TYPE_CHECKING:
    from pydicom import Dataset

PREDICTION = "prediction.json"  # lies in every folder that `wrist predict` writes
OVERLAY, SEGMENTATION = "overlay.jpg", "segmentation.dcm"
FILM, LAYERS, GREY_LEVELS = "film.jpg", f"layers{LAYERS_SUFFIX}", f"levels{LAYERS_SUFFIX}"  # what the viewer shows
PROBABILITY, MASK = "probability.png", "mask.png"
FILES = (PREDICTION, OVERLAY, SEGMENTATION, FILM, LAYERS, GREY_LEVELS, PROBABILITY, MASK)  # in the folder of a film
SUMMARY, INDEX, ANNOTATIONS = "summary.csv", "index.html", "predicted_annotations"  # lie above these folders
WRITTEN = "written.json"  # beside them; SHA-256 of each file that lies there
Edge = TypeVar("Edge", int, float)


@dataclass(frozen=True)
class DecodedFilm:
    """A film as it is looked at.

    pixels: uint8 or uint16 (H, W), bone bright. spacing: height and width of a pixel in mm, where known, and the
    attribute that says so. header: of a DICOM film. flips: whether `pixels` is mirrored left-right and up-down against
    the file, as CT slices can be.
    """

    pixels: np.ndarray
    spacing: tuple[float, float] | None = None
    spacing_from: str = ""
    header: "Dataset | None" = None
    flips: tuple[bool, bool] = (False, False)

    @property
    def is_deep(self) -> bool:
        """Whether it may have more grey levels than 8 bits hold."""
        return self.pixels.dtype == np.uint16

    def as_stored(self, picture: np.ndarray) -> np.ndarray:
        """A picture of this film's pixels, mirrored as its file is."""
        return flip(picture, self.flips)

    def box_as_stored(self, box: tuple[Edge, Edge, Edge, Edge]) -> tuple[Edge, Edge, Edge, Edge]:
        """Left, top, right and bottom of a box, in pixels of this film, mirrored as its file is."""
        left, top, right, bottom = box
        (height, width), (left_right, up_down) = self.pixels.shape, self.flips
        if left_right:
            left, right = width - right, width - left
        if up_down:
            top, bottom = height - bottom, height - top
        return left, top, right, bottom


Named = tuple[Path, Path]
"""A file, and its name below the output: that of its folder if it is a film."""


@dataclass(frozen=True)
class FoundFilms:
    """What the names that a user gives stand for.

    others: what folders hold besides films. passed_over: numbers of files that are neither, by what they are.
    """

    films: list[Named]
    others: list[Named]
    passed_over: Counter[str]


def find_films(names: Sequence[str]) -> FoundFilms:
    """Every file that is meant: files, folders (all films below them) and globs.

    Raises:
        UserError: a name that matches nothing, a folder that cannot be listed, or two films with one output.
    """
    films: dict[Path, Path] = {}
    places = set[str]()
    others: dict[Path, Path] = {}
    passed_over: dict[Path, str] = {}
    for name in names:
        if not name.strip():
            raise UserError("expected a file, a folder or a pattern of films, found a blank name")
        path = Path(name)
        paths = [path] if path.exists() else sorted(Path(match) for match in glob(name, recursive=True))  # noqa: PTH207
        if not paths:
            raise UserError(f"{name}: expected a file, a folder or a pattern of films, found nothing")
        for source in paths:
            files, beside, passed = files_below(source) if source.is_dir() else ([source], [], {})
            passed_over |= passed
            inside = [file for file in files if file == source or looks_like_a_film(file, source)]
            left_out = sorted({*files, *beside} - set(inside))
            others |= {file: file.relative_to(source) for file in left_out}
            if not inside:
                raise UserError(
                    f"{source}: expected films (PNG, JPEG, TIFF, WebP, BMP, DICOM) in this folder, found none"
                )
            for film in inside:
                output = film.relative_to(source) if source.is_dir() else Path(film.name)
                if films.get(output) != film and os.path.abspath(film) in places:  # noqa: PTH100 - links stay
                    passed_over[film] = "named twice"
                    continue
                places.add(os.path.abspath(film))  # noqa: PTH100
                # Not Path.resolve, which fails of links that lead in a circle: such a film is refused later.
                if os.path.realpath(films.setdefault(output, film)) != os.path.realpath(film):
                    raise UserError(
                        f"{film} and {films[output]}: expected films of different names; run them one by one"
                    )
    for output, film in films.items():
        if above := films.keys() & set(output.parents):
            raise UserError(f"{film} and {films[above.pop()]}: expected films of different names; run them one by one")
    pairs = [(film, output) for output, film in films.items()]
    return FoundFilms(pairs, list(others.items()), Counter(passed_over.values()))


def files_below(folder: Path) -> tuple[list[Path], list[Path], dict[Path, str]]:
    """All files below a folder, and links to folders, sorted.

    Returns:
        Those that may be films; what lies beside a prediction without being a part of it, which may be an output of
        another version and is no film; and, with what they are, those that `wrist predict` or an operating system
        put there.
    """
    files = []
    for place, folders, names in os.walk(folder, onerror=refuse_folder):
        links = [name for name in folders if (Path(place) / name).is_symlink()]
        files += [Path(place) / name for name in (*names, *links)]
    system = {path for path in files if is_system_file(path.relative_to(folder).as_posix())}
    predicted = {path.parent for path in files if path.name == PREDICTION}
    above = {parent for path in predicted for parent in path.parents}
    exported = {parent / ANNOTATIONS for parent in above}
    own = {
        path
        for path in files
        if (path.parent in predicted and path.name in FILES)
        or (path.name in (SUMMARY, INDEX, WRITTEN) and path.parent in above)
        or exported.intersection(path.parents)
    }
    rest = sorted(set(files) - system - own)
    beside = [path for path in rest if path.parent in predicted]
    passed = dict.fromkeys(own, "of earlier predictions") | dict.fromkeys(system, "of operating systems")
    return [path for path in rest if path.parent not in predicted], beside, passed


def predicted_below(output: Path) -> list[str]:
    """Names of the films that have a prediction below a folder, sorted; half predictions of killed calls are none."""
    folders = {path.parent.relative_to(output).as_posix() for path in output.rglob(PREDICTION)}
    return sorted(name for name in folders if finished_name(name) == name)


def refuse_folder(error: OSError) -> None:
    """A folder that cannot be listed would lose its films without a word."""
    raise UserError(f"{error.filename}: expected a folder that can be read ({error.strerror}); make it readable")


def looks_like_a_film(path: Path, folder: Path) -> bool:
    """By its suffix or, since exports have none or name files by their UIDs, by its first bytes.

    Args:
        folder: in which the file was looked for; what lies hidden below it is no film, such as half a prediction.
    """
    hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
    if hidden or path.name == "DICOMDIR" or path.is_dir():
        return False
    if path.suffix.lower() in (*SUFFIXES, *DICOM_SUFFIXES):
        return True
    if path.exists() and not path.is_file():  # a pipe, whose first bytes would be waited for
        return False
    try:
        with path.open("rb") as file:
            return is_dicom(file.read(132))
    except OSError:  # to be named when it is read
        return True


def decode(content: bytes, megapixels: int, ct_window: CtWindow) -> DecodedFilm:
    """The film in a file's bytes: PNG, JPEG, TIFF, WebP, BMP or DICOM (CR, DX, CT), whatever the file is called.

    Args:
        megapixels: what is larger is refused before it is opened.
        ct_window: in which CT slices are shown.
    Raises:
        Unreadable: it is none of them, or damaged.
    """
    if not is_dicom(content[:132]):
        return DecodedFilm(decode_picture(content, megapixels).pixels)
    from stages.ingest.dicom.read import read_film  # pydicom: only where a film is DICOM

    film = read_film(content, megapixels, ct_window)
    spacings = {"PixelSpacing": film.pixel_spacing, "ImagerPixelSpacing": film.imager_pixel_spacing}
    attribute = next((name for name, spacing in spacings.items() if spacing), "")
    return DecodedFilm(flip(film.pixels, film.flips), spacings.get(attribute), attribute, film.header, film.flips)
