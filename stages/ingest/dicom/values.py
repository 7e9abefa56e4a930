"""Attributes of a DICOM header as numbers."""

import logging
from math import isfinite
from typing import Any

from pydicom import Dataset
from pydicom.charset import python_encoding

from stages.ingest.problems import Unreadable

for library in ("pydicom", "highdicom"):  # whose logs quote what headers hold
    logging.getLogger(library).setLevel(logging.CRITICAL + 1)
for term in ("ISO_IR 203", "ISO 2022 IR 203"):  # Latin alphabet No. 9 (PS3.3 C.12.1.1.2), which pydicom does not know
    python_encoding[term] = "iso8859_15"
HOW_TO_FIX = "export it again or leave it out"
LAYOUT = ("Rows", "Columns", "SamplesPerPixel", "BitsAllocated", "BitsStored", "PixelRepresentation")
"""Whole numbers without which pixels cannot be read."""
SINGLE = ("HighBit", "NumberOfFrames")
"""Whole numbers that may be absent."""
NUMBERS = (
    *LAYOUT,
    *SINGLE,
    *("PixelPaddingValue", "PixelPaddingRangeLimit", "RescaleSlope", "RescaleIntercept"),
    *("WindowCenter", "WindowWidth", "PixelSpacing", "ImagerPixelSpacing"),
    *("ImageOrientationPatient", "ImagePositionPatient"),
)
"""Attributes that are read as numbers: how pixels are stored, shown and placed."""

PLAUSIBLE = {
    **dict.fromkeys(("RescaleSlope", "RescaleIntercept", "WindowCenter", "WindowWidth"), (1, 100_000.0)),
    **dict.fromkeys(("PixelSpacing", "ImagerPixelSpacing"), (2, 100.0)),
    "SliceThickness": (1, 1000.0),
    "ImageOrientationPatient": (6, 1.0),
    "ImagePositionPatient": (3, 10_000.0),
}
"""How many numbers say how a film is shown and placed, and how large they may be: mm, shares, or grey levels. A birth
date and a telephone are numbers, too, and are larger."""


def unreadable(actual: str) -> Unreadable:
    """The refusal of a DICOM file for what is there in place of a film."""
    return Unreadable("a readable DICOM film", actual, HOW_TO_FIX)


def multi(value: Any) -> list[Any]:
    """The values of a DICOM attribute of any multiplicity."""
    if value is None or value == "":
        return []
    return list(value) if hasattr(value, "__iter__") and not isinstance(value, str) else [value]


def codes(header: Dataset, name: str) -> list[str]:
    """The values of a code string, in capitals and without padding, which may stand behind each of them (PS3.5 6.2)."""
    return [str(value).strip(" \0").upper() for value in multi(header.get(name))]


def number(header: Dataset, name: str, default: float) -> float:
    """The first value of an attribute; the default where it is absent or empty."""
    values = multi(header.get(name))
    return float(values[0]) if values else default


def plausible(header: Dataset, name: str) -> list[float]:
    """The numbers of an attribute that PLAUSIBLE lists, of several windows the first; none where they are no numbers,
    too many, or too large to say what they should.
    """
    count, largest = PLAUSIBLE[name]
    try:
        values = [float(value) for value in multi(header.get(name))]
    except Exception:  # as in `why_no_numbers`, which refuses those without which a film is none
        return []
    if count == 1:  # further values are those of further windows, or of nothing
        values = values[:1]
    return values if len(values) == count and max(map(abs, values)) <= largest * (1 + 1e-6) else []


def signed(value: int, bits: int) -> int:
    """The number that the lowest `bits` bits of `value` are in two's complement."""
    value &= (1 << bits) - 1
    return value - (1 << bits) if value >> (bits - 1) else value


def one(name: str) -> str:
    """An attribute's name with its article."""
    return f"{'an' if name[0] in 'AEIO' else 'a'} {name}"


def why_no_numbers(header: Dataset) -> str:
    """The attribute that is missing or no number, in words without its value; '' if all are sound."""
    for name in NUMBERS:
        try:
            numbers = [float(value) for value in multi(header.get(name))]
            whole = len(numbers) == 1 and numbers[0] == int(numbers[0]) >= 0
        except Exception:  # pydicom turns text to numbers when it is asked, and raises a dozen types
            return f"{one(name)} that is no number"
        if not all(map(isfinite, numbers)):
            return f"{one(name)} that is no number"
        if not numbers and name in LAYOUT:
            return f"no {name}"
        if name in (*LAYOUT, *SINGLE) and numbers and not whole:
            return f"{one(name)} that is no whole number"
    return ""
