"""Which films a user means, and their pixels, by the code with which the pipeline reads its own."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from glob import glob
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from stages.common.core.errors import UserError
from stages.ingest.annotations.film_names import DICOM_SUFFIXES
from stages.ingest.dicom.basics import flip, is_dicom
from stages.ingest.file_access import is_system_file
from stages.ingest.params import CtWindow
from stages.ingest.pictures import SUFFIXES, decode_picture

if TYPE_CHECKING:
    from pydicom import Dataset

PREDICTION = "prediction.json"  # lies in every folder that `wrist predict` writes
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


def find_films(names: Sequence[str]) -> tuple[list[Named], list[Named]]:
    """Every file that is meant: files, folders (all films below them) and globs.

    Returns:
        The films, and what a folder holds besides films. What this program wrote, and files of operating systems, are
        neither.
    Raises:
        UserError: a name that matches nothing, a folder that cannot be listed, or two films with one output.
    """
    films: dict[Path, Path] = {}
    others: list[Named] = []
    for name in names:
        path = Path(name)
        paths = [path] if path.exists() else sorted(Path(match) for match in glob(name, recursive=True))  # noqa: PTH207
        if not paths:
            raise UserError(f"{name}: expected a file, a folder or a pattern of films, found nothing")
        for source in paths:
            files = files_below(source) if source.is_dir() else [source]
            inside = [file for file in files if file == source or looks_like_a_film(file, source)]
            others += [(file, file.relative_to(source)) for file in files if file not in set(inside)]
            if not inside:
                raise UserError(
                    f"{source}: expected films (PNG, JPEG, TIFF, WebP, BMP, DICOM) in this folder, found none"
                )
            for film in inside:
                output = film.relative_to(source) if source.is_dir() else Path(film.name)
                if films.setdefault(output, film).resolve() != film.resolve():
                    raise UserError(
                        f"{film} and {films[output]}: expected films of different names; run them one by one"
                    )
    for output, film in films.items():
        if above := films.keys() & set(output.parents):
            raise UserError(f"{film} and {films[above.pop()]}: expected films of different names; run them one by one")
    return [(film, output) for output, film in films.items()], others


def files_below(folder: Path) -> list[Path]:
    """All files below a folder, and links to folders, without what `wrist predict` or an operating system put there."""
    files = []
    for place, folders, names in os.walk(folder, onerror=refuse_folder):
        links = [name for name in folders if (Path(place) / name).is_symlink()]
        files += [Path(place) / name for name in (*names, *links)]
    written = {path.parent for path in files if path.name == PREDICTION}
    above = {parent for path in written for parent in path.parents}
    beside = {parent / ANNOTATIONS for parent in above}
    own = {
        path
        for path in files
        if path.parent in written
        or (path.name in (SUMMARY, INDEX, WRITTEN) and path.parent in above)
        or beside.intersection(path.parents)
    }
    return sorted(path for path in files if path not in own and not is_system_file(path.relative_to(folder).as_posix()))


def predicted_below(output: Path) -> list[str]:
    """Names of the films that have a prediction below a folder, sorted; what lies hidden is half a prediction."""
    folders = (path.parent.relative_to(output) for path in output.rglob(PREDICTION))
    return sorted(name.as_posix() for name in folders if not any(part.startswith(".") for part in name.parts))


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
