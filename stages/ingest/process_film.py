"""What the workers do with one film: read it, check it, write it, and say what became of it."""

import hashlib
import warnings
from io import BytesIO
from pathlib import Path
from typing import Literal

import numpy as np
from pydicom import Dataset

from stages.common.core.files import write_bytes, write_png
from stages.common.core.hashing import sha256
from stages.common.data.layout import dicom_file, image_file
from stages.common.data.shapes import Shape
from stages.common.data.tables import FileRow
from stages.ingest.annotations.labels import FilmLabels, place
from stages.ingest.annotations.pairing import OF_ONE
from stages.ingest.dicom.deidentify import deidentified, mask_corners, patient_of, to_bytes
from stages.ingest.dicom.pseudonyms import PUBLIC, Key
from stages.ingest.dicom.read import (
    HOW_TO_FIX,
    READABLE,
    check_syntax,
    display_pixels,
    mirrored,
    read_header,
    spacing,
    stored_values,
    why_unfit,
)
from stages.ingest.params import Params
from stages.ingest.pictures import decode_picture
from stages.ingest.problems import Unreadable
from stages.ingest.quality.duplicates import perceptual_hashes, pixel_hash
from stages.ingest.types import FilmResult, SourceFilm, shape_row


def take(film: SourceFilm, settings: Params, key: Key | None, out: Path) -> FilmResult:
    """Bring one film in: its picture (and, of a hospital film, its de-identified DICOM) under `out`, its rows back."""
    outcome = FilmResult(film.image_id, film.source, film.told)
    warnings.simplefilter("ignore")  # pydicom's and Pillow's quote values of the file; none may reach a log
    try:
        content = read(film, film.name, outcome, "film")
        labels = read_labels(film, outcome)
        if film.hospital and key is not None:
            take_dicom(film, content, labels, settings, key, out, outcome)
        else:
            take_picture(film, content, labels, settings, out, outcome)
    except Unreadable as error:
        outcome.refused.append(error.problem.sentence(film.told))
    return outcome


def read(film: SourceFilm, name: str, outcome: FilmResult, role: Literal["film", "labels"]) -> bytes:
    """The bytes of one of a film's files, entered in the list of files, and held to its pin."""
    content = film.bundle.read(name)
    digest = hashlib.sha256(content).hexdigest()
    told = film.told if role == "film" else film.label_told
    row: FileRow = {
        "image_id": film.image_id,
        "role": role,
        "source": film.source,
        "file": told,
        "sha256": digest,
        "licence": film.licence,
    }
    outcome.files.append(row)
    if film.pinned.get(name, digest) != digest:
        raise Unreadable("the bytes that data/pins pins", "others", "find out why the data set changed")
    return content


def read_labels(film: SourceFilm, outcome: FilmResult) -> FilmLabels:
    """The film's labels, its classes as the source's params sort them; what is wrong with them goes to `outcome`."""
    annotator = film.annotator
    labels = film.labels
    if labels is None and film.label_file:
        try:
            found = OF_ONE[annotator.format][1](read(film, film.label_file, outcome, "labels"))
        except Unreadable as error:
            outcome.refused.append(error.problem.sentence(film.label_told, film.hospital))
            return FilmLabels()
        outcome.refused += [problem.sentence(film.label_told, film.hospital) for problem in found.problems]
        labels = found.films[""]
    if labels is None:
        if annotator.unlabelled == "refuse":
            raise Unreadable("its labels (without shapes for no fracture)", "none", "add them, or set `unlabelled`")
        return FilmLabels()
    shapes: list[Shape] = []
    unknown: dict[str, int] = {}
    for shape in labels.shapes:
        name = annotator.names.get(shape.label, shape.label)
        if not annotator.classes or name in annotator.classes:
            shapes.append(Shape(name, shape.kind, shape.rings, shape.line))
        elif name not in annotator.other_classes:
            unknown.setdefault(name, shape.line)
    for name, line in unknown.items():
        place_ = f"{film.label_told}, line {line}" if line else film.label_told
        found_ = "another class" if film.hospital else f"{name!r:.60}"
        outcome.refused.append(
            f"{place_}: expected one of the classes {', '.join(annotator.classes)}, found {found_}; "
            "add it to `classes` or `other_classes`"
        )
    return FilmLabels(shapes, labels.size, labels.in_shares, labels.line)


def take_picture(
    film: SourceFilm, content: bytes, labels: FilmLabels, settings: Params, out: Path, outcome: FilmResult
) -> None:
    """A PNG, JPEG or TIFF, which states neither modality (hence OT, DICOM's "other") nor spacing."""
    pixels, orientation = decode_picture(content, settings.limits.megapixels)
    shapes = placed(film, labels, pixels, orientation, outcome)
    patient = PUBLIC.name("patient", f"{film.source}/{film.patient}")
    finish(film, pixels, shapes, out, outcome, patient_id=patient, modality="OT", photometric="MONOCHROME2")


def take_dicom(
    film: SourceFilm, content: bytes, labels: FilmLabels, settings: Params, key: Key, out: Path, outcome: FilmResult
) -> None:
    """A hospital's film: display pixels and a de-identified DICOM; nothing else of the original is passed on."""
    try:
        header, pixels, clean, note = develop(content, settings, key)
        facts = {
            "patient_id": key.name("patient", patient_of(header)),
            "modality": str(header.Modality),
            "photometric": str(header.PhotometricInterpretation),
            "pixel_spacing": spacing(header, "PixelSpacing"),
            "imager_pixel_spacing": spacing(header, "ImagerPixelSpacing"),
        }
        turns = mirrored(header) if header.Modality == "CT" else (False, False)
    except (Unreadable, MemoryError):
        raise
    except Exception as error:  # damaged headers hold values of any type, and messages quote them
        raise Unreadable(READABLE, f"{type(error).__name__} while reading it", HOW_TO_FIX) from None
    outcome.notes += [note] if note else []
    shapes = placed(film, labels, pixels, 1, outcome)
    if not outcome.refused:
        write_bytes(dicom_file(out, film.image_id), clean)
    pixels, shapes = upright(pixels, shapes, *turns)
    finish(film, pixels, shapes, out, outcome, key_id=key.id, **facts)


def develop(content: bytes, settings: Params, key: Key) -> tuple[Dataset, np.ndarray, bytes, str]:
    """The header, display pixels and de-identified DICOM of a film, and what a person should know of it."""
    check_syntax(content[:65536])
    header = read_header(BytesIO(content))
    unfit = why_unfit(header, settings.limits.megapixels)
    masked = header.get("BurnedInAnnotation") == "YES"
    if not unfit and masked and settings.hospital.burned_in == "refuse":
        unfit = "text burned into its pixels (BurnedInAnnotation is YES; see ingest.hospital.burned_in)"
    if unfit:
        raise Unreadable(READABLE, unfit, HOW_TO_FIX)
    stored, note = stored_values(header), ""
    if masked:
        black = 2 ** int(header.BitsStored) - 1 if header.PhotometricInterpretation == "MONOCHROME1" else 0
        stored, note = mask_corners(stored, settings.hospital.corner, black), "text is burned in; corners were masked"
    elif "BurnedInAnnotation" not in header:
        note = "BurnedInAnnotation is not stated: look at the picture"
    pixels = display_pixels(header, stored, settings.hospital.ct_window)
    return header, pixels, to_bytes(deidentified(header, stored, key, masked)), note


def upright(pixels: np.ndarray, shapes: list[Shape], across: bool, down: bool) -> tuple[np.ndarray, list[Shape]]:
    """A film mirrored left-right, up-down or both, labels with it; the de-identified DICOM keeps its orientation."""
    height, width = pixels.shape
    moved = [shape.flipped(width if across else None, height if down else None) for shape in shapes]
    return pixels[:: -1 if down else 1, :: -1 if across else 1], moved


def placed(
    film: SourceFilm, labels: FilmLabels, pixels: np.ndarray, orientation: int, outcome: FilmResult
) -> list[Shape]:
    """The labels on their film; what does not fit is a reason to refuse the film."""
    height, width = pixels.shape
    shapes, problems, notes = place(labels, width, height, orientation)
    told = film.label_told or film.told
    # Coordinates are no secret, and a hospital's engineer needs them to find the box.
    outcome.refused += [problem.sentence(told) for problem in problems]
    outcome.notes += notes
    return shapes


def finish(
    film: SourceFilm,
    pixels: np.ndarray,
    shapes: list[Shape],
    out: Path,
    outcome: FilmResult,
    *,
    patient_id: str,
    modality: str,
    photometric: str,
    pixel_spacing: str = "",
    imager_pixel_spacing: str = "",
    key_id: str = "",
) -> None:
    """Write the picture and the film's row, unless something was wrong with it."""
    if outcome.refused:
        return
    picture = image_file(out, film.image_id)
    write_png(picture, pixels)
    outcome.hashes = perceptual_hashes(pixels)
    outcome.row = {
        "image_id": film.image_id,
        "file": picture.relative_to(out).as_posix(),
        "source": film.source,
        "source_file": "" if film.hospital else film.told,
        "sha256": outcome.files[0]["sha256"],
        "file_sha256": sha256(picture),
        "pixel_sha256": pixel_hash(pixels),
        "patient_id": patient_id,
        "group": patient_id,  # until copies of the film are looked for
        "split": film.split,
        "modality": modality,
        "width": pixels.shape[1],
        "height": pixels.shape[0],
        "bits": pixels.dtype.itemsize * 8,
        "pixel_spacing_mm": pixel_spacing,
        "imager_pixel_spacing_mm": imager_pixel_spacing,
        "photometric_interpretation": photometric,
        "licence": film.licence,
        "key_id": key_id,
        "fractures": len(shapes),
    }
    outcome.shapes = [shape_row(film, shape) for shape in shapes]
