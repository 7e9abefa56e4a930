"""The embedded sample: synthetic wrists laid down as the two real sources deliver theirs.

About 11 films in 16 go into a Kaggle-style archive (PNG and JPEG, YOLO txt boxes, a table of patients), the rest into
a hospital-style DICOM export (CR, DX and CT, 12 to 16 bit, MONOCHROME1 and 2, invented names, PASCAL VOC XML boxes).
Every film is drawn from (seed, patient, film) alone, so any subset is the same on every machine and in any order.
"""

import csv
import io
import zipfile
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import (
    ComputedRadiographyImageStorage,
    CTImageStorage,
    DigitalXRayImageStorageForPresentation,
    ExplicitVRLittleEndian,
    generate_uid,
)

from stages.common.core.parallel import track
from stages.ingest.dicom.deidentify import REGIONS, code
from stages.ingest.params import Sample
from stages.ingest.sources.phantom import PhantomFilm, ct_slice, draw_fractures, radiograph

KAGGLE_SHARE = 11 / 16
FAMILY_NAMES = ("SYNTHETIC", "INVENTED", "NOBODY", "PHANTOM", "EXAMPLE", "PLACEHOLDER")
GIVEN_NAMES = ("ALPHA", "BRAVO", "CHARLIE", "DELTA", "ECHO", "FOXTROT", "GOLF", "HOTEL")
KINDS = {"CR": ComputedRadiographyImageStorage, "DX": DigitalXRayImageStorageForPresentation, "CT": CTImageStorage}
# What a valid file of each kind states besides (PS3.3 A.2, A.3, A.26), the same for all films.
STATED: dict[str, dict[str, object]] = {
    "all": {
        **dict.fromkeys(("StudyTime", "AccessionNumber", "ReferringPhysicianName"), ""),
        "StudyID": "1",
        "SeriesNumber": 1,
        "Manufacturer": "Invented",
    },
    "CR": {"ViewPosition": "PA", "PatientOrientation": ["L", "F"]},
    "DX": {
        "ImageType": ["ORIGINAL", "PRIMARY"],
        "PresentationIntentType": "FOR PRESENTATION",
        "PatientOrientation": ["L", "F"],
        "AcquisitionContextSequence": [],
        "AnatomicRegionSequence": [code("SCT", *REGIONS["WRIST"])],
        "PixelIntensityRelationship": "LOG",
        "PixelIntensityRelationshipSign": -1,
        "DetectorType": "DIRECT",
        "RescaleIntercept": 0,
        "RescaleSlope": 1,
        "RescaleType": "US",
        "LossyImageCompression": "00",
    },
    "CT": {
        "ImageType": ["ORIGINAL", "PRIMARY", "AXIAL"],
        "PatientPosition": "HFS",
        "PositionReferenceIndicator": "",
        "ImagePositionPatient": [0, 0, 0],
        "ImageOrientationPatient": [1, 0, 0, 0, 0, -1],
        "SliceThickness": 1,
        "KVP": 120,
        "AcquisitionNumber": 1,
    },
}


@dataclass(frozen=True)
class SampleFilm:
    """Which film to draw: `patient` decides the anatomy and the breaks, `film` the pose and the exposure."""

    film: int
    patient: int
    source: str
    modality: str


def plan_films(films: int) -> list[SampleFilm]:
    """Deal films to patients and sources: runs of 1, 2, 1, 3 films a patient; every fourth hospital patient has CT."""
    kaggle = round(films * KAGGLE_SHARE)
    runs, plans, patient = (1, 2, 1, 3), [], 0
    for source, start, stop in (("kaggle", 0, kaggle), ("hospital", kaggle, films)):
        film = start
        while film < stop:
            for _ in range(min(runs[patient % len(runs)], stop - film)):
                hospital = ("CT", "CR", "DX", "CR")[patient % 4]
                plans.append(SampleFilm(film, patient, source, hospital if source == "hospital" else "CR"))
                film += 1
            patient += 1
    return plans


def draw(plan: SampleFilm, settings: Sample) -> PhantomFilm:
    """The film of a plan; every tenth patient has no fracture."""
    anatomy = np.random.default_rng([settings.seed, plan.patient, 0])
    pose = np.random.default_rng([settings.seed, plan.patient, 1, plan.film])
    fractures = (
        [] if plan.patient % 10 == 9 else draw_fractures(np.random.default_rng([settings.seed, plan.patient, 2]))
    )
    if plan.modality == "CT":
        # The scaphoid is not on a slice through the forearm: such a patient's slice shows the radius instead.
        on_slice = [f for f in fractures if f.bone != "scaphoid"]
        return ct_slice(anatomy, pose, on_slice, max(128, settings.width // 2))
    return radiograph(anatomy, pose, fractures, settings.width)


def write_sample(target: Path, settings: Sample, pool: Executor) -> None:
    """Write `archive.zip` and the folder `export` into `target`."""
    plans = plan_films(settings.films)
    files = track(pool, partial(encode, settings=settings), plans, "draw the sample")
    with zipfile.ZipFile(target / "archive.zip", "w") as archive:
        for plan, parts in zip(plans, files, strict=True):
            for name, content in parts.items():
                if plan.source == "kaggle":
                    archive.writestr(zipfile.ZipInfo(f"wrist-sample/{name}"), content)
                else:
                    path = target / "export" / name
                    path.parent.mkdir(parents=True, exist_ok=True)
                    path.write_bytes(content)
        archive.writestr(zipfile.ZipInfo("wrist-sample/dataset.csv"), patient_table(plans))
        archive.writestr(zipfile.ZipInfo("wrist-sample/data.yaml"), "names: [fracture]\n")


def patient_table(plans: list[SampleFilm]) -> str:
    """The archive's table of films and patients, as GRAZPEDWRI-DX has one."""
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(["filestem", "patient_id"])
    table.writerows([f"wrist_{p.film:04d}", p.patient] for p in plans if p.source == "kaggle")
    return text.getvalue()


def encode(plan: SampleFilm, settings: Sample) -> dict[str, bytes]:
    """The files of one film in its source's formats, by their names in the archive or export."""
    film = draw(plan, settings)
    if plan.source == "hospital":
        study = f"PAT{plan.patient:04d}"
        return {
            f"{study}/IM{plan.film:04d}.dcm": dicom_file(plan, film, settings.seed),
            f"{study}/IM{plan.film:04d}.xml": voc_file(plan, film),
        }
    name, picture = f"wrist_{plan.film:04d}", io.BytesIO()
    image = Image.fromarray(np.round(film.density * 255).astype(np.uint8))
    jpeg = plan.film % 4 == 0
    image.save(picture, format="JPEG" if jpeg else "PNG", **({"quality": 92} if jpeg else {}))
    height, width = film.density.shape
    lines = []
    for left, top, right, bottom in film.boxes:
        values = (
            (left + right) / 2 / width,
            (top + bottom) / 2 / height,
            (right - left) / width,
            (bottom - top) / height,
        )
        lines.append("0 " + " ".join(f"{value:.6f}" for value in values) + "\n")
    suffix = "jpg" if jpeg else "png"
    return {f"images/{name}.{suffix}": picture.getvalue(), f"labels/{name}.txt": "".join(lines).encode()}


def voc_file(plan: SampleFilm, film: PhantomFilm) -> bytes:
    """PASCAL VOC XML with corners on whole pixels, as annotation tools write them."""
    height, width = film.density.shape
    objects = "".join(
        f"<object><name>fracture</name><bndbox><xmin>{int(left)}</xmin><ymin>{int(top)}</ymin>"
        f"<xmax>{int(np.ceil(right))}</xmax><ymax>{int(np.ceil(bottom))}</ymax></bndbox></object>"
        for left, top, right, bottom in film.boxes
    )
    return (
        f"<annotation><filename>IM{plan.film:04d}.dcm</filename>"
        f"<size><width>{width}</width><height>{height}</height><depth>1</depth></size>{objects}</annotation>\n"
    ).encode()


def dicom_file(plan: SampleFilm, film: PhantomFilm, seed: int) -> bytes:
    """A DICOM Part 10 file with an invented patient in its header."""
    bits = {"CR": 12, "DX": 16 if plan.patient % 3 == 0 else 14, "CT": 12}[plan.modality]
    inverted = plan.modality != "CT" and plan.patient % 2 == 0
    uids = [generate_uid(entropy_srcs=[f"{seed}", kind, f"{plan.patient}", f"{plan.film}"]) for kind in "abcd"]
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = KINDS[plan.modality], uids[0]
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    data.SOPClassUID, data.SOPInstanceUID = KINDS[plan.modality], uids[0]
    data.StudyInstanceUID, data.SeriesInstanceUID = uids[1], uids[2]
    data.Modality, data.BodyPartExamined = plan.modality, "WRIST"
    for name, value in (STATED["all"] | STATED[plan.modality]).items():
        setattr(data, name, value)
    given, family = GIVEN_NAMES[plan.patient % 8], FAMILY_NAMES[plan.patient % 6]
    data.PatientName, data.PatientID = f"{family}^{given}", f"MRN{700_000 + plan.patient}"
    data.PatientBirthDate, data.PatientSex = f"19{plan.patient % 90 + 10}0101", "FM"[plan.patient % 2]
    data.InstitutionName, data.StudyDate = "Invented General Hospital", "20240101"
    data.BurnedInAnnotation, data.InstanceNumber = "NO", plan.film + 1
    setattr(data, "ImageLaterality" if plan.modality == "DX" else "Laterality", film.side)
    data.Rows, data.Columns = film.density.shape
    data.SamplesPerPixel, data.PixelRepresentation = 1, 0
    data.PhotometricInterpretation = "MONOCHROME1" if inverted else "MONOCHROME2"
    if plan.modality == "DX":
        data.PresentationLUTShape = "INVERSE" if inverted else "IDENTITY"
    data.BitsAllocated, data.BitsStored, data.HighBit = 16, bits, bits - 1
    spacing = [f"{film.spacing_mm:.5f}"] * 2
    top = 2**bits - 1
    if plan.modality == "CT":
        data.PixelSpacing, data.RescaleIntercept, data.RescaleSlope = spacing, -1024, 1
        data.FrameOfReferenceUID = uids[3]
        data.WindowCenter, data.WindowWidth = 400, 2000
        values = np.clip(np.round(film.density + 1024), 0, top)
    else:
        data.ImagerPixelSpacing = spacing
        # The detector's range is wider than the picture's, as it is on real films: a window says what to show.
        values = np.round((0.1 + 0.8 * (1 - film.density if inverted else film.density)) * top)
        data.WindowCenter, data.WindowWidth = round(0.5 * top), round(0.8 * top)
    data.PixelData = values.astype("<u2").tobytes()
    buffer = io.BytesIO()
    data.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()
