"""De-identification by an allow-list: a new data set from named attributes, nothing else of the original.

PS3.15 Annex E (edition 2026c) lists what the Basic Application Level Confidentiality Profile removes or replaces;
its table grows every year, and private or unknown attributes are not in it. So nothing is removed here: a new data
set receives the attributes below, each checked or made anew, and the pixels, decoded and encoded again. No free
text, no name, no number of the hospital, no overlay, no private block, no preamble has a way in.
"""

import re
from collections.abc import Iterable
from io import BytesIO

import numpy as np
from pydicom import Dataset
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRLittleEndian

from stages.ingest.dicom.grey_scale import PADDING, lut_entries, padding_values
from stages.ingest.dicom.pseudonyms import Key
from stages.ingest.dicom.values import multi, signed

# Made from the original by the key alone: the same UID becomes the same UID in every file.
UIDS = ("SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID")
# Type 2 attributes: they must be present, and are empty.
EMPTY = ("PatientBirthDate", "PatientSex", "StudyTime", "AccessionNumber", "ReferringPhysicianName", "StudyID")
# Whole numbers and decimals that say how pixels are stored, shown and placed.
NUMBERS = (
    *("Rows", "Columns", "BitsStored", "PixelRepresentation", "SamplesPerPixel"),
    *("RescaleSlope", "RescaleIntercept"),
    *("WindowCenter", "WindowWidth", "PixelSpacing", "ImagerPixelSpacing", "SliceThickness"),
    *("ImageOrientationPatient", "ImagePositionPatient"),
)
# Code strings, with the values that the standard or common practice gives them; any other value is left out.
CODES: dict[str, set[str]] = {
    "Modality": {"CR", "DX", "CT"},
    "PhotometricInterpretation": {"MONOCHROME1", "MONOCHROME2"},
    "PresentationLUTShape": {"IDENTITY", "INVERSE"},
    "PresentationIntentType": {"FOR PRESENTATION"},
    "VOILUTFunction": {"LINEAR", "LINEAR_EXACT", "SIGMOID"},
    "RescaleType": {"HU", "US", "OD"},
    "BodyPartExamined": {"WRIST", "HAND", "FOREARM", "ARM", "RADIUS", "ULNA", "EXTREMITY", "FINGER", "ELBOW"},
    "Laterality": {"L", "R"},
    "ImageLaterality": {"L", "R", "U", "B"},
    "ViewPosition": {"AP", "PA", "LL", "RL", "LLO", "RLO", "LATERAL", "LAT", "OBLIQUE"},
    "PixelIntensityRelationship": {"LIN", "LOG"},
}
IMAGE_TYPES = ({"ORIGINAL", "DERIVED"}, {"PRIMARY", "SECONDARY"})
LUTS = {"VOILUTSequence": (), "ModalityLUTSequence": ("ModalityLUTType",)}
METHOD = ["Allow-list of attributes, keyed pseudonyms and UIDs", "PS3.15 Annex E Basic Profile, modified dates"]
PROFILE = [
    ("113100", "Basic Application Confidentiality Profile"),
    ("113107", "Retain Longitudinal Temporal Information Modified Dates Option"),
]
CLEAN_PIXELS = ("113101", "Clean Pixel Data Option")


def patient_of(header: Dataset) -> str:
    """What names a patient in a hospital: issuer and number, stripped."""
    issuer, number = (str(header.get(name) or "").strip() for name in ("IssuerOfPatientID", "PatientID"))
    return f"{issuer}|{number}" if issuer and number else number


def plain_number(header: Dataset) -> tuple[str, str]:
    """The patient's number without punctuation, case and leading zeros, and its issuer: 00-12-34 and 001234 are one."""
    issuer, number = (str(header.get(name) or "").strip() for name in ("IssuerOfPatientID", "PatientID"))
    return re.sub(r"[\W_]", "", number).casefold().lstrip("0"), issuer.casefold()


def deidentified(header: Dataset, stored: np.ndarray, key: Key, masked: bool) -> FileDataset:
    """A new data set of the same film with the patient's pseudonym, new UIDs, and shifted StudyDate.

    Args:
        stored: int32 (Rows, Columns), corners already masked where `masked` says so.
    """
    patient = patient_of(header)
    data = FileDataset("", {}, file_meta=FileMetaDataset(), preamble=bytes(128))
    data.SOPClassUID = header.SOPClassUID
    for name in UIDS:
        if header.get(name):
            setattr(data, name, key.uid(str(header[name].value)))
    for name in EMPTY:
        setattr(data, name, "")
    data.PatientID = data.PatientName = key.name("patient", patient)
    data.StudyDate = key.shifted(patient, str(header.get("StudyDate") or ""))
    keep_numbers(header, data)
    keep_codes(header, data)
    for name, texts in LUTS.items():
        if header.get(name):
            setattr(data, name, Sequence([lut(item, texts, header) for item in header[name].value]))
    write_pixels(data, stored)
    declare(data, masked, masked or header.get("BurnedInAnnotation") == "NO")
    return data


def keep_numbers(header: Dataset, data: Dataset) -> None:
    """Numbers, through a number: no text survives that."""
    for name in NUMBERS:
        values = [shortest(float(value)) for value in multi(header.get(name))]
        if values:
            setattr(data, name, values if len(values) > 1 else values[0])
    for name, value in zip(PADDING, padding_values(header), strict=False):
        setattr(data, name, value)


def shortest(value: float) -> int | float:
    """A number that DICOM's 16 characters hold."""
    return int(value) if value == int(value) else float(f"{value:.9g}")


def keep_codes(header: Dataset, data: Dataset) -> None:
    """Code strings that are on their list."""
    for name, allowed in CODES.items():
        value = str(header.get(name) or "").strip().upper()
        if value in allowed:
            setattr(data, name, value)
    kinds = [str(value).upper() for value in multi(header.get("ImageType"))][:2]
    if len(kinds) == 2 and all(kind in allowed for kind, allowed in zip(kinds, IMAGE_TYPES, strict=True)):
        data.ImageType = kinds


def lut(item: Dataset, texts: Iterable[str], header: Dataset) -> Dataset:
    """A lookup table without its explanation, which is free text.

    Args:
        item: of the LUT's sequence.
        texts: attributes of it that may be passed on.
        header: of the film.
    """
    out = Dataset()
    negative = int(header.PixelRepresentation) == 1  # which decides the VR of all three numbers
    out.LUTDescriptor = [signed(value, 16) if negative else int(value) & 0xFFFF for value in item.LUTDescriptor]
    out.add_new("LUTData", "OW", lut_entries(item, header).astype("<u2").tobytes())
    for name in texts:
        if str(item.get(name) or "") in CODES["RescaleType"]:
            setattr(out, name, str(item[name].value))
    return out


def write_pixels(data: Dataset, stored: np.ndarray) -> None:
    """Native pixels of 16 bits, from int32 (Rows, Columns): no codestream, and so no comment in one, is passed on."""
    signed = int(data.PixelRepresentation) == 1
    data.BitsAllocated, data.HighBit = 16, int(data.BitsStored) - 1
    data.add_new("PixelData", "OW", stored.astype("<i2" if signed else "<u2").tobytes())
    data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data.file_meta.MediaStorageSOPClassUID = data.SOPClassUID
    data.file_meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID


def declare(data: Dataset, masked: bool, clean: bool) -> None:
    """What PS3.15 E.1.1 asks a de-identified object to say of itself; of its pixels only what is known."""
    data.PatientIdentityRemoved = "YES"
    if clean:
        data.BurnedInAnnotation = "NO"
    data.DeidentificationMethod = METHOD
    data.LongitudinalTemporalInformationModified = "MODIFIED"
    codes = [*PROFILE, CLEAN_PIXELS] if masked else PROFILE
    data.DeidentificationMethodCodeSequence = Sequence([code(value, meaning) for value, meaning in codes])


def code(value: str, meaning: str) -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, "DCM", meaning
    return item


def to_bytes(data: FileDataset) -> bytes:
    buffer = BytesIO()
    data.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()
