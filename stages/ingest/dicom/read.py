"""Bytes of a DICOM file to stored values and to display pixels, by the standard (PS3.3 C.7.6.3, C.11).

Nothing here passes header text on: messages hold names of attributes and numbers, since values may be a patient's.
"""

import struct
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
from imagecodecs import jpeg8_decode, jpegls_decode
from pydicom import Dataset, dcmread
from pydicom.encaps import generate_frames
from pydicom.pixels.utils import pixel_array
from pydicom.uid import (
    HTJ2K,
    JPEG2000,
    UID,
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
    JPEGLSTransferSyntaxes,
    RLELossless,
)

from stages.ingest.dicom.basics import is_dicom
from stages.ingest.dicom.grey_scale import display_pixels
from stages.ingest.dicom.refusals import why_burned_in, why_unfit
from stages.ingest.dicom.values import multi, number, plausible, unreadable
from stages.ingest.params import BurnedIn, CtWindow, MaskCorners, RefuseBurnedIn
from stages.ingest.problems import Unreadable
from stages.ingest.silence import NO_STDERR

JPEG = (JPEGBaseline8Bit, JPEGExtended12Bit, JPEGLossless, JPEGLosslessSV1)
# Deflated is left out: it unpacks to a thousand times its size before a header can be looked at.
SYNTAXES = {
    *(ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian, RLELossless),
    *(*JPEG, *JPEGLSTransferSyntaxes),
    *(JPEG2000, JPEG2000Lossless, HTJ2K, HTJ2KLossless, HTJ2KLosslessRPCL),
}


@dataclass(frozen=True)
class DicomFilm:
    """A film in a DICOM file.

    stored: int32 (Rows, Columns), without the bits above BitsStored. pixels: uint16 (Rows, Columns) for display, bone
    bright, over the full range. flips: whether they must be mirrored left-right and up-down to be looked at. masked:
    whether corners were blackened in both. pixel_spacing, imager_pixel_spacing: height and width of a pixel in mm, in
    the patient and on the detector, where stated.
    """

    header: Dataset
    stored: np.ndarray
    pixels: np.ndarray
    flips: tuple[bool, bool]
    masked: bool
    pixel_spacing: tuple[float, float] | None
    imager_pixel_spacing: tuple[float, float] | None


def read_film(content: bytes, megapixels: int, ct_window: CtWindow, burned_in: BurnedIn | None = None) -> DicomFilm:
    """The film in the bytes of a DICOM file.

    Args:
        megapixels: million pixels; what is larger is refused before it is decoded.
        ct_window: in which CT slices are shown.
        burned_in: what happens to films whose header says that text is burned into their pixels; None takes them as
            they are.
    Raises:
        Unreadable: damaged, or not one grey film of CR, DX or CT.
    """
    with refuse_damaged("a header with values that DICOM does not allow"):
        check_syntax(content[:65536])
        header = read_header(BytesIO(content))
        unfit = why_unfit(header, megapixels)
        if not unfit and isinstance(burned_in, RefuseBurnedIn):
            unfit = why_burned_in(header)
        if unfit:
            raise unreadable(unfit)
        stored = stored_values(header)
        corner = burned_in.corner if isinstance(burned_in, MaskCorners) and why_burned_in(header) else 0.0
        if corner:
            stored = mask_corners(stored, corner, black(header))
        return DicomFilm(
            header=header,
            stored=stored,
            pixels=display_pixels(header, stored, ct_window),
            flips=display_flips(header),
            masked=corner > 0,
            pixel_spacing=spacing(header, "PixelSpacing"),
            imager_pixel_spacing=spacing(header, "ImagerPixelSpacing"),
        )


@contextmanager
def refuse_damaged(actual: str) -> Iterator[None]:
    """Refuse a file for whatever is raised in the block.

    pydicom and each codec raise a dozen types on damaged files, and their messages and warnings quote header text.

    Args:
        actual: what is there in place of a readable film.
    Raises:
        Unreadable: always, where anything but MemoryError is raised.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except (Unreadable, MemoryError):
        raise
    except Exception:
        raise unreadable(actual) from None


def check_syntax(head: bytes) -> None:
    """Look at the file meta group before anything is parsed: some transfer syntaxes are bombs by themselves.

    Raises:
        Unreadable: no DICOM, or a transfer syntax that is not taken.
    """
    if not is_dicom(head):
        raise unreadable("no DICM after 128 bytes")
    try:
        syntax = transfer_syntax(head)
    except (struct.error, ValueError):
        raise unreadable("file meta information that ends too early") from None
    if syntax not in SYNTAXES:
        raise unreadable(f"the transfer syntax {name_of(syntax)}")


def read_header(source: BytesIO | Path, pixels: bool = True) -> Dataset:
    """The data set with its pixel data still encoded, or without it; nothing is decoded.

    Raises:
        Unreadable: damaged.
    """
    with refuse_damaged("a header that is no DICOM data set"):
        return dcmread(source, stop_before_pixels=not pixels)


def transfer_syntax(content: bytes) -> UID:
    """The transfer syntax from the file meta group alone, which is always explicit little endian (PS3.10 7.1)."""
    offset, end = 132, min(len(content), 132 + 65536)
    while offset + 8 <= end:
        group, element, vr = struct.unpack("<HH2s", content[offset : offset + 6])
        if group != 2:
            break
        if vr in (b"OB", b"UN"):
            length, offset = struct.unpack("<I", content[offset + 8 : offset + 12])[0], offset + 12
        else:
            length, offset = struct.unpack("<H", content[offset + 6 : offset + 8])[0], offset + 8
        if element == 0x0010:
            return UID(content[offset : offset + length].decode("ascii").strip("\0 "))
        offset += length
    raise unreadable("no TransferSyntaxUID in its file meta information")


def name_of(syntax: UID) -> str:
    """A transfer syntax by its registered name; an unregistered one may hold anything and is not quoted."""
    return str(syntax.name) if syntax.is_transfer_syntax else "of a private kind"


def stored_values(header: Dataset) -> np.ndarray:
    """The decoded pixels as stored, int32 (Rows, Columns), without the bits above BitsStored.

    Raises:
        Unreadable: no decoder reads them, they are another number than Rows x Columns, or a codestream has values of
            more bits than BitsStored.
    """
    with refuse_damaged("pixel data that no decoder reads, damaged or cut off"), NO_STDERR:
        values = decoded(header).astype(np.int32)
    if values.shape != (header.Rows, header.Columns):
        raise unreadable("pixel data of another size than Rows and Columns")
    bits, syntax = int(header.BitsStored), header.file_meta.TransferSyntaxUID
    negative = int(header.PixelRepresentation) == 1
    if syntax.is_compressed and syntax != RLELossless:  # which have no unused bits (PS3.5 8.2)
        lowest, highest = int(values.min()), int(values.max())
        if highest >= 1 << bits or lowest < (-(1 << (bits - 1)) if negative else 0):
            raise unreadable(f"a codestream with values of more bits than BitsStored, which is {bits}")
    values &= (1 << bits) - 1  # old overlays live in the bits above (PS3.5 8.1.1)
    if negative:
        values -= (values >> (bits - 1)) << bits
    return values


def decoded(header: Dataset) -> np.ndarray:
    """The pixels of a data set as its codec gives them, (Rows, Columns).

    JPEG is left to imagecodecs: of pydicom's plugins for it GDCM reads no 12 bits, and the other is under the GPL. GDCM
    also aborts the process on odd streams, so the plugin for the rest is named, whatever is installed.

    Raises:
        Unreadable: a JPEG stream without its end, of which the codec would fill the rest with grey.
    """
    syntax = header.file_meta.TransferSyntaxUID
    if syntax not in (*JPEG, *JPEGLSTransferSyntaxes):
        plugin = "pydicom" if syntax == RLELossless else "pylibjpeg" if syntax.is_compressed else ""
        return np.asarray(pixel_array(header, decoding_plugin=plugin))
    frame = next(generate_frames(header.PixelData, number_of_frames=1))
    if not frame.rstrip(b"\0\xff").endswith(b"\xff\xd9"):
        raise unreadable("a codestream that is cut off")
    return np.asarray(jpeg8_decode(frame) if syntax in JPEG else jpegls_decode(frame))


def display_flips(header: Dataset) -> tuple[bool, bool]:
    """Whether a film must be mirrored left-right and up-down to be shown as one looks at it (PS3.3 C.7.6.2.1.1).

    Only CT slices are mirrored. Columns then run to the patient's left, or to the back where they run front to back;
    rows to the back or the feet. Slices without ImageOrientationPatient stay as they are.
    """
    if header.Modality != "CT":
        return False, False
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


def spacing(header: Dataset, attribute: str) -> tuple[float, float] | None:
    """Height and width of a pixel in mm by PixelSpacing (in the patient) or ImagerPixelSpacing (on the detector)."""
    values = plausible(header, attribute)
    return (values[0], values[1]) if values and min(values) > 0 else None


def black(header: Dataset) -> int:
    """The stored value that is shown as black where no LUT says otherwise."""
    bits, negative = int(header.BitsStored), int(header.PixelRepresentation) == 1
    lowest, highest = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if negative else (0, 2**bits - 1)
    falling = (header.PhotometricInterpretation == "MONOCHROME1") != (number(header, "RescaleSlope", 1) < 0)
    return highest if falling else lowest


def mask_corners(stored: np.ndarray, share: float, value: int) -> np.ndarray:
    """A copy of int32 (H, W) with a rectangle in each corner set to `value`: where scanners burn names in.

    Args:
        share: of each side, 0..0.5.
    """
    out, (height, width) = stored.copy(), stored.shape
    rows, columns = int(np.ceil(share * height)), int(np.ceil(share * width))
    for vertical in (slice(0, rows), slice(height - rows, height)):
        for horizontal in (slice(0, columns), slice(width - columns, width)):
            out[vertical, horizontal] = value
    return out
