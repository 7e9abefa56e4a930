"""A mask as DICOM Segmentation (PS3.3 A.51), by highdicom: any viewer lays it over its film."""

import warnings
from importlib.metadata import version
from pathlib import Path

import highdicom
import numpy as np
from highdicom.seg import SegmentAlgorithmTypeValues, Segmentation, SegmentationTypeValues, SegmentDescription
from pydicom import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import dcmwrite
from pydicom.sr.codedict import codes
from pydicom.uid import generate_uid

from stages.common.core.errors import UserError
from stages.common.core.files import write_bytes

FRACTURE = highdicom.sr.CodedConcept("125605004", "SCT", "Fracture of bone")


def write_seg(path: Path, header: Dataset, mask: np.ndarray, model: str, warning: str) -> None:
    """Write a binary segmentation of one film.

    It belongs to the film's study and patient, as the standard asks: it holds their names wherever the film does.

    Args:
        header: the film's data set.
        mask: bool (Rows, Columns), as the film is stored.
    Raises:
        UserError: the film lacks what a segmentation must refer to, as a CT slice without FrameOfReferenceUID does.
    """
    algorithm = highdicom.AlgorithmIdentificationSequence(
        name=f"U-Net, {model}", version=version("wrist-fracture-segmentation"), family=codes.DCM.ArtificialIntelligence
    )
    segment = SegmentDescription(
        segment_number=1,
        segment_label="Suspected fracture",
        segmented_property_category=codes.SCT.MorphologicallyAbnormalStructure,
        segmented_property_type=FRACTURE,
        algorithm_type=SegmentAlgorithmTypeValues.AUTOMATIC,
        algorithm_identification=algorithm,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it quotes names that it thinks unusual
        try:
            segmentation = Segmentation(
                source_images=[header],
                pixel_array=mask[None].astype(np.uint8),
                segmentation_type=SegmentationTypeValues.BINARY,
                segment_descriptions=[segment],
                series_instance_uid=generate_uid(),
                series_number=9000,
                sop_instance_uid=generate_uid(),
                instance_number=1,
                manufacturer="wrist-fracture-segmentation",
                manufacturer_model_name="U-Net",
                software_versions=version("wrist-fracture-segmentation"),
                device_serial_number="0",
                series_description="Fracture segmentation: research only",
                content_description="Research, not a medical device",
                omit_empty_frames=False,
            )
        except (AttributeError, ValueError, TypeError) as error:  # what highdicom says to a header that lacks something
            raise UserError(f"expected a film that DICOM SEG can refer to, found: {error}") from None
    segmentation.ImageComments = warning
    buffer = DicomBytesIO()
    dcmwrite(buffer, segmentation, enforce_file_format=True)
    write_bytes(path, buffer.getvalue())
