"""Whether the fractures were found: predictions as regions, labels as boxes."""

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from scipy.optimize import linear_sum_assignment
from skimage.measure import label, regionprops
from torchvision.ops import box_iou

OVERLAP = 0.5  # of two boxes, as usual in detection


@dataclass(frozen=True)
class Regions:
    """Connected regions of one film (over edges and corners) against its boxes.

    boxes: of the regions, float (R, 4), left, top, right, bottom. highest: the largest probability in each, float (R,).
    inside: whether each of the film's boxes holds the centre of each region, bool (K, R).
    """

    boxes: np.ndarray
    highest: np.ndarray
    inside: np.ndarray


def find_regions(chances: np.ndarray, threshold: float, boxes: np.ndarray) -> Regions:
    """The regions of pixels that reach the threshold.

    Args:
        chances: float (H, W), probabilities.
        threshold: 0 < x < 1.
        boxes: float (K, 4), left, top, right, bottom in pixels.
    """
    marked = label(chances >= threshold, connectivity=2)  # type: ignore[no-untyped-call]
    regions = regionprops(marked, intensity_image=chances)  # type: ignore[no-untyped-call]
    own = np.array([(left, top, right, bottom) for top, left, bottom, right in (r.bbox for r in regions)], float)
    centres = np.array([(x + 0.5, y + 0.5) for y, x in (r.centroid for r in regions)], float)
    highest = np.array([region.intensity_max for region in regions], float)
    return Regions(own.reshape(-1, 4), highest, within(boxes, centres.reshape(-1, 2)))


def detection(regions: Regions, chances: np.ndarray, boxes: np.ndarray) -> dict[str, float]:
    """Counts of found fractures and false alarms of one film.

    Args:
        regions: of `find_regions`.
        chances, boxes: that it was given.
    Returns:
        fractures: K. found_iou: boxes paired one to one with a region whose own box overlaps with IoU >= 0.5.
        found_centre: boxes in which the centre of a region lies. false_regions: regions whose centre lies in no box.
        pointing: whether the most probable pixel lies in a box (pointing game); NaN without boxes.
    """
    ious = box_iou(torch.from_numpy(boxes), torch.from_numpy(regions.boxes))
    pairs = (ious >= OVERLAP).numpy()
    row, column = np.unravel_index(int(np.argmax(chances)), chances.shape)
    summit = np.array([[column + 0.5, row + 0.5]])
    return {
        "fractures": len(boxes),
        "found_iou": int(pairs[linear_sum_assignment(pairs, maximize=True)].sum()),
        "found_centre": int(regions.inside.any(axis=1).sum()),
        "false_regions": int((~regions.inside.any(axis=0)).sum()),
        "pointing": float(within(boxes, summit).any()) if len(boxes) else math.nan,
    }


def froc(films: list[Regions]) -> pd.DataFrame:
    """The free-response ROC curve: sensitivity over false regions per film, if only regions count that are as probable.

    Its last row counts all regions, as `detection` does.

    Args:
        films: the regions of each film, at least one film.
    Returns:
        columns probability, false_regions, sensitivity, by falling probability; a row per probability of a region. NaN
        sensitivity where no film has a box.
    """
    # A box is found by the most probable of the regions whose centre lies in it, if there is one.
    found = [np.where(r.inside, r.highest, -np.inf).max(axis=1, initial=-np.inf) for r in films]
    false = [r.highest[~r.inside.any(axis=0)] for r in films]
    boxes, alarms = np.sort(np.concatenate(found)), np.sort(np.concatenate(false))
    levels = np.unique(np.concatenate([r.highest for r in films]))[::-1]
    reached, alarming = (len(values) - np.searchsorted(values, levels) for values in (boxes, alarms))
    sensitivity = reached / len(boxes) if len(boxes) else np.full(len(levels), np.nan)
    return pd.DataFrame({"probability": levels, "false_regions": alarming / len(films), "sensitivity": sensitivity})


def within(boxes: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Whether each box holds each point, bool (len(boxes), len(points))."""
    after = (points[None] >= boxes[:, None, :2]).all(axis=2)
    return np.asarray(after & (points[None] < boxes[:, None, 2:]).all(axis=2))
