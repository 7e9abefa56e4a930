"""What the workers do with one film: read it, check it, write it, and say what became of it."""

import hashlib
import warnings
from collections.abc import Container, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np

from stages.common.core.errors import UserError
from stages.common.core.files import write_bytes, write_png
from stages.common.core.hashing import sha256
from stages.common.core.printed import one_line
from stages.common.data.layout import dicom_file, image_file
from stages.common.data.rows import Role
from stages.common.data.shapes import Shape
from stages.ingest.annotations.film_names import original_of
from stages.ingest.annotations.labels import FilmLabels, fit_to_film
from stages.ingest.annotations.pairing import OF_ONE
from stages.ingest.dicom.basics import flip
from stages.ingest.dicom.deidentify import deidentified, number_id, patient_of, plain_number, stated_patient, to_bytes
from stages.ingest.dicom.pseudonyms import PUBLIC, Key
from stages.ingest.dicom.read import DicomFilm, read_film, refuse_damaged
from stages.ingest.params import Params
from stages.ingest.pictures import decode_picture
from stages.ingest.problems import EXPORT_AGAIN, Problem, Unreadable, in_words
from stages.ingest.quality.duplicates import perceptual_hashes, pixel_hash, small_picture
from stages.ingest.quality.missing_rows import missing_rows
from stages.ingest.types import FilmResult, SourceFilm, annotation_row
from stages.ingest.withdrawn import film_pseudonym

FRACTURE = "fracture"
PART_MISSING = "one block repeats down to the lower edge, as where a transfer broke off: get the film again"
MOST = 0.5  # of a film; a fracture covers a percent of it


class Withdrawn(Exception):
    """A film whose patient withdrew."""


def process_film(
    film: SourceFilm, settings: Params, key: Key | None, out: Path, withdrawn: Container[str] = ()
) -> FilmResult:
    """Write one film's picture (and, of a hospital film, its de-identified DICOM), and return its rows.

    Args:
        film: to be read.
        settings: of the stage.
        key: makes the pseudonyms of a hospital's films; None for others.
        out: the folder that becomes data/raw.
        withdrawn: pseudonyms of patients of whom nothing is written, of their numbers and of their films.
    """
    result = FilmResult(film.image_id, film.source, film.public_name)
    warnings.simplefilter("ignore")  # pydicom's and Pillow's quote values of the file; none may reach a log
    part = "file"
    try:
        leave_out(film.pseudonyms if film.hospital else {picture_patient(film)}, withdrawn)
        content = read_file(film, film.name, result, "film")
        leave_out({film_pseudonym(result.files[0]["sha256"])}, withdrawn)
        part = "labels"
        labels = read_labels(film, result)
        for file in film.shared:
            enter_file(film, file.role, file.name, file.sha256, result)
        part = "header, pixels or labels" if film.hospital else "pixels or labels"
        if film.hospital and key:
            process_dicom(film, content, labels, settings, key, out, withdrawn, result)
        else:
            process_picture(film, content, labels, settings, out, withdrawn, result)
    except Withdrawn:
        return FilmResult(film.image_id, film.source, film.public_name, withdrawn=True)
    except Unreadable as error:
        result.refuse(error.problem)
    except (OSError, UserError):
        raise  # the machine's, which ends the stage
    except Exception as error:  # one odd film does not end the stage
        result.refuse(Problem(f"a film whose {part} can be processed", in_words(error), EXPORT_AGAIN))
    return result


def picture_patient(film: SourceFilm) -> str:
    """The pseudonym of the patient of a picture, which tables and names state."""
    return PUBLIC.name("patient", f"{film.source}/{film.patient}")


def leave_out(pseudonyms: Iterable[str], withdrawn: Container[str]) -> None:
    """Raise Withdrawn for a patient who withdrew, before anything of a film is written."""
    if any(pseudonym in withdrawn for pseudonym in pseudonyms):
        raise Withdrawn


def enter_file(film: SourceFilm, role: Role, name: str, digest: str, result: FilmResult) -> None:
    """Enter one of a film's files, by its public name, in the list of files."""
    result.files.append(
        {
            "image_id": film.image_id,
            "role": role,
            "source": film.source,
            "file": name,
            "sha256": digest,
            "licence": film.entry.licence,
        }
    )


def read_file(film: SourceFilm, name: str, result: FilmResult, role: Role) -> bytes:
    """The bytes of one of a film's own files, which is entered in the list of files.

    Args:
        film: whose file it is.
        name: of the file, as `film.files` knows it.
        result: receives the row.
        role: film or labels.
    Raises:
        Unreadable: it cannot be read, or is not what was pinned.
    """
    content = film.files.read(name)
    digest = hashlib.sha256(content).hexdigest()
    enter_file(film, role, film.public_name if role == "film" else film.label_public_name, digest, result)
    if film.pinned.get(name, digest) != digest:
        raise Unreadable(
            "the bytes that data/pins, or the table of a subset, states", "others", "find out why the data set changed"
        )
    return content


def read_labels(film: SourceFilm, result: FilmResult) -> FilmLabels:
    """The film's labels of the classes that count as fractures; what is wrong with them goes to `result`.

    Raises:
        Unreadable: there are none, and the source's params do not take that for no fracture.
    """
    labels = film.labels
    if labels is None and film.label_file:
        labels = read_label_file(film, result)
    if labels is None:
        if film.entry.unlabelled == "refuse":
            raise Unreadable("its labels (without shapes for no fracture)", "none", "add them, or set `unlabelled`")
        return FilmLabels()
    shapes: list[Shape] = []
    unknown: dict[str, int] = {}
    for shape in labels.shapes:
        name = class_of(film, shape.label)
        if name in film.entry.other_classes:
            result.other_labels[name] += 1
        elif name in film.entry.classes:
            shapes.append(replace(shape, label=name))
        elif not film.entry.classes:
            # What a hospital's annotator wrote is free text, until params name it as a class.
            shapes.append(replace(shape, label=FRACTURE if film.hospital else name))
        else:
            unknown.setdefault(name, shape.line)
    for label, problem in labels.problems:
        name = class_of(film, label)
        if name in film.entry.other_classes:
            result.other_labels[name] += 1
        else:
            refuse_labels(film, problem, result)
    for name, line in unknown.items():
        expected = f"one of the classes {', '.join(film.entry.classes)}"
        fix = "add it to `classes` or `other_classes`"
        problem = Problem(expected, f"{name!r:.60}", fix, line, public="another class")
        refuse_labels(film, problem, result)
    return FilmLabels(shapes, labels.size, labels.in_shares, labels.line)


def class_of(film: SourceFilm, label: str) -> str:
    """The class of a label; what a terminal would obey, or a browser turn round, is escaped in every output."""
    return one_line(film.class_names.get(label, label))


def refuse_labels(film: SourceFilm, problem: Problem, result: FilmResult) -> None:
    """Refuse a film for a problem of its labels; what a hospital's labels hold is free text and not quoted."""
    result.refuse(problem.redacted() if film.hospital else problem, film.label_public_name)


def read_label_file(film: SourceFilm, result: FilmResult) -> FilmLabels:
    """The labels in the film's own annotation file; its problems go to `result`."""
    try:
        labels = OF_ONE[film.entry.annotations][1](read_file(film, film.label_file, result, "labels"))
        problems = labels.problems
    except Unreadable as error:
        labels, problems = None, [error.problem]
    for problem in problems:
        refuse_labels(film, problem, result)
    return labels.films[""] if labels else FilmLabels()


def process_picture(
    film: SourceFilm,
    content: bytes,
    labels: FilmLabels,
    settings: Params,
    out: Path,
    withdrawn: Container[str],
    result: FilmResult,
) -> None:
    """Take a picture, which states neither modality (hence OT, DICOM's "other") nor spacing.

    Args:
        film: whose picture it is.
        content: bytes of the file.
        labels: of the film.
        settings: for limits and what happens to truncated files.
        out: the folder that becomes data/raw.
        withdrawn: as for `process_film`.
        result: receives rows, refusals and notes.
    Raises:
        Unreadable: what is no picture.
        Withdrawn: of `write_film`.
    """
    picture = decode_picture(content, settings.limits.megapixels, settings.on_truncated)
    result.notes += picture.notes
    shapes = shapes_on_film(film, labels, picture.pixels, picture.orientation, result)
    result.original = original_of(film.name)
    if not result.refusals:
        facts = FilmFacts(picture_patient(film), "OT", "MONOCHROME2")
        write_film(film, picture.pixels, shapes, facts, out, withdrawn, result)


def process_dicom(
    film: SourceFilm,
    content: bytes,
    labels: FilmLabels,
    settings: Params,
    key: Key,
    out: Path,
    withdrawn: Container[str],
    result: FilmResult,
) -> None:
    """Take a hospital's film: display pixels and a de-identified DICOM; nothing else of the original is passed on.

    Args:
        film, content, labels, out, result: as for `process_picture`.
        settings: for limits and the CT window.
        key: makes the pseudonyms.
        withdrawn: as for `process_film`.
    Raises:
        Unreadable: what is no film.
        Withdrawn: its patient withdrew.
    """
    burned_in = film.hospital.burned_in if film.hospital else None
    dicom = read_film(content, settings.limits.megapixels, settings.ct_window, burned_in)
    if film.patient:
        dicom.header.PatientID = film.patient
    with refuse_damaged("a header with values that DICOM does not allow"):
        deidentified_file = to_bytes(deidentified(dicom.header, dicom.stored, key, dicom.masked))
        facts = dicom_facts(dicom, key)
        stated = stated_patient(dicom.header)
        number, issuer = plain_number(*stated)
        result.number_id = number_id(*stated, key)
        result.number = (key.name("number", number) if number else "", key.name("issuer", issuer) if issuer else "")
        study = str(dicom.header.get("StudyInstanceUID") or "")
        result.study = key.name("study", study) if study else ""
    leave_out({facts.patient_id, result.number_id}, withdrawn)
    if dicom.masked:
        result.notes.append("text is burned in, and corners were masked: look at the picture")
    elif "BurnedInAnnotation" not in dicom.header:
        result.notes.append("BurnedInAnnotation is not stated: look at the picture")
    shapes = shapes_on_film(film, labels, dicom.pixels, 1, result)
    if not result.refusals:
        (height, width), (left_right, up_down) = dicom.pixels.shape, dicom.flips
        flipped = [shape.flipped(width if left_right else None, height if up_down else None) for shape in shapes]
        write_film(film, flip(dicom.pixels, dicom.flips), flipped, facts, out, withdrawn, result)
        write_bytes(dicom_file(out, film.image_id), deidentified_file)  # oriented as the original


def shapes_on_film(
    film: SourceFilm, labels: FilmLabels, pixels: np.ndarray, orientation: int, result: FilmResult
) -> list[Shape]:
    """The labels in pixels of their film; what does not fit is a reason to refuse the film.

    Args:
        pixels: (H, W), turned as the EXIF orientation says.
        orientation: that orientation, 1..8; 1 where there is none.
    """
    height, width = pixels.shape
    shapes, problems, notes = fit_to_film(labels, width, height, orientation)
    for problem in problems:  # coordinates are no secret, and a hospital's engineer needs them to find the box
        result.refuse(problem, film.label_public_name)
    result.notes += notes
    if any(area(shape) > MOST * height * width for shape in shapes):
        result.notes.append("a label covers more than half of the film: look whether its mask is inverted")
    return shapes


def area(shape: Shape) -> float:
    """The area of a shape in pixels, holes left out."""
    if shape.kind == "box":
        left, top, right, bottom = shape.box
        return float((right - left) * (bottom - top))
    largest, *holes = sorted((cv2.contourArea(ring.astype(np.float32)) for ring in shape.rings), reverse=True)
    return float(largest - sum(holes))


@dataclass(frozen=True)
class FilmFacts:
    """Cells of a film's row of manifest.csv that depend on its format, see `ManifestRow`."""

    patient_id: str
    modality: str
    photometric_interpretation: str
    pixel_spacing_mm: str = ""
    imager_pixel_spacing_mm: str = ""
    key_id: str = ""


def dicom_facts(dicom: DicomFilm, key: Key) -> FilmFacts:
    """What the header of a hospital's film says, its patient by the key's pseudonym."""
    return FilmFacts(
        patient_id=key.name("patient", patient_of(*stated_patient(dicom.header))),
        modality=str(dicom.header.Modality),
        photometric_interpretation=str(dicom.header.PhotometricInterpretation),
        pixel_spacing_mm=" ".join(f"{side:.10g}" for side in dicom.pixel_spacing or ()),
        imager_pixel_spacing_mm=" ".join(f"{side:.10g}" for side in dicom.imager_pixel_spacing or ()),
        key_id=key.id,
    )


def write_film(
    film: SourceFilm,
    pixels: np.ndarray,
    shapes: list[Shape],
    facts: FilmFacts,
    out: Path,
    withdrawn: Container[str],
    result: FilmResult,
) -> None:
    """Write a film's picture and enter its rows in `result`.

    Args:
        pixels: uint8 or uint16 (H, W), as it is looked at.
        shapes: in pixels of that picture.
        out: the folder that becomes data/raw.
        withdrawn: as for `process_film`.
    Raises:
        Withdrawn: a patient who withdrew had a film of these pixels.
    """
    pixel_sha256 = pixel_hash(pixels)
    leave_out({film_pseudonym(pixel_sha256)}, withdrawn)
    if pixels.min() == pixels.max():
        result.notes.append("a film of one grey level shows nothing")
    picture = image_file(out, film.image_id)
    write_png(picture, pixels)
    if missing := missing_rows(pixels):
        result.missing = missing / len(pixels)
        result.notes.append(PART_MISSING)
        if any(shape.box[3] > len(pixels) - missing for shape in shapes):
            result.notes.append("a label lies in the part of the film that is missing")
    result.hashes = perceptual_hashes(small_picture(pixels))
    result.shapes = [annotation_row(film, shape) for shape in shapes]
    result.row = {
        "image_id": film.image_id,
        "file": picture.relative_to(out).as_posix(),
        "source": film.source,
        "source_file": "" if film.hospital else film.public_name,
        "sha256": result.files[0]["sha256"],
        "file_sha256": sha256(picture),
        "pixel_sha256": pixel_sha256,
        "patient_id": facts.patient_id,
        "group": facts.patient_id,  # until copies of the film are looked for
        "split": film.split,
        "modality": facts.modality,
        "width": pixels.shape[1],
        "height": pixels.shape[0],
        "bits": pixels.dtype.itemsize * 8,
        "pixel_spacing_mm": facts.pixel_spacing_mm,
        "imager_pixel_spacing_mm": facts.imager_pixel_spacing_mm,
        "photometric_interpretation": facts.photometric_interpretation,
        "licence": film.entry.licence,
        "key_id": facts.key_id,
        "fractures": len(shapes),
    }
