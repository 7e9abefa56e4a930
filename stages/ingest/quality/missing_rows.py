"""Films whose lower part is missing: a transfer broke off, and the picture was saved again as if it were whole."""

import numpy as np

PERIODS = (1, 8, 16)  # rows after which what a codec fills in repeats: at once, or after a row of JPEG's blocks
LEAST = 8  # rows; fewer may be chance
TOLERANCE = 2 / 255  # of the grey scale, by which saving again may change what was filled in
GROUND = 0.1  # share of the other edges
ENDS = 0.03  # share of the film's range from its ends, where a level is that of a border


def missing_rows(pixels: np.ndarray) -> int:
    """How many rows down to the lower edge repeat one block; 0 where the film is whole.

    A block of one level is a border where it is the film's ground, as the other edges tell, or near the film's own
    black or white without being pure black or white, which programs fill in.

    Args:
        pixels: uint8 or uint16 (H, W).
    """
    white = np.iinfo(pixels.dtype).max
    tolerance = TOLERANCE * white
    rows = max(repeated_rows(pixels, period, tolerance) for period in PERIODS)
    if rows == 0:
        return 0
    low, high = float(pixels[-rows:].min()), float(pixels[-rows:].max())
    if high - low > 2 * tolerance:
        return rows
    darkest, brightest = float(pixels.min()), float(pixels.max())
    ends = ENDS * (brightest - darkest) + tolerance
    is_pure = high <= tolerance or low >= white - tolerance
    black_or_white = low <= darkest + ends or high >= brightest - ends
    rest = pixels[:-rows]
    edges = np.concatenate([rest[:1].ravel(), rest[:, 0], rest[:, -1]]).astype(np.float32)
    ground = not len(edges) or (np.abs(edges - low) <= 2 * tolerance).mean() >= GROUND
    return 0 if ground or (black_or_white and not is_pure) else rows


def repeated_rows(pixels: np.ndarray, period: int, tolerance: float) -> int:
    """How many rows down to the lower edge are those of the last `period` rows again; 0 below two periods.

    Args:
        pixels: uint8 or uint16 (H, W).
        period: rows, at least 1.
        tolerance: grey levels by which they may differ.
    """
    upwards = pixels[::-1]
    rows = period
    while rows < len(upwards):
        difference = upwards[rows].astype(np.int32) - upwards[rows % period]
        if np.abs(difference).max() > tolerance:
            break
        rows += 1
    return rows if rows >= max(2 * period, LEAST) else 0
