"""What holds over all thresholds: precision and recall, their area, and the best threshold and temperature."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.optimize import minimize_scalar

LEVELS = 65_536  # steps of a probability, so that sorting becomes counting; what lies in one step counts as equal
BINS = 256  # thresholds of the curve


@dataclass(frozen=True)
class Levels:
    """How many pixels, of fracture and of all, have a probability from i / 65536 on, below the next; int (65536,)."""

    fracture: np.ndarray
    every: np.ndarray

    def __add__(self, other: "Levels") -> "Levels":
        return Levels(self.fracture + other.fracture, self.every + other.every)

    def above(self, bins: int) -> tuple[np.ndarray, np.ndarray]:
        """Fracture pixels, and all pixels, whose probability reaches i / bins, int (bins,)."""
        sums = [counts.reshape(bins, -1).sum(axis=1)[::-1].cumsum()[::-1] for counts in (self.fracture, self.every)]
        return sums[0], sums[1]


def levels_of(probabilities: np.ndarray, masks: np.ndarray) -> Levels:
    """The levels of one or more films; those of more films are their sum.

    Args:
        probabilities: float32 (H, W) or (N, H, W) in 0..1.
        masks: bool, of the same shape.
    """
    level = np.minimum(probabilities * np.float32(LEVELS), LEVELS - 1).astype(np.uint16)
    fracture, every = np.bincount(level[masks], minlength=LEVELS), np.bincount(level.ravel(), minlength=LEVELS)
    return Levels(fracture, every)


def precision_recall(levels: Levels) -> pd.DataFrame:
    """The precision-recall curve at 256 thresholds.

    Returns:
        columns threshold, precision, recall, by rising threshold; thresholds that predict nothing are left out.
    """
    fracture, predicted = levels.above(BINS)
    kept = predicted > 0
    recall = fracture / fracture[0] if fracture[0] else np.full(BINS, np.nan)
    precision = fracture / np.maximum(predicted, 1)
    thresholds = np.arange(BINS) / BINS
    return pd.DataFrame({"threshold": thresholds[kept], "precision": precision[kept], "recall": recall[kept]})


def average_precision(levels: Levels) -> float:
    """The area under the precision-recall curve (AUPRC): precision times gained recall, summed; NaN without fracture.

    A predictor that knows nothing gets the prevalence.
    """
    fracture, predicted = levels.above(LEVELS)
    if not fracture[0]:
        return float("nan")
    return float((levels.fracture * fracture / np.maximum(predicted, 1)).sum() / fracture[0])


def best_threshold(levels: Levels) -> float:
    """The threshold, a multiple of 1/256, with the highest pooled F1; the lowest of equals."""
    fracture, predicted = levels.above(BINS)
    return int(np.argmax(2 * fracture / (predicted + fracture[0]))) / BINS


def best_temperature(logits: np.ndarray, masks: np.ndarray) -> float:
    """The temperature under which the binary cross entropy of all pixels is least (Guo et al. 2017, section 4.2).

    Searched between 1/20 and 20; 1 where there is no fracture, or nothing else, to fit it by.

    Args:
        logits: float32 (N, H, W).
        masks: bool (N, H, W).
    """
    if masks.all() or not masks.any():
        return 1.0
    against = np.where(masks, -logits, logits).astype(np.float64)  # the cross entropy of a pixel is log(1 + exp(this))

    def entropy(logarithm: float) -> float:
        return float(np.logaddexp(0, against / np.exp(logarithm)).sum())

    least = minimize_scalar(entropy, bounds=(-np.log(20), np.log(20)), method="bounded", options={"xatol": 1e-4})
    return float(np.exp(least.x))
