"""Decoders: bytes of a PNG, JPEG, TIFF or DICOM file to grey pixels with bright bones."""

import warnings
from io import BytesIO
from typing import Any

import numpy as np
from PIL import Image, ImageOps
from pydicom import Dataset, dcmread
from pydicom.pixels.processing import apply_modality_lut, apply_voi_lut

from stages.common.errors import Fault

FORMATS = ("PNG", "JPEG", "TIFF")
SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff")
MAX_PIXELS = 64_000_000  # the largest flat-panel detectors have some 18 million
CT_BONE_WINDOW = (400.0, 2000.0)  # centre and width in HU, for slices without a window of their own
MODALITIES = ("CR", "DX", "CT")


def decode_picture(content: bytes, name: str) -> np.ndarray:
    """Grey pixels of an ordinary picture, uint8 or uint16 (H, W); colour becomes luma, EXIF rotation is applied.

    Raises:
        Fault: another format, truncated, or more than 64 million pixels.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(BytesIO(content), formats=FORMATS) as image:
                if image.width * image.height > MAX_PIXELS:
                    raise ValueError(f"{image.width} x {image.height} pixels")
                image.load()  # only this refuses a truncated JPEG
                turned = ImageOps.exif_transpose(image)
                deep = turned.mode.startswith("I")
                pixels = np.asarray(turned if deep else turned.convert("L"))
    except Exception as error:  # Pillow's decoders raise more than a dozen types on damaged files
        raise Fault(f"{name}: expected a whole PNG, JPEG or TIFF, found {error}; copy the file again") from None
    if deep and (pixels.min() < 0 or pixels.max() > 65535):
        raise Fault(f"{name}: expected 8 or 16 bits, found grey levels up to {pixels.max()}; export it as 16-bit PNG")
    return pixels.astype(np.uint16) if deep else pixels


def read_dicom(content: bytes, name: str) -> tuple[Dataset, np.ndarray]:
    """A DICOM film and its display pixels as uint16 (H, W) over the full range, bone bright.

    PS3.3 C.11: Modality LUT, then VOI LUT or window, then one inversion for MONOCHROME1. The grey scale is the
    header's (window, LUT depth or stored bits), never the film's own minimum and maximum, so that films compare.

    Raises:
        Fault: no DICOM, no single grey frame, too large, or pixels that no decoder reads.
    """
    try:
        with warnings.catch_warnings():  # pydicom's quote the values that they dislike; none may reach a log
            warnings.simplefilter("ignore")
            dataset = dcmread(BytesIO(content))
            unfit = why_unfit(dataset)
            interpretation = str(dataset.PhotometricInterpretation)
            values, low, high = (np.zeros(0), 0.0, 1.0) if unfit else display_values(dataset)
    except Exception as error:  # pydicom and its codecs raise a dozen types on damaged files
        # The type alone: messages quote header values, and those may be a patient's.
        unfit = f"{type(error).__name__} while reading it"
    if unfit:
        raise Fault(f"{name}: expected a readable DICOM film, found {unfit}; export it again")
    share = (np.clip(values, low, high) - low) / (high - low)
    if interpretation == "MONOCHROME1":
        share = 1 - share
    return dataset, np.round(share * 65535).astype(np.uint16)


def why_unfit(dataset: Dataset) -> str:
    """What keeps a data set from being one grey film, in words without any header text; '' if nothing does."""
    frames, samples = int(dataset.get("NumberOfFrames") or 1), int(dataset.SamplesPerPixel)
    if frames != 1 or samples != 1:
        return f"{frames} frames of {samples} samples per pixel where one grey frame is needed"
    if dataset.PhotometricInterpretation not in ("MONOCHROME1", "MONOCHROME2"):
        return "a PhotometricInterpretation other than MONOCHROME1 and MONOCHROME2"
    if dataset.Modality not in MODALITIES:
        return f"a Modality other than {', '.join(MODALITIES)}"
    if int(dataset.Rows) * int(dataset.Columns) > MAX_PIXELS:
        return f"{int(dataset.Rows)} x {int(dataset.Columns)} pixels where {MAX_PIXELS:,} are the most"
    if dataset.get("WindowWidth") is not None and first(dataset.WindowWidth) < 1:
        return "a WindowWidth below 1"
    return ""


def display_values(dataset: Dataset) -> tuple[np.ndarray, float, float]:
    """Values after Modality and VOI LUT as float64, with the ends of the grey scale that they belong to."""
    values = np.asarray(apply_modality_lut(dataset.pixel_array, dataset), dtype=np.float64)
    if dataset.get("VOILUTSequence"):
        depth = int(dataset.VOILUTSequence[0].LUTDescriptor[2])
        shown = apply_voi_lut(dataset.pixel_array, dataset, index=0)
        return np.asarray(shown, dtype=np.float64), 0.0, float(2**depth - 1)
    if dataset.get("WindowCenter") is not None and dataset.get("WindowWidth") is not None:
        centre, width = first(dataset.WindowCenter), first(dataset.WindowWidth)
        # PS3.3 C.11.2.1.2.1, linear: black at centre - 0.5 - (width - 1) / 2
        return values, centre - 0.5 - (width - 1) / 2, centre - 0.5 + (width - 1) / 2 + 1e-9
    if dataset.Modality == "CT":
        centre, width = CT_BONE_WINDOW
        return values, centre - width / 2, centre + width / 2
    slope, intercept = float(dataset.get("RescaleSlope", 1)), float(dataset.get("RescaleIntercept", 0))
    return values, intercept, intercept + slope * (2 ** int(dataset.BitsStored) - 1)


def first(value: Any) -> float:
    """The first of a possibly multi-valued DICOM number."""
    return float(value if isinstance(value, (int, float)) or not hasattr(value, "__len__") else value[0])


def spacing(dataset: Dataset) -> float | None:
    """Pixel spacing in mm (row spacing), from PixelSpacing or, on a projection film, ImagerPixelSpacing."""
    value = dataset.get("PixelSpacing") or dataset.get("ImagerPixelSpacing")
    return float(value[0]) if value else None
