"""Pixel metrics of the paper (equations 4 to 7) and what they leave out, from counts that are kept.

What is undefined is NaN and never a silent 0 or 1: precision without a predicted pixel, recall without a reference
pixel, specificity without background, MCC where a row or column of the confusion matrix is empty. F1 and IoU of an
image on which both masks are empty are 1, since nothing was there and nothing was claimed (Maier-Hein et al. 2024,
Metrics Reloaded).
"""

import math

import numpy as np
import pandas as pd

from stages.common.data.records import PixelSummary
from stages.common.data.rows import Counts, PixelMetrics

METRICS = tuple(PixelMetrics.__annotations__)
COUNTS = tuple(Counts.__annotations__)


def count_pixels(*, mask_pred: np.ndarray, mask_ref: np.ndarray) -> dict[str, int]:
    """Pixels of one image by prediction and reference, both bool of one shape.

    Raises:
        ValueError: shapes differ.
    """
    if mask_pred.shape != mask_ref.shape:
        raise ValueError(f"expected masks of one shape, found {mask_pred.shape} and {mask_ref.shape}")
    tp = int(np.count_nonzero(mask_pred & mask_ref))
    fp, fn = int(np.count_nonzero(mask_pred)) - tp, int(np.count_nonzero(mask_ref)) - tp
    return {"tp": tp, "fp": fp, "fn": fn, "tn": mask_ref.size - tp - fp - fn}


def metrics(*, tp: float, fp: float, fn: float, tn: float) -> dict[str, float]:
    """METRICS of one row of counts; undefined ones are NaN.

    Balanced accuracy is the mean of recall and specificity, MCC Matthews' correlation coefficient, -1..1.

    Args:
        tp, fp, fn, tn: true positive, false positive, false negative and true negative pixels, or shares of them; >= 0.
    Returns:
        Values in 0..1, MCC in -1..1, by their names.
    """
    nothing = tp + fp + fn == 0
    recall, specificity = ratio(tp, tp + fn), ratio(tn, tn + fp)
    margins = math.sqrt(tp + fp) * math.sqrt(tp + fn) * math.sqrt(tn + fp) * math.sqrt(tn + fn)
    return {
        "accuracy": ratio(tp + tn, tp + fp + fn + tn),
        "precision": ratio(tp, tp + fp),
        "recall": recall,
        "f1": 1.0 if nothing else ratio(2 * tp, 2 * tp + fp + fn),
        "iou": 1.0 if nothing else ratio(tp, tp + fp + fn),
        "specificity": specificity,
        "balanced_accuracy": (recall + specificity) / 2,
        "mcc": ratio(tp * tn - fp * fn, margins),
    }


def ratio(part: float, whole: float) -> float:
    return part / whole if whole else float("nan")


def score_images(probabilities: np.ndarray, masks: np.ndarray, threshold: float) -> pd.DataFrame:
    """One row per image: counts and metrics of the mask `probability >= threshold`.

    Args:
        probabilities: float32 (N, H, W) in 0..1.
        masks: bool (N, H, W).
    """
    counts = [count_pixels(mask_pred=p >= threshold, mask_ref=m) for p, m in zip(probabilities, masks, strict=True)]
    return pd.DataFrame([row | metrics(**row) for row in counts])


def summarise(table: pd.DataFrame) -> PixelSummary:
    """Pooled metrics (counts summed over images, as in the paper's overall row), means over images, and what is behind.

    The mean over images leaves undefined values out; `undefined` says how many those were.
    """
    total = {name: int(table[name].sum()) for name in COUNTS}
    pixels = sum(total.values())
    return {
        "pooled": {name: defined(value) for name, value in metrics(**total).items()},
        "mean": {name: defined(float(table[name].mean())) for name in METRICS},
        "undefined": {name: int(table[name].isna().sum()) for name in METRICS},
        "test_set": {
            "images": len(table),
            "images_with_fracture": int((table["tp"] + table["fn"] > 0).sum()),
            "both_empty": int((table["tp"] + table["fn"] + table["fp"] == 0).sum()),
            "only_prediction_empty": int(((table["tp"] + table["fp"] == 0) & (table["fn"] > 0)).sum()),
            "only_label_empty": int(((table["tp"] + table["fn"] == 0) & (table["fp"] > 0)).sum()),
            "prevalence": (total["tp"] + total["fn"]) / pixels,
        },
    }


def defined(value: float) -> float | None:
    """JSON has no NaN: undefined becomes null."""
    return None if np.isnan(value) else value
