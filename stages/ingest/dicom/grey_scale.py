"""Stored values of a DICOM film to display pixels, by the standard (PS3.3 C.7.6.3, C.11).

pydicom's own functions look values up in the narrow integers of the table, and read 4,096 entries of 8 bits as noise.
Here all values are int64 until they are shares of the grey scale.
"""

import numpy as np
from pydicom import Dataset

from stages.ingest.dicom.values import multi, number, signed, unreadable
from stages.ingest.params import CtWindow

PADDING = ("PixelPaddingValue", "PixelPaddingRangeLimit")


def display_pixels(header: Dataset, stored: np.ndarray, ct_window: CtWindow) -> np.ndarray:
    """Display pixels uint16 (H, W) over the full range, bone bright, padding black.

    Modality LUT or rescale, then VOI LUT (a sequence before a window; LINEAR, LINEAR_EXACT and SIGMOID), then one
    inversion for MONOCHROME1. The grey scale is the header's (LUT depth, window, or stored bits), never the film's
    own minimum and maximum, so that films compare. CT slices are shown in `ct_window`.

    Args:
        header: of the film.
        stored: int32 (H, W).
        ct_window: of CT slices.
    Raises:
        Unreadable: its LUTs or window cannot be applied.
    """
    share = shares(header, stored, ct_window)
    if header.PhotometricInterpretation == "MONOCHROME1":
        share = 1 - share
    share[padding(header, stored)] = 0
    return np.round(share * 65535).astype(np.uint16)


def shares(header: Dataset, stored: np.ndarray, ct_window: CtWindow) -> np.ndarray:
    """Values after Modality and VOI LUT as shares 0..1 of the grey scale that they belong to, float64 (H, W).

    Args:
        header: of the film.
        stored: int32 (H, W).
        ct_window: of CT slices.
    """
    values, low, high = modality_values(header, stored)
    if header.Modality == "CT":
        return windowed(values, ct_window.centre, ct_window.width, "LINEAR")
    if header.get("VOILUTSequence"):
        values, high = looked_up(values, header.VOILUTSequence[0], header, low < 0)
        return values / high
    centres, widths = multi(header.get("WindowCenter")), multi(header.get("WindowWidth"))
    if centres and widths:
        return windowed(values, float(centres[0]), float(widths[0]), str(header.get("VOILUTFunction") or "LINEAR"))
    return np.asarray((values - low) / (high - low))


def modality_values(header: Dataset, stored: np.ndarray) -> tuple[np.ndarray, float, float]:
    """Values after the Modality LUT or rescale, float64 (H, W), and the least and the largest that it can give.

    Raises:
        Unreadable: the LUT cannot be applied, or the slope is 0.
    """
    bits, negative = int(header.BitsStored), int(header.PixelRepresentation) == 1
    if header.get("ModalityLUTSequence"):
        values, high = looked_up(stored, header.ModalityLUTSequence[0], header, negative)
        return values, 0.0, high
    slope, intercept = number(header, "RescaleSlope", 1), number(header, "RescaleIntercept", 0)
    if slope == 0:
        raise unreadable("a RescaleSlope of 0")
    ends = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if negative else (0, 2**bits - 1)
    low, high = sorted(end * slope + intercept for end in ends)
    return stored * slope + intercept, low, high


def windowed(values: np.ndarray, centre: float, width: float, function: str) -> np.ndarray:
    """Values in a window as shares 0..1, by the formulas of PS3.3 C.11.2.1.2 and C.11.2.1.3.

    Args:
        values: float64 (H, W).
        centre, width: of the window, in the unit of the values.
        function: LINEAR, LINEAR_EXACT or SIGMOID.
    Raises:
        Unreadable: another function.
    """
    if function == "SIGMOID":
        return np.asarray(1 / (1 + np.exp(np.clip(-4 * (values - centre) / width, -700, 700))))
    if function not in ("LINEAR", "LINEAR_EXACT"):
        raise unreadable("a VOILUTFunction other than LINEAR, LINEAR_EXACT and SIGMOID")
    if function == "LINEAR":
        centre, width = centre - 0.5, width - 1
    if width == 0:
        return np.asarray(values > centre, dtype=np.float64)
    return np.clip((values - centre) / width + 0.5, 0, 1)


def looked_up(values: np.ndarray, table: Dataset, header: Dataset, negative: bool) -> tuple[np.ndarray, float]:
    """Values through a Modality or VOI LUT, float64 (H, W), and the largest that its bits hold (PS3.3 C.11.1.1.1).

    What lies before or behind the table takes its first or last entry.

    Args:
        values: whole or other numbers (H, W); the latter are rounded.
        table: an item of the LUT's sequence.
        header: of the film.
        negative: whether values can be, so that the first one of the descriptor is signed.
    """
    entries, _, place = lut_places(values, table, header, negative)
    return entries[place].astype(np.float64), float(2 ** int(table.LUTDescriptor[2]) - 1)


def lut_places(
    values: np.ndarray, table: Dataset, header: Dataset, negative: bool
) -> tuple[np.ndarray, int, np.ndarray]:
    """The entries of a LUT, int64 (n,), the value that the first stands for, and the entry of each value, int64 (H, W).

    Args:
        values, table, header, negative: as for `looked_up`.
    """
    entries, first = lut_entries(table, header), int(table.LUTDescriptor[1])
    first = signed(first, 16) if negative else first & 0xFFFF
    return entries, first, np.clip(np.round(values).astype(np.int64) - first, 0, len(entries) - 1)


def lut_entries(table: Dataset, header: Dataset) -> np.ndarray:
    """The entries of a LUT, int64 (n,), n of its LUTDescriptor.

    Entries of 8 bits are stored in 8 bits or, by some, in 16; the length tells (PS3.3 C.11.1.1.1, note).

    Args:
        table: an item of the LUT's sequence.
        header: of the film, whose byte order words of bytes have.
    Raises:
        Unreadable: the data are not what the descriptor says.
    """
    count, _, bits = (int(value) for value in table.LUTDescriptor)
    count = count & 0xFFFF or 2**16
    order = "<" if header.original_encoding[1] is not False else ">"
    data = table.LUTData
    words = np.frombuffer(data, f"{order}u2") if isinstance(data, bytes) else np.array(multi(data)) & 0xFFFF
    if len(words) == count:
        entries = words.astype(np.int64)
    elif len(words) == (count + 1) // 2 and bits <= 8:
        entries = words.astype("<u2").view(np.uint8)[:count].astype(np.int64)
    else:
        raise unreadable("a LUT of another length than its LUTDescriptor says")
    if not 8 <= bits <= 16 or entries.max() >= 2**bits:
        raise unreadable("a LUT with entries of other bits than its LUTDescriptor says")
    return entries


def padding(header: Dataset, stored: np.ndarray) -> np.ndarray:
    """Where nothing was exposed: PixelPaddingValue, or the range to PixelPaddingRangeLimit (PS3.3 C.7.5.1.1.2).

    Args:
        header: of the film.
        stored: int32 (H, W).
    """
    ends = padding_values(header)
    if not ends:
        return np.zeros(stored.shape, dtype=bool)
    return np.asarray((stored >= min(ends)) & (stored <= max(ends)))


def padding_values(header: Dataset) -> list[int]:
    """PixelPaddingValue and, where stated, PixelPaddingRangeLimit, with the sign of stored values."""
    found = [int(value) for name in PADDING for value in multi(header.get(name))]
    if int(header.PixelRepresentation) == 1:
        return [signed(value, 16) for value in found]
    return [value & 0xFFFF for value in found]
