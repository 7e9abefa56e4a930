"""Bytes of a DICOM file to stored values and to display pixels, by the standard (PS3.3 C.7.6.3, C.11).

Nothing here passes header text on: messages hold names of attributes and numbers, since values may be a patient's.
"""

import os
import struct
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from pydicom import Dataset, dcmread
from pydicom.pixels.processing import apply_modality_lut, apply_voi_lut
from pydicom.uid import (
    HTJ2K,
    JPEG2000,
    UID,
    ComputedRadiographyImageStorage,
    CTImageStorage,
    DigitalXRayImageStorageForPresentation,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    HTJ2KLossless,
    HTJ2KLosslessRPCL,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
    RLELossless,
)

from stages.ingest.pictures import SMALLEST
from stages.ingest.problems import Unreadable

HOW_TO_FIX = "export it again or leave it out"
READABLE = "a readable DICOM film"
# Deflated is left out: it unpacks to a thousand times its size before a header can be looked at.
SYNTAXES = {
    *(ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian, RLELossless),
    *(JPEGBaseline8Bit, JPEGExtended12Bit, JPEGLossless, JPEGLosslessSV1, JPEGLSLossless, JPEGLSNearLossless),
    *(JPEG2000, JPEG2000Lossless, HTJ2K, HTJ2KLossless, HTJ2KLosslessRPCL),
}
CLASSES = {
    "CR": {ComputedRadiographyImageStorage},
    "DX": {DigitalXRayImageStorageForPresentation},
    "CT": {CTImageStorage},
}
REFUSED = {
    "RF": "fluoroscopy (RF), which is a film of moving frames",
    "XA": "angiography (XA), which is a film of moving frames",
    "SR": "a structured report (SR), which holds text and no film",
    "OT": "a secondary capture (OT), which may hold a screen with names on it",
    "SC": "a secondary capture (SC), which may hold a screen with names on it",
    "PR": "a presentation state (PR), which holds no film",
    "DOC": "a document (DOC)",
}


def is_dicom(head: bytes) -> bool:
    """Whether a file's first 132 bytes are those of DICOM Part 10, whatever its name."""
    return head[128:132] == b"DICM"


def check_syntax(head: bytes) -> None:
    """Look at the file meta group before anything is parsed: some transfer syntaxes are bombs by themselves.

    Raises:
        Unreadable: no DICOM, or a transfer syntax that is not taken.
    """
    if not is_dicom(head):
        raise Unreadable(READABLE, "no DICM after 128 bytes", HOW_TO_FIX)
    try:
        syntax = transfer_syntax(head)
    except (struct.error, ValueError):
        raise Unreadable(READABLE, "file meta information that ends too early", HOW_TO_FIX) from None
    if syntax not in SYNTAXES:
        raise Unreadable(READABLE, f"the transfer syntax {name_of(syntax)}", HOW_TO_FIX)


def read_header(source: BytesIO | Path, pixels: bool = True) -> Dataset:
    """The data set with its pixel data still encoded, or without it; nothing is decoded.

    Raises:
        Unreadable: damaged.
    """
    try:
        with warnings.catch_warnings():  # pydicom's quote the values that they dislike; none may reach a log
            warnings.simplefilter("ignore")
            return dcmread(source, stop_before_pixels=not pixels)
    except Exception as error:  # pydicom raises a dozen types on damaged files
        raise Unreadable(READABLE, f"{type(error).__name__} while reading its header", HOW_TO_FIX) from None


def transfer_syntax(content: bytes) -> UID:
    """The transfer syntax from the file meta group alone, which is always explicit little endian (PS3.10 7.1)."""
    place, end = 132, min(len(content), 132 + 65536)
    while place + 8 <= end:
        group, element, vr = struct.unpack("<HH2s", content[place : place + 6])
        if group != 2:
            break
        if vr in (b"OB", b"UN"):
            length, place = struct.unpack("<I", content[place + 8 : place + 12])[0], place + 12
        else:
            length, place = struct.unpack("<H", content[place + 6 : place + 8])[0], place + 8
        if element == 0x0010:
            return UID(content[place : place + length].decode("ascii").strip("\0 "))
        place += length
    raise Unreadable(READABLE, "no TransferSyntaxUID in its file meta information", HOW_TO_FIX)


def name_of(syntax: UID) -> str:
    """A transfer syntax by its registered name; an unregistered one may hold anything and is not quoted."""
    return str(syntax.name) if syntax.is_transfer_syntax else "of a private kind"


def why_unfit(header: Dataset, megapixels: int) -> str:
    """What keeps a data set from being one grey film, in words without header text; '' if nothing does."""
    modality = str(header.get("Modality", ""))
    if modality in REFUSED:
        return REFUSED[modality]
    if modality not in CLASSES:
        return "a Modality other than CR, DX and CT"
    why = why_no_film(header, CLASSES[modality])
    if why:
        return why
    frames, samples = int(header.get("NumberOfFrames") or 1), int(header.get("SamplesPerPixel", 1))
    if frames != 1 or samples != 1:
        return f"{frames} frames of {samples} samples per pixel where one grey frame is needed"
    photometric, shape = header.get("PhotometricInterpretation"), header.get("PresentationLUTShape")
    if photometric not in ("MONOCHROME1", "MONOCHROME2"):
        return "a PhotometricInterpretation other than MONOCHROME1 and MONOCHROME2"
    if (photometric, shape) in (("MONOCHROME1", "IDENTITY"), ("MONOCHROME2", "INVERSE")):
        return "a PresentationLUTShape that contradicts PhotometricInterpretation (PS3.3 C.8.11.3)"
    if "PixelData" not in header:
        return "no PixelData"
    least = 1 if header.get("VOILUTFunction", "LINEAR") == "LINEAR" else 1e-6
    if any(float(width) < least for width in multi(header.get("WindowWidth"))[:1]):
        return "a WindowWidth below 1 (PS3.3 C.11.2.1.2)"
    return why_too_large(header, megapixels)


def why_no_film(header: Dataset, classes: set[UID]) -> str:
    """Objects that call themselves CR, DX or CT and are something else."""
    image_type = [str(value).upper() for value in multi(header.get("ImageType"))]
    if header.get("PresentationIntentType") == "FOR PROCESSING":
        return "raw detector values (FOR PROCESSING), which are not meant to be looked at"
    if header.get("SOPClassUID") not in classes:
        return "a SOPClassUID that is not its Modality's image storage"
    if "ConversionType" in header or "SCREEN SAVE" in image_type or "SECONDARY" in image_type[1:2]:
        return "a secondary capture (ConversionType or ImageType), which may hold a screen with names on it"
    return ""


def why_too_large(header: Dataset, megapixels: int) -> str:
    """A header or a codestream that claims more pixels than are taken, or two sizes."""
    rows, columns = int(header.get("Rows", 0)), int(header.get("Columns", 0))
    if rows * columns > megapixels * 10**6:
        return f"{rows} x {columns} pixels where ingest.limits.megapixels allows {megapixels} million"
    if min(rows, columns) < SMALLEST:
        return f"{rows} x {columns} pixels, smaller than any film"
    if int(header.get("BitsAllocated", 0)) not in (8, 16):
        return "BitsAllocated other than 8 and 16"
    coded = (
        codestream_size(bytes(header.PixelData[:4096])) if header.file_meta.TransferSyntaxUID.is_compressed else None
    )
    if coded not in (None, (rows, columns)):
        return "a codestream of another size than Rows and Columns"
    return ""


def codestream_size(head: bytes) -> tuple[int, int] | None:
    """Rows and columns that a JPEG, JPEG-LS or JPEG 2000 stream states in its first bytes, if it does."""
    siz = head.find(b"\xff\x4f\xff\x51")
    if siz >= 0 and siz + 24 <= len(head):
        width, height, left, top = struct.unpack(">IIII", head[siz + 8 : siz + 24])
        return height - top, width - left
    place = head.find(b"\xff\xd8\xff")
    place = place + 2 if place >= 0 else len(head)
    while place + 9 <= len(head) and head[place] == 0xFF:
        marker, length = head[place + 1], struct.unpack(">H", head[place + 2 : place + 4])[0]
        if marker in (0xC0, 0xC1, 0xC2, 0xC3, 0xF7):
            height, width = struct.unpack(">HH", head[place + 5 : place + 9])
            return height, width
        place += 2 + length
    return None


def stored_values(header: Dataset) -> np.ndarray:
    """The decoded pixels as stored, int32 (Rows, Columns), without the bits above BitsStored.

    Raises:
        Unreadable: no decoder reads them, or they are another number than Rows x Columns.
    """
    try:
        with warnings.catch_warnings(), no_stderr():
            warnings.simplefilter("ignore")
            values = np.asarray(header.pixel_array).astype(np.int32)
            bits = int(header.BitsStored)
            if values.shape != (header.Rows, header.Columns) or not 1 <= bits <= int(header.BitsAllocated):
                raise ValueError
            values &= (1 << bits) - 1  # old overlays live in the bits above (PS3.5 8.1.1)
            if int(header.PixelRepresentation) == 1:
                values -= (values >> (bits - 1)) << bits
    except MemoryError:
        raise
    except Exception as error:  # every codec has its own
        raise Unreadable(READABLE, f"{type(error).__name__} while decoding its pixels", HOW_TO_FIX) from None
    return values


@contextmanager
def no_stderr() -> Iterator[None]:
    """Codecs written in C print their complaints past Python, into the middle of a log."""
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def display_pixels(header: Dataset, stored: np.ndarray, ct_window: list[float]) -> np.ndarray:
    """Display pixels uint16 (H, W) over the full range, bone bright, padding black.

    Modality LUT or rescale, then VOI LUT (a sequence before a window; LINEAR, LINEAR_EXACT and SIGMOID), then one
    inversion for MONOCHROME1. The grey scale is the header's (LUT depth, window, or stored bits), never the film's
    own minimum and maximum, so that films compare. CT slices are shown in `ct_window` (centre, width in HU, LINEAR).
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            share = shares(header, stored, ct_window)
    except Exception as error:
        raise Unreadable(READABLE, f"{type(error).__name__} while applying its LUTs or window", HOW_TO_FIX) from None
    if header.PhotometricInterpretation == "MONOCHROME1":
        share = 1 - share
    share[padding(header, stored)] = 0
    return np.round(share * 65535).astype(np.uint16)


def shares(header: Dataset, stored: np.ndarray, ct_window: list[float]) -> np.ndarray:
    """Values after Modality and VOI LUT as shares 0..1 of the grey scale that they belong to, float64."""
    kind = np.uint16 if int(header.PixelRepresentation) == 0 else np.int16
    values = np.asarray(apply_modality_lut(stored.astype(kind), header), dtype=np.float64)
    low, high = output_range(header)
    if header.Modality == "CT":
        centre, width = ct_window
        low, high = centre - 0.5 - (width - 1) / 2, centre - 0.5 + (width - 1) / 2
    elif header.get("VOILUTSequence"):
        low, high = 0.0, float(2 ** int(header.VOILUTSequence[0].LUTDescriptor[2]) - 1)
        whole = values.astype(np.int32) if (values == np.round(values)).all() else np.round(values).astype(np.int32)
        values = np.asarray(apply_voi_lut(whole, header, index=0), dtype=np.float64)
    elif header.get("WindowCenter") is not None and header.get("WindowWidth") is not None:
        values = np.asarray(apply_voi_lut(values, header, index=0), dtype=np.float64)
    shown: np.ndarray = np.clip((values - low) / (high - low), 0, 1)
    return shown


def output_range(header: Dataset) -> tuple[float, float]:
    """The values that the Modality LUT can give, black and white of what has no window (PS3.3 C.11.2.1.2)."""
    if header.get("ModalityLUTSequence"):
        return 0.0, float(2 ** int(header.ModalityLUTSequence[0].LUTDescriptor[2]) - 1)
    bits, signed = int(header.BitsStored), int(header.PixelRepresentation) == 1
    low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)
    slope, intercept = float(header.get("RescaleSlope", 1)), float(header.get("RescaleIntercept", 0))
    return low * slope + intercept, high * slope + intercept


def padding(header: Dataset, stored: np.ndarray) -> np.ndarray:
    """Where nothing was exposed: PixelPaddingValue, or the range to PixelPaddingRangeLimit (PS3.3 C.7.5.1.1.2)."""
    value = header.get("PixelPaddingValue")
    if value is None:
        return np.zeros(stored.shape, dtype=bool)
    limit = header.get("PixelPaddingRangeLimit", value)
    low, high = sorted((int(value), int(limit)))
    return np.asarray((stored >= low) & (stored <= high))


def mirrored(header: Dataset) -> tuple[bool, bool]:
    """Whether a CT slice must be mirrored left-right and up-down to be shown as one looks at it (PS3.3 C.7.6.2.1.1).

    Columns then run to the patient's left, or to the back where they run front to back; rows to the back or the
    feet. Slices without ImageOrientationPatient stay as they are.
    """
    direction = [float(value) for value in multi(header.get("ImageOrientationPatient"))]
    if len(direction) != 6:
        return False, False
    row, column = np.array(direction[:3]), np.array(direction[3:])
    across, down = int(np.abs(row).argmax()), int(np.abs(column).argmax())
    return bool(row[across] < 0), bool(column[down] > 0 if down == 2 else column[down] < 0)


def depth(header: Dataset) -> float:
    """How far along its series' normal a slice lies, in mm; its InstanceNumber where it has no position."""
    direction = [float(value) for value in multi(header.get("ImageOrientationPatient"))]
    position = [float(value) for value in multi(header.get("ImagePositionPatient"))]
    if len(direction) == 6 and len(position) == 3:
        return float(np.dot(np.cross(direction[:3], direction[3:]), position))
    return float(header.get("InstanceNumber") or 0)


def spacing(header: Dataset, attribute: str) -> str:
    """`row column` in mm of PixelSpacing (in the patient) or ImagerPixelSpacing (on the detector), or ''."""
    values = [float(value) for value in multi(header.get(attribute))]
    return " ".join(f"{value:.10g}" for value in values) if len(values) == 2 and min(values) > 0 else ""


def multi(value: Any) -> list[Any]:
    """The values of a DICOM attribute of any multiplicity."""
    if value is None or value == "":
        return []
    return list(value) if hasattr(value, "__iter__") and not isinstance(value, str) else [value]
