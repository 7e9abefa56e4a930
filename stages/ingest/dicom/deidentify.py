"""De-identification by an allow-list: a new data set from named attributes, nothing else of the original.

PS3.15 Annex E (edition 2026c) lists what the Basic Application Level Confidentiality Profile removes or replaces;
its table grows every year, and private or unknown attributes are not in it. So nothing is removed here: a new data
set receives the attributes below, each checked or made anew, and the pixels, decoded and encoded again. No free
text, no name, no number of the hospital, no overlay, no private block, no preamble has a way in.
"""

import re
from io import BytesIO

import numpy as np
from pydicom import Dataset
from pydicom.datadict import dictionary_VR
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRLittleEndian

from stages.ingest.dicom.grey_scale import PADDING, lut_places, modality_values, padding_values
from stages.ingest.dicom.pseudonyms import Key
from stages.ingest.dicom.values import PLAUSIBLE, codes, plausible, signed

# Made from the original by the key alone: the same UID becomes the same UID in every file.
UIDS = ("SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID")
# Type 2 attributes of all films, and of those of one modality (PS3.3 A.2, A.3, A.26): they must be present, and are
# empty where nothing below gives them a value.
EMPTY = (
    *("PatientBirthDate", "PatientSex", "StudyTime", "AccessionNumber", "ReferringPhysicianName", "StudyID"),
    *("SeriesNumber", "Manufacturer", "InstanceNumber"),
)
EMPTY_OF = {
    "CR": ("BodyPartExamined", "ViewPosition", "PatientOrientation"),
    "DX": ("AnatomicRegionSequence", "DetectorType", "AcquisitionContextSequence"),
    "CT": ("PatientPosition", "PositionReferenceIndicator", "SliceThickness", "KVP", "AcquisitionNumber"),
}
# Whole numbers that say how pixels are stored; PLAUSIBLE has those that say how they are shown and placed.
STORED = ("Rows", "Columns", "BitsStored", "PixelRepresentation", "SamplesPerPixel")
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
    "PixelIntensityRelationship": {"LIN", "LOG", "DISP"},
    "PixelIntensityRelationshipSign": {"1", "-1"},
    "LossyImageCompression": {"00", "01"},
    "DetectorType": {"DIRECT", "SCINTILLATOR", "STORAGE", "FILM"},
    "PatientPosition": {f"{first}F{last}" for first in "HF" for last in ("P", "S", "DR", "DL")},
}
# The SNOMED CT code of a BodyPartExamined (PS3.16 Annex L), which a DX film states twice.
REGIONS = {
    "WRIST": ("74670003", "Wrist joint"),
    "HAND": ("85562004", "Hand"),
    "FOREARM": ("14975008", "Forearm"),
    "RADIUS": ("62413002", "Radius"),
    "ULNA": ("23416004", "Ulna"),
    "EXTREMITY": ("66019005", "Extremity"),
    "FINGER": ("7569003", "Finger"),
    "ELBOW": ("16953009", "Elbow joint"),
}
IMAGE_TYPES = ({"ORIGINAL", "DERIVED"}, {"PRIMARY", "SECONDARY"}, {"AXIAL", "LOCALIZER"})  # the third is of CT
DIRECTION = "[AP]?[RL]?[HF]?"  # of rows or columns in the patient, in any order of the letters
LUTS = ("VOILUTSequence", "ModalityLUTSequence")
METHOD = ["Allow-list of attributes, keyed pseudonyms and UIDs", "PS3.15 Annex E Basic Profile, modified dates"]
PROFILE = [
    ("113100", "Basic Application Confidentiality Profile"),
    ("113107", "Retain Longitudinal Temporal Information Modified Dates Option"),
]
MASKED = "Corners of the pixels blackened"  # which is no Clean Pixel Data Option: text may stand elsewhere


def stated_patient(header: Dataset) -> tuple[str, str]:
    """Number and issuer of the patient, stripped; blank where the header states none."""
    number, issuer = (str(header.get(name) or "").strip() for name in ("PatientID", "IssuerOfPatientID"))
    return number, issuer


def patient_of(number: str, issuer: str) -> str:
    """What names a patient in a hospital."""
    return f"{issuer}|{number}" if issuer and number else number


def plain_number(number: str, issuer: str) -> tuple[str, str]:
    """The patient's number without punctuation, case and leading zeros, and its issuer: 00-12-34 and 001234 are one."""
    return plain_id(number), issuer.casefold()


def number_id(number: str, issuer: str, key: Key) -> str:
    """The pseudonym of a patient's number however it is spelled; blank without a number."""
    plain, of = plain_number(number, issuer)
    return key.name("number of an issuer", f"{plain or number}|{of}") if number else ""  # 000 is spelled in one way


def plain_id(number: str) -> str:
    """A patient's number without punctuation, case and leading zeros."""
    return re.sub(r"[\W_]", "", number).casefold().lstrip("0")


def deidentified(header: Dataset, stored: np.ndarray, key: Key, masked: bool) -> FileDataset:
    """A new data set of the same film with the patient's pseudonym, new UIDs, and shifted StudyDate.

    Args:
        stored: int32 (Rows, Columns), corners already masked where `masked` says so.
    """
    patient = patient_of(*stated_patient(header))
    data = FileDataset("", {}, file_meta=FileMetaDataset(), preamble=bytes(128))
    data.SOPClassUID = header.SOPClassUID
    for name in UIDS:
        if header.get(name):
            setattr(data, name, key.uid(str(header[name].value)))
    data.PatientID = data.PatientName = key.name("patient", patient)
    data.StudyDate = key.shifted(patient, str(header.get("StudyDate") or ""))
    keep_numbers(header, data)
    keep_codes(header, data)
    keep_luts(header, stored, data)
    add_empty(data)
    write_pixels(data, stored)
    declare(data, masked, str(header.get("BurnedInAnnotation") or "").strip())
    return data


def keep_numbers(header: Dataset, data: Dataset) -> None:
    """Numbers, through a number: no text survives that, and no number that is too large to be one of a film."""
    for name in STORED:
        setattr(data, name, int(header[name].value))
    for name in PLAUSIBLE:
        values = [shortest(value) for value in plausible(header, name)]
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
        values = codes(header, name)
        if len(values) == 1 and values[0] in allowed:
            setattr(data, name, int(values[0]) if dictionary_VR(name) == "SS" else values[0])
    kinds = codes(header, "ImageType")
    known = [kind in allowed for kind, allowed in zip(kinds, IMAGE_TYPES, strict=False)]
    if known[:2] == [True, True]:
        data.ImageType = kinds[: 3 if all(known) else 2]
    directions = codes(header, "PatientOrientation")
    if len(directions) == 2 and all(map(is_direction, directions)):
        data.PatientOrientation = directions
    if data.Modality == "DX" and (region := REGIONS.get(data.get("BodyPartExamined"))):
        data.AnatomicRegionSequence = Sequence([code("SCT", *region)])


def is_direction(value: str) -> bool:
    """Whether a value of PatientOrientation is one of PS3.3 C.7.6.1.1.1."""
    ordered = "".join(sorted(value, key="APRLHF".find))
    return bool(value) and re.fullmatch(DIRECTION, ordered) is not None


def add_empty(data: Dataset) -> None:
    """What must be present and has no value: a viewer or an archive may refuse a file without it."""
    names = (*EMPTY, *EMPTY_OF[data.Modality])
    if "ImageLaterality" not in data:
        names = (*names, "Laterality")
    for name in names:
        if name not in data:
            setattr(data, name, [] if dictionary_VR(name) == "SQ" else "")


def keep_luts(header: Dataset, stored: np.ndarray, data: Dataset) -> None:
    """Of each lookup table what display needs."""
    if header.get("ModalityLUTSequence"):
        negative = int(header.PixelRepresentation) == 1
        data.ModalityLUTSequence = Sequence([lut(header.ModalityLUTSequence[0], stored, negative, header)])
    if header.get("VOILUTSequence"):
        values, low, _ = modality_values(header, stored)
        data.VOILUTSequence = Sequence([lut(header.VOILUTSequence[0], values, low < 0, header)])


def lut(item: Dataset, values: np.ndarray, negative: bool, header: Dataset) -> Dataset:
    """A lookup table with the entries that the film's values take, and nothing else that may stand in it.

    Its explanation is free text, and so may be what follows the table, what no value takes, and a second table, of
    which display needs none (PS3.3 C.11.2.1.1: one is chosen). An entry that no value takes is the one before it.

    Args:
        item: of the LUT's sequence.
        values: of the film, (Rows, Columns), that are looked up in it.
        negative: whether they can be.
        header: of the film.
    """
    entries, first, place = lut_places(values, item, header, negative)
    taken = np.unique(place)
    shown = np.arange(taken[0], taken[-1] + 1)
    before = taken[np.searchsorted(taken, shown, side="right") - 1]
    out = Dataset()
    lowest = first + int(taken[0])
    # The film's sign decides that of this number; the number of entries has none.
    lowest = signed(lowest, 16) if int(header.PixelRepresentation) == 1 else lowest & 0xFFFF
    out.LUTDescriptor = [len(shown) & 0xFFFF, lowest, int(item.LUTDescriptor[2])]
    out.add_new("LUTData", "OW", entries[before].astype("<u2").tobytes())
    kind = str(item.get("ModalityLUTType") or "")
    if kind in CODES["RescaleType"]:
        out.ModalityLUTType = kind
    return out


def write_pixels(data: Dataset, stored: np.ndarray) -> None:
    """Native pixels of 16 bits, from int32 (Rows, Columns): no codestream, and so no comment in one, is passed on."""
    signed = int(data.PixelRepresentation) == 1
    data.BitsAllocated, data.HighBit = 16, int(data.BitsStored) - 1
    data.add_new("PixelData", "OW", stored.astype("<i2" if signed else "<u2").tobytes())
    data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data.file_meta.MediaStorageSOPClassUID = data.SOPClassUID
    data.file_meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID


def declare(data: Dataset, masked: bool, burned_in: str) -> None:
    """What PS3.15 E.1.1 asks a de-identified object to say of itself; of its pixels only what is known.

    Args:
        data: gets the attributes.
        masked: whether the corners of its pixels are black.
        burned_in: what the film's own header states as BurnedInAnnotation; blank where it does not.
    """
    data.PatientIdentityRemoved = "YES"
    if burned_in in ("YES", "NO"):
        data.BurnedInAnnotation = burned_in
    data.DeidentificationMethod = [*METHOD, MASKED] if masked else METHOD
    if masked and "ImageType" in data:
        data.ImageType = ["DERIVED", *list(data.ImageType)[1:]]  # PS3.3 C.7.6.1.1.2: these pixels are no original
    data.LongitudinalTemporalInformationModified = "MODIFIED"
    data.DeidentificationMethodCodeSequence = Sequence([code("DCM", *option) for option in PROFILE])


def code(scheme: str, value: str, meaning: str) -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, scheme, meaning
    return item


def to_bytes(data: FileDataset) -> bytes:
    buffer = BytesIO()
    data.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()
