"""What a header says that keeps its file from being one grey film of CR, DX or CT.

Nothing here passes header values on, since a value may be a patient's and a date is a number, too: messages hold names
of attributes. Sizes in pixels and bytes are the exception, within what the standard lets a header state.
"""

import struct

from pydicom import Dataset
from pydicom.uid import (
    UID,
    ComputedRadiographyImageStorage,
    CTImageStorage,
    DigitalXRayImageStorageForPresentation,
)

from stages.ingest.dicom.values import PLAUSIBLE, codes, multi, number, one, plausible, why_no_numbers
from stages.ingest.pictures import SMALLEST

CLASSES = {
    "CR": {ComputedRadiographyImageStorage},
    "DX": {DigitalXRayImageStorageForPresentation},
    "CT": {CTImageStorage},
}
MOST_ROWS = 65535
REFUSED = {
    "RF": "fluoroscopy (RF), which is a film of moving frames",
    "XA": "angiography (XA), which is a film of moving frames",
    "SR": "a structured report (SR), which holds text and no film",
    "OT": "a secondary capture (OT), which may hold a screen with names on it",
    "SC": "a secondary capture (SC), which may hold a screen with names on it",
    "PR": "a presentation state (PR), which holds no film",
    "DOC": "a document (DOC)",
}


def why_unfit(header: Dataset, megapixels: int) -> str:
    """What keeps a data set from being one grey film, in words without header text; '' if nothing does."""
    modality = str(header.get("Modality", ""))
    if modality in REFUSED:
        return REFUSED[modality]
    if modality not in CLASSES:
        return "a Modality other than CR, DX and CT"
    why = why_no_film(header, CLASSES[modality]) or why_no_numbers(header)
    if why:
        return why
    for name in ("NumberOfFrames", "SamplesPerPixel"):
        if number(header, name, 1) != 1:
            return f"{one(name)} other than 1, where one grey frame is needed"
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
    for name in ("RescaleSlope", "RescaleIntercept", "WindowCenter", "WindowWidth"):
        if multi(header.get(name)) and not plausible(header, name):
            return f"{one(name)} beyond {PLAUSIBLE[name][1]:.0f}, which no grey levels of 16 bits need"
    return why_too_large(header, megapixels) or why_no_layout(header)


def why_burned_in(header: Dataset) -> str:
    """Text in the pixels that the header does not exclude; '' where BurnedInAnnotation (PS3.3 C.7.6.1) is NO or absent.

    `Y`, UNKNOWN or an empty value is no plain NO.
    """
    state = str(header.get("BurnedInAnnotation", "NO") or "").strip().upper()
    if state == "NO":
        return ""
    says = "YES" if state == "YES" else "neither NO nor YES"
    return f"text burned into its pixels (BurnedInAnnotation is {says}; see burned_in in ingest.sources)"


def why_no_film(header: Dataset, classes: set[UID]) -> str:
    """Objects that call themselves CR, DX or CT and are something else."""
    image_type = codes(header, "ImageType")
    if codes(header, "PresentationIntentType") == ["FOR PROCESSING"]:
        return "raw detector values (FOR PROCESSING), which are not meant to be looked at"
    if header.get("SOPClassUID") not in classes:
        return "a SOPClassUID that is not its Modality's image storage"
    if "ConversionType" in header or "SCREEN SAVE" in image_type or "SECONDARY" in image_type[1:2]:
        return "a secondary capture (ConversionType or ImageType), which may hold a screen with names on it"
    return ""


def why_too_large(header: Dataset, megapixels: int) -> str:
    """A header or a codestream that claims more pixels than are taken, or two sizes."""
    rows, columns = int(header.get("Rows", 0)), int(header.get("Columns", 0))
    if max(rows, columns) > MOST_ROWS:
        return f"more than {MOST_ROWS} Rows or Columns, which no header can state (PS3.5 6.2, US)"
    if rows * columns > megapixels * 10**6:
        return f"{rows} x {columns} pixels where ingest.limits.megapixels allows {megapixels} million"
    if min(rows, columns) < SMALLEST:
        return f"{rows} x {columns} pixels, smaller than any film"
    coded = (
        codestream_size(bytes(header.PixelData[:4096])) if header.file_meta.TransferSyntaxUID.is_compressed else None
    )
    if coded not in (None, (rows, columns)):
        return "a codestream of another size than Rows and Columns"
    return ""


def why_no_layout(header: Dataset) -> str:
    """Attributes that contradict each other, or the pixel data, on where the bits of a value lie (PS3.5 8.1.1)."""
    allocated, bits = int(header.BitsAllocated), int(header.BitsStored)
    if allocated not in (8, 16):
        return "BitsAllocated other than 8 and 16"
    if not 1 <= bits <= allocated:
        return "a BitsStored below 1 or above BitsAllocated"
    if int(number(header, "HighBit", bits - 1)) != bits - 1:
        return "a HighBit other than BitsStored - 1, which puts values where no reader agrees"
    if int(header.PixelRepresentation) not in (0, 1):
        return "a PixelRepresentation other than 0 and 1"
    if not header.file_meta.TransferSyntaxUID.is_compressed:
        need, length = int(header.Rows) * int(header.Columns) * allocated // 8, len(header.PixelData)
        if not need <= length < 2 * need:
            return f"{length} bytes of PixelData where Rows, Columns and BitsAllocated make {need}"
    return ""


def codestream_size(head: bytes) -> tuple[int, int] | None:
    """Rows and columns that a JPEG, JPEG-LS or JPEG 2000 stream states in its first bytes, if it does."""
    siz = head.find(b"\xff\x4f\xff\x51")
    if siz >= 0 and siz + 24 <= len(head):
        width, height, left, top = struct.unpack(">IIII", head[siz + 8 : siz + 24])
        return height - top, width - left
    start = head.find(b"\xff\xd8\xff")
    offset = start + 2 if start >= 0 else len(head)
    while offset + 9 <= len(head) and head[offset] == 0xFF:
        marker, length = head[offset + 1], struct.unpack(">H", head[offset + 2 : offset + 4])[0]
        if marker in (0xC0, 0xC1, 0xC2, 0xC3, 0xF7):
            height, width = struct.unpack(">HH", head[offset + 5 : offset + 9])
            return height, width
        offset += 2 + length
    return None
