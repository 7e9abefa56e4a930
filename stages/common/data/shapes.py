"""What an annotator drew: boxes and polygons in the continuous pixel coordinates of `common.geometry`."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from stages.common.data.geometry import Affine, fill_boxes, fill_polygon


@dataclass(frozen=True)
class Shape:
    """A box or polygon on one film, with where it stands in its file.

    `rings` are float64 (n, 2) arrays of x, y. A box has one ring: its left top and its right bottom corner. A
    polygon has one ring or more of at least three points; a point inside an odd number of rings is inside it, so
    that a ring within a ring is a hole.
    """

    label: str
    kind: Literal["box", "polygon"]
    rings: tuple[np.ndarray, ...]
    line: int = 0

    @property
    def box(self) -> np.ndarray:
        """float64 (4,) of left, top, right, bottom; of a polygon the smallest box round it."""
        points = np.concatenate(self.rings)
        return np.concatenate([points.min(axis=0), points.max(axis=0)])

    def mapped(self, affine: Affine) -> "Shape":
        """This shape on another pixel grid."""
        return replace(self, rings=tuple(affine.points(ring) for ring in self.rings))

    def transposed(self) -> "Shape":
        """This shape with x and y exchanged."""
        return replace(self, rings=tuple(ring[:, ::-1] for ring in self.rings))

    def flipped(self, width: float | None = None, height: float | None = None) -> "Shape":
        """This shape mirrored left-right on a film of that width, up-down on one of that height, or both."""
        rings = []
        for ring in self.rings:
            x = ring[:, 0] if width is None else width - ring[:, 0]
            y = ring[:, 1] if height is None else height - ring[:, 1]
            points = np.stack([x, y], axis=1)
            # A box is stored as left top, right bottom, and mirroring exchanges its corners.
            rings.append(np.sort(points, axis=0) if self.kind == "box" else points)
        return replace(self, rings=tuple(rings))


def box_shape(left: float, top: float, right: float, bottom: float, label: str = "", line: int = 0) -> Shape:
    """A box by its edges in pixels, see `Shape`.

    Args:
        left, top, right, bottom: half-open.
        label: what it marks.
        line: of its file, 0 for none.
    """
    return Shape(label, "box", (np.array([[left, top], [right, bottom]], dtype=np.float64),), line)


def fill_shape(shape: Shape, size: tuple[int, int]) -> np.ndarray:
    """The mask (H, W) bool of what was drawn."""
    return fill_boxes(shape.box, size) if shape.kind == "box" else fill_polygon(shape.rings, size)


def write_points(rings: Iterable[np.ndarray], digits: int = 10) -> str:
    """Rings as the tables hold them: `x y x y ...` with `;` between rings, '' for none.

    A box is a ring of two points, so that boxes read `left top right bottom`.

    Args:
        rings: float (n, 2) each, or boxes (4,).
        digits: significant ones; ten carry a film of 100,000 pixels to 0.00001 of one.
    """
    return ";".join(" ".join(f"{value:.{digits}g}" for value in ring.ravel()) for ring in rings)


def read_points(text: str) -> tuple[np.ndarray, ...]:
    """The rings that `write_points` wrote, float64 (n, 2) each."""
    return tuple(np.array(ring.split(), dtype=np.float64).reshape(-1, 2) for ring in text.split(";") if ring)
