"""Boxes and the affine maps that carry them from one pixel grid to another.

Coordinates are continuous: the pixel in column j and row i covers [j, j + 1) x [i, i + 1), its centre lies at
(j + 0.5, i + 0.5). A box is half-open, so that its width is `right - left` and neighbours share no pixel.
"""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Affine:
    """x' = scale_x * x + shift_x and y' = scale_y * y + shift_y, in pixels; scales are positive."""

    scale_x: float = 1.0
    scale_y: float = 1.0
    shift_x: float = 0.0
    shift_y: float = 0.0

    def then(self, after: "Affine") -> "Affine":
        """The map that applies `self` first and `after` second."""
        return Affine(
            self.scale_x * after.scale_x,
            self.scale_y * after.scale_y,
            self.shift_x * after.scale_x + after.shift_x,
            self.shift_y * after.scale_y + after.shift_y,
        )

    def inverse(self) -> "Affine":
        return Affine(1 / self.scale_x, 1 / self.scale_y, -self.shift_x / self.scale_x, -self.shift_y / self.scale_y)

    def boxes(self, boxes: np.ndarray) -> np.ndarray:
        """Boxes (n, 4) as left, top, right, bottom, carried to the new grid in float64."""
        scale = np.array([self.scale_x, self.scale_y, self.scale_x, self.scale_y])
        shift = np.array([self.shift_x, self.shift_y, self.shift_x, self.shift_y])
        moved: np.ndarray = np.asarray(boxes, dtype=np.float64).reshape(-1, 4) * scale + shift
        return moved


def fill_boxes(boxes: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """The mask of all pixels whose centre lies in at least one box.

    A box that is narrower than a pixel, and so may hold no centre, marks the pixel that holds its own centre:
    no annotated fracture vanishes.

    Args:
        boxes: (n, 4) left, top, right, bottom in pixels, half-open.
        shape: height and width.
    Returns:
        bool (H, W).
    """
    mask = np.zeros(shape, dtype=bool)
    for left, top, right, bottom in np.asarray(boxes, dtype=np.float64).reshape(-1, 4):
        columns = pixel_range(left, right, shape[1])
        rows = pixel_range(top, bottom, shape[0])
        mask[rows, columns] = True
    return mask


def pixel_range(start: float, stop: float, size: int) -> slice:
    """The pixels whose centres lie in [start, stop), at least one, within 0..size."""
    first, last = int(np.ceil(start - 0.5)), int(np.ceil(stop - 0.5))
    if first >= last:
        first = int(np.floor((start + stop) / 2))
        last = first + 1
    return slice(max(first, 0), max(min(last, size), 0))
