"""Whether the fractures were found: predictions as regions, labels as boxes."""

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from scipy import ndimage
from scipy.optimize import linear_sum_assignment
from skimage.measure import label, regionprops
from torchvision.ops import box_iou

OVERLAP = 0.5  # of two boxes, as usual in detection
LOWEST = 0.05  # the probability from which on pixels are regions of the FROC curve


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


@dataclass(frozen=True)
class Marks:
    """Regions of pixels that reach LOWEST (joined over edges and corners), each marked at its most probable pixel.

    highest: the probability there, float (R,). inside: whether each of the film's boxes holds each mark, bool (K, R).
    """

    highest: np.ndarray
    inside: np.ndarray


def marks_of(chances: np.ndarray, boxes: np.ndarray) -> Marks:
    """The marks of one film.

    Args:
        chances: float (H, W), probabilities.
        boxes: float (K, 4), left, top, right, bottom in pixels.
    """
    marked, count = label(chances >= LOWEST, connectivity=2, return_num=True)  # type: ignore[no-untyped-call]
    numbers = np.arange(1, count + 1)
    summits = np.array(ndimage.maximum_position(chances, marked, numbers), float).reshape(-1, 2)
    highest = np.array(ndimage.maximum(chances, marked, numbers), float).reshape(-1)
    return Marks(highest, within(boxes, summits[:, ::-1] + 0.5))


def froc(films: list[Marks]) -> pd.DataFrame:
    """The free-response ROC curve: boxes that hold a mark over marks in no box, if only marks as probable count.

    Args:
        films: the marks of each film, at least one film.
    Returns:
        columns probability, false_regions (per film), sensitivity (NaN where no film has a box); a row per probability
        of a mark, the highest first.
    """
    # A box is found by the most probable of the marks in it, if there is one.
    found = [np.where(marks.inside, marks.highest, -np.inf).max(axis=1, initial=-np.inf) for marks in films]
    false = [marks.highest[~marks.inside.any(axis=0)] for marks in films]
    boxes, alarms = np.sort(np.concatenate(found)), np.sort(np.concatenate(false))
    levels = np.unique(np.concatenate([marks.highest for marks in films]))[::-1]
    reached, alarming = (len(values) - np.searchsorted(values, levels) for values in (boxes, alarms))
    sensitivity = reached / len(boxes) if len(boxes) else np.full(len(levels), np.nan)
    return pd.DataFrame({"probability": levels, "false_regions": alarming / len(films), "sensitivity": sensitivity})


def within(boxes: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Whether each box holds each point, bool (len(boxes), len(points))."""
    after = (points[None] >= boxes[:, None, :2]).all(axis=2)
    return np.asarray(after & (points[None] < boxes[:, None, 2:]).all(axis=2))
