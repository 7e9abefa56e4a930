"""How far the outline of a prediction lies from that of its label.

Where labels are filled boxes, the outline is a box's edge and says little about a fracture's.
"""

import math

import numpy as np
from scipy.ndimage import binary_erosion
from scipy.spatial import KDTree

PERCENTILE = 0.95


def boundary(
    *, mask_pred: np.ndarray, mask_ref: np.ndarray, tolerance: float, spacing: tuple[float, float] | None = None
) -> dict[str, float]:
    """Normalised surface Dice and the 95th percentile of the Hausdorff distance of one image.

    Both masks empty: 1 and 0, nothing was there and nothing was claimed. One of them empty: 0 and the image's diagonal,
    the largest distance there is (Metrics Reloaded, Maier-Hein et al. 2024, asks for a stated rule). Elsewhere the
    values are those of MONAI, whose import takes five seconds.

    Args:
        mask_pred, mask_ref: bool (H, W).
        tolerance: pixels; outlines that are no further apart agree.
        spacing: height and width of a pixel in mm, where known.
    Returns:
        nsd in 0..1, hd95_px in pixels, hd95_mm in mm or NaN.
    """
    units = {"px": (1.0, 1.0), "mm": spacing}
    scores = {"nsd": math.nan, "hd95_px": math.nan, "hd95_mm": math.nan}
    if mask_pred.any() and mask_ref.any():
        pred, ref = outline(mask_pred), outline(mask_ref)
        for name, unit in units.items():
            if unit is not None:
                both_ways = [nearest(pred * unit, ref * unit), nearest(ref * unit, pred * unit)]
                scores[f"hd95_{name}"] = float(max(np.quantile(way, PERCENTILE) for way in both_ways))
                if name == "px":
                    scores["nsd"] = float((np.concatenate(both_ways) <= tolerance).mean())
        return scores
    nothing = not (mask_pred.any() or mask_ref.any())
    scores["nsd"] = float(nothing)
    for name, unit in units.items():
        if unit is not None:
            diagonal = math.hypot(*(side * size for side, size in zip(mask_ref.shape, unit, strict=True)))
            scores[f"hd95_{name}"] = 0.0 if nothing else diagonal
    return scores


def outline(mask: np.ndarray) -> np.ndarray:
    """Row and column of the pixels of a mask that have a side in common with its outside or with the image's rim.

    Args:
        mask: bool (H, W), not empty.
    Returns:
        int (N, 2).
    """
    return np.argwhere(mask & ~binary_erosion(mask))


def nearest(points: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Distance of each point to the nearest of the others.

    Args:
        points, others: float (N, 2) and (M, 2).
    Returns:
        float32 (N,), as MONAI gives them.
    """
    return np.asarray(KDTree(others).query(points)[0], np.float32)
