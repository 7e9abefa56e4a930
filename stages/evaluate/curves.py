"""What holds over all thresholds: precision and recall, their area, and whether probabilities mean what they say."""

import numpy as np
import pandas as pd

BINS = 256
LEVELS = 65_536  # probabilities as 16 bits, so that sorting becomes counting
CELLS = 15  # of the reliability diagram, as is usual


def precision_recall(probabilities: np.ndarray, masks: np.ndarray) -> pd.DataFrame:
    """The pooled precision-recall curve at 256 thresholds, from one histogram of probabilities per class.

    Returns:
        columns threshold, precision, recall, by rising threshold; thresholds that predict nothing are left out.
    """
    fracture, predicted = counts_above(probabilities, masks, BINS)
    kept = predicted > 0
    recall = fracture / fracture[0] if fracture[0] else np.full(BINS, np.nan)
    precision = fracture / np.maximum(predicted, 1)
    thresholds = np.arange(BINS) / BINS
    return pd.DataFrame({"threshold": thresholds[kept], "precision": precision[kept], "recall": recall[kept]})


def counts_above(probabilities: np.ndarray, masks: np.ndarray, bins: int) -> tuple[np.ndarray, np.ndarray]:
    """Fracture pixels, and all pixels, whose probability reaches i / bins, int (bins,); 1.0 reaches the last."""
    level = np.minimum((probabilities * bins).astype(np.int64), bins - 1)
    histograms = (np.bincount(level[masks], minlength=bins), np.bincount(level.ravel(), minlength=bins))
    fracture, predicted = (histogram[::-1].cumsum()[::-1] for histogram in histograms)
    return fracture, predicted


def average_precision(probabilities: np.ndarray, masks: np.ndarray) -> float:
    """The area under the precision-recall curve (AUPRC): precision times gained recall, summed; NaN without fracture.

    Of probabilities in steps of 1/65536; what lies in one step counts as equal. A predictor that knows nothing gets the
    prevalence.
    """
    fracture, predicted = counts_above(probabilities, masks, LEVELS)
    if not fracture[0]:
        return float("nan")
    gained = fracture - np.append(fracture[1:], 0)
    return float((gained * fracture / np.maximum(predicted, 1)).sum() / fracture[0])


def best_threshold(probabilities: np.ndarray, masks: np.ndarray) -> float:
    """The threshold, a multiple of 1/256, with the highest pooled F1; the lowest of equals."""
    fracture, predicted = counts_above(probabilities, masks, BINS)
    return int(np.argmax(2 * fracture / (predicted + fracture[0]))) / BINS


def reliability(probabilities: np.ndarray, masks: np.ndarray) -> pd.DataFrame:
    """How often fracture is where the network says so, in 15 equal steps of its probability.

    Returns:
        columns low, high, pixels, predicted (mean probability), observed (share of fracture); empty steps are left out.
    """
    cell = np.minimum((probabilities * CELLS).astype(np.int64), CELLS - 1).ravel()
    pixels = np.bincount(cell, minlength=CELLS)
    sums = [np.bincount(cell, values.ravel(), CELLS) for values in (probabilities.astype(np.float64), masks)]
    means = [total / np.maximum(pixels, 1) for total in sums]
    low = np.arange(CELLS) / CELLS
    table = pd.DataFrame(
        {"low": low, "high": low + 1 / CELLS, "pixels": pixels, "predicted": means[0], "observed": means[1]}
    )
    return table[pixels > 0].reset_index(drop=True)


def calibration_error(table: pd.DataFrame) -> float:
    """Expected calibration error of a reliability table: the mean of |predicted - observed|, weighted by pixels.

    Naeini, Cooper and Hauskrecht, AAAI 2015. Background dominates it: read it beside the diagram.
    """
    return float(np.average((table["predicted"] - table["observed"]).abs(), weights=table["pixels"]))


def brier(probabilities: np.ndarray, masks: np.ndarray) -> float:
    """Mean squared difference of probability and truth (Brier 1950), 0..1."""
    return float(np.mean(np.square(probabilities - masks, dtype=np.float64)))
