"""Run-length encoded masks to outlines: COCO's (column-major) and CVAT's (row-major).

Decoded here, since pycocotools accepts runs that end before the mask does and has no row-major order.
"""

from typing import Literal

import numpy as np

from stages.ingest.problems import Wrong

MAX_PIXELS = 256_000_000


def decode_counts(counts: list[int], size: tuple[int, int], order: Literal["C", "F"]) -> np.ndarray:
    """The mask (H, W) bool of alternating run lengths, background first.

    Args:
        order: "F" for columns one after the other (COCO), "C" for rows.
    Raises:
        Wrong: a negative run, runs that do not add up to H x W, or a mask too large to be a film's.
    """
    pixels = size[0] * size[1]
    if min(size) < 1 or pixels > MAX_PIXELS:
        raise Wrong(f"a mask of {size[1]} x {size[0]} pixels")
    if min(counts, default=0) < 0 or sum(counts) != pixels:
        raise Wrong(f"runs that do not add up to {size[1]} x {size[0]} pixels")
    runs = np.asarray(counts, dtype=np.int64)
    return np.repeat(np.arange(len(runs)) % 2 == 1, runs).reshape(size, order=order)


def unpack_counts(text: str) -> list[int]:
    """The run lengths in COCO's compressed text: five bits a character, differences from the run before last.

    Raises:
        Wrong: a character outside the alphabet, or a number that never ends.
    """
    counts: list[int] = []
    value = shift = 0
    for character in text:
        bits = ord(character) - 48
        if not 0 <= bits < 64 or shift > 30:
            raise Wrong("a character that COCO's run lengths do not use")
        value |= (bits & 31) << shift
        shift += 5
        if not bits & 32:
            if bits & 16:
                value -= 1 << shift
            counts.append(value + (counts[-2] if len(counts) > 2 else 0))
            value = shift = 0
    if shift:
        raise Wrong("run lengths that end in the middle of a number")
    return counts


def outline(mask: np.ndarray) -> tuple[np.ndarray, ...]:
    """The outline of a mask, half-way between marked and unmarked pixels; filled again, it is the mask.

    Args:
        mask: bool (H, W).
    Returns:
        Rings, float64 (n, 2) of x, y in pixels.
    """
    from skimage.measure import find_contours

    padded = np.pad(mask, 1).astype(np.float64)
    # find_contours counts pixel centres from 0 as row, column; here centres lie at .5, and the border adds 1.
    return tuple(ring[:-1, ::-1] - 0.5 for ring in find_contours(padded, 0.5))  # type: ignore[no-untyped-call]
