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

    def points(self, points: np.ndarray) -> np.ndarray:
        """Points (n, 2) as x, y, carried to the new grid in float64."""
        scale, shift = np.array([self.scale_x, self.scale_y]), np.array([self.shift_x, self.shift_y])
        moved: np.ndarray = np.asarray(points, dtype=np.float64) * scale + shift
        return moved

    def boxes(self, boxes: np.ndarray) -> np.ndarray:
        """Boxes (n, 4) as left, top, right, bottom, carried to the new grid in float64."""
        scale = np.array([self.scale_x, self.scale_y, self.scale_x, self.scale_y])
        shift = np.array([self.shift_x, self.shift_y, self.shift_x, self.shift_y])
        moved: np.ndarray = np.asarray(boxes, dtype=np.float64).reshape(-1, 4) * scale + shift
        return moved


def fill_polygon(rings: tuple[np.ndarray, ...], shape: tuple[int, int]) -> np.ndarray:
    """The mask of all pixels whose centre lies inside a polygon, by the even-odd rule over all its rings.

    An edge belongs to the polygon on its left and top and not on its right and bottom, as for boxes, so that
    neighbours share no pixel and an upright rectangle marks what the same box marks. A polygon too thin to hold a
    centre marks the pixel that holds its own: no annotated fracture vanishes.

    Args:
        rings: arrays (n, 2) of x, y in pixels, closed by themselves.
        shape: height and width.
    Returns:
        bool (H, W).
    """
    height, width = shape
    mask = np.zeros(shape, dtype=bool)
    start = np.concatenate([np.asarray(ring, dtype=np.float64) for ring in rings])
    stop = np.concatenate([np.roll(np.asarray(ring, dtype=np.float64), -1, axis=0) for ring in rings])
    first = max(int(np.ceil(start[:, 1].min() - 0.5)), 0)
    last = min(int(np.ceil(start[:, 1].max() - 0.5)), height)
    for row in range(first, last):
        y = row + 0.5
        cut = (start[:, 1] <= y) != (stop[:, 1] <= y)
        a, b = start[cut], stop[cut]
        crossings = np.sort(a[:, 0] + (y - a[:, 1]) * (b[:, 0] - a[:, 0]) / (b[:, 1] - a[:, 1]))
        edges = np.clip(np.ceil(crossings - 0.5).astype(int), 0, width)
        for left, right in zip(edges[::2], edges[1::2], strict=True):
            mask[row, left:right] = True
    if not mask.any():
        column, row = np.floor((start.min(axis=0) + start.max(axis=0)) / 2).astype(int)
        if 0 <= row < height and 0 <= column < width:
            mask[row, column] = True
    return mask


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
