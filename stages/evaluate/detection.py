"""Whether the fractures were found: predictions as regions, labels as boxes."""

import math

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from skimage.measure import label, regionprops
from torchvision.ops import box_iou

OVERLAP = 0.5  # of two boxes, as usual in detection


def detection(chances: np.ndarray, threshold: float, boxes: np.ndarray) -> dict[str, float]:
    """Regions of pixels that reach the threshold (joined over edges and corners) against the boxes of one image.

    Args:
        chances: float (H, W), probabilities.
        boxes: float (K, 4), left, top, right, bottom in pixels.
    Returns:
        fractures: K. found_iou: boxes paired one to one with a region whose own box overlaps with IoU >= 0.5.
        found_centre: boxes in which the centre of a region lies. false_regions: regions whose centre lies in no box.
        pointing: whether the most probable pixel lies in a box (pointing game); NaN without boxes.
    """
    marked = label(chances >= threshold, connectivity=2)  # type: ignore[no-untyped-call]
    regions = regionprops(marked)  # type: ignore[no-untyped-call]
    region_boxes = np.array(
        [(left, top, right, bottom) for top, left, bottom, right in (r.bbox for r in regions)], float
    )
    centres = np.array([(x + 0.5, y + 0.5) for y, x in (r.centroid for r in regions)], float)
    ious = box_iou(torch.from_numpy(boxes), torch.from_numpy(region_boxes.reshape(-1, 4)))
    pairs = (ious >= OVERLAP).numpy()
    inside = within(boxes, centres.reshape(-1, 2))
    row, column = np.unravel_index(int(np.argmax(chances)), chances.shape)
    summit = np.array([[column + 0.5, row + 0.5]])
    return {
        "fractures": len(boxes),
        "found_iou": int(pairs[linear_sum_assignment(pairs, maximize=True)].sum()),
        "found_centre": int(inside.any(axis=1).sum()),
        "false_regions": int((~inside.any(axis=0)).sum()),
        "pointing": float(within(boxes, summit).any()) if len(boxes) else math.nan,
    }


def within(boxes: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Whether each box holds each point, bool (len(boxes), len(points))."""
    after = (points[None] >= boxes[:, None, :2]).all(axis=2)
    return np.asarray(after & (points[None] < boxes[:, None, 2:]).all(axis=2))
