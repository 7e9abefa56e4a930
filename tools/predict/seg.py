"""A mask as DICOM Segmentation (PS3.3 A.51), by highdicom, for viewers that lay one over its film.

A radiograph has no position and orientation in the patient, so that its segmentation states none either. OHIF 3.12 asks
for one, and lists such a segmentation without drawing it.
"""

from functools import partial
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path

import highdicom
import numpy as np
from highdicom.seg import SegmentAlgorithmTypeValues, Segmentation, SegmentationTypeValues, SegmentDescription
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import dcmwrite
from pydicom.sr.codedict import codes
from pydicom.uid import UID, ExplicitVRLittleEndian, generate_uid
from pydicom.valuerep import DA, TM

from stages.common.core.errors import UserError
from stages.common.core.files import write_bytes
from stages.ingest.dicom.values import multi

FRACTURE = highdicom.sr.CodedConcept("125605004", "SCT", "Fracture of bone")
UIDS = ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID")
# What a segmentation shares with its film's patient and study: type 2, so that each is present and may be empty.
TEXTS = ("PatientID", "PatientName", "PatientSex", "AccessionNumber", "StudyID", "ReferringPhysicianName")
DATES: dict[str, type[DA] | type[TM]] = {"PatientBirthDate": DA, "StudyDate": DA, "StudyTime": TM}
SEXES = ("M", "F", "O")
NO_DATE = "19000101"  # of a film without StudyDate
# Where a CT slice lies in the patient: a segmentation of it must say the same.
GEOMETRY = ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "SliceThickness")


def write_seg(path: Path, header: Dataset, mask: np.ndarray, model: str, warning: str) -> None:
    """Write a binary segmentation of one film.

    It belongs to the film's study and patient, as the standard asks: it holds their names wherever the film does. UIDs
    and dates follow from the film, the mask and the model, so that the same prediction has the same bytes.

    Args:
        header: the film's data set.
        mask: bool (Rows, Columns), as the film is stored.
        model: its name.
        warning: a sentence for whoever sees the segmentation.
    Raises:
        UserError: the film lacks what a segmentation must refer to, as a CT slice without FrameOfReferenceUID does.
    """
    algorithm = highdicom.AlgorithmIdentificationSequence(
        name=f"wrist predict, {model}",
        version=version("wrist-fracture-segmentation"),
        family=codes.DCM.ArtificialIntelligence,
    )
    segment = SegmentDescription(
        segment_number=1,
        segment_label="Suspected fracture",
        segmented_property_category=codes.SCT.MorphologicallyAbnormalStructure,
        segmented_property_type=FRACTURE,
        algorithm_type=SegmentAlgorithmTypeValues.AUTOMATIC,
        algorithm_identification=algorithm,
    )
    reference = reference_to(header)
    made_from = partial(uid_of, str(reference.SOPInstanceUID), model, sha256(np.packbits(mask).tobytes()).hexdigest())
    segmentation = Segmentation(
        source_images=[reference],
        pixel_array=mask[None].astype(np.uint8),
        segmentation_type=SegmentationTypeValues.BINARY,
        segment_descriptions=[segment],
        series_instance_uid=made_from("series"),
        series_number=9000,
        sop_instance_uid=made_from("instance"),
        instance_number=1,
        manufacturer="wrist-fracture-segmentation",
        manufacturer_model_name="wrist predict",
        software_versions=version("wrist-fracture-segmentation"),
        device_serial_number="0",
        series_description="Fracture segmentation: research only",
        content_description="Research, not a medical device",
        omit_empty_frames=False,
    )
    segmentation.ImageComments = warning
    date_by(segmentation, reference)
    organisation = made_from("dimensions")
    for sequence in (segmentation.DimensionOrganizationSequence, segmentation.DimensionIndexSequence):
        for item in sequence:
            item.DimensionOrganizationUID = organisation
    if header.Modality != "CT":  # type 2C: where no position in the patient is stated
        segmentation.PatientOrientation = orientation(header)
    buffer = DicomBytesIO()
    dcmwrite(buffer, segmentation, enforce_file_format=True)
    write_bytes(path, buffer.getvalue())


def uid_of(*words: str) -> UID:
    """A UID that follows from words (PS3.5 B.2, by a hash)."""
    return generate_uid(entropy_srcs=[f"{len(word)} {word}" for word in words])


def date_by(segmentation: Dataset, film: Dataset) -> None:
    """Give a segmentation the date of its film's study, which its type 1 attributes need, and no time of its making.

    Args:
        segmentation: as highdicom dates it, by the clock.
        film: with StudyDate and StudyTime, which may be blank.
    """
    segmentation.ContentDate, segmentation.ContentTime = film.StudyDate or NO_DATE, film.StudyTime or "000000"
    for name in ("InstanceCreationDate", "InstanceCreationTime", "ContributingEquipmentSequence"):
        segmentation.pop(name, None)


def reference_to(header: Dataset) -> Dataset:
    """What a segmentation takes from its film, as a data set of its own in UTF-8.

    highdicom refuses films for attributes that the standard lets be empty, or that other programs write otherwise
    (character sets, big endian, dates in words); such a value is empty in the copy.

    Args:
        header: the film's data set.
    Raises:
        UserError: the film lacks what a segmentation must refer to.
    """
    data = Dataset()
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data.SpecificCharacterSet = "ISO_IR 192"
    data.Modality, data.Rows, data.Columns = str(header.Modality), int(header.Rows), int(header.Columns)
    in_patient = header.Modality == "CT"
    for name in (*UIDS, "FrameOfReferenceUID"):
        uid = UID(text_of(header, name))
        if uid and uid.is_valid:
            setattr(data, name, uid)
        elif in_patient or name in UIDS:
            raise UserError(f"the film has no valid {name}, to which a segmentation must refer")
    for name in TEXTS:
        setattr(data, name, text_of(header, name))
    if data.PatientSex not in SEXES:
        data.PatientSex = ""
    for name, kind in DATES.items():
        setattr(data, name, moment(text_of(header, name), kind))
    for name in GEOMETRY if in_patient else ():
        values = [float(value) for value in multi(header.get(name))]
        if values:
            setattr(data, name, values if len(values) > 1 else values[0])
        else:
            raise UserError(f"the film has no {name}, to which a segmentation must refer")
    return data


def orientation(header: Dataset) -> list[str]:
    """PatientOrientation, empty where it is not the two directions of the standard (PS3.3 C.7.6.1.1.1)."""
    values = text_of(header, "PatientOrientation").strip("[]").replace("'", "").split(", ")
    return values if len(values) == 2 and all(value and set(value) <= set("ALPRHF") for value in values) else []


def text_of(header: Dataset, name: str) -> str:
    """An attribute's value as text, blank where it is absent or cannot be decoded."""
    try:
        return str(header.get(name) or "").strip("\0 ")
    except Exception:  # pydicom decodes when it is asked, and raises a dozen types
        return ""


def moment(value: str, kind: type[DA] | type[TM]) -> str:
    """A date or time by the standard's form (PS3.5 6.2), blank where it has another."""
    try:
        return str(kind(value) or "")
    except ValueError:
        return ""
