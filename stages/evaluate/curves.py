"""Curves over all thresholds."""

import numpy as np
import pandas as pd

BINS = 256


def precision_recall(probabilities: np.ndarray, masks: np.ndarray) -> pd.DataFrame:
    """The pooled precision-recall curve at 256 thresholds, from one histogram of probabilities per class.

    Returns:
        columns threshold, precision, recall, by rising threshold; thresholds that predict nothing are left out.
    """
    edges = np.linspace(0, 1, BINS + 1)
    # The last bin of np.histogram includes 1.0, so a probability of exactly 1 counts at every threshold.
    fracture = np.histogram(probabilities[masks], edges)[0][::-1].cumsum()[::-1]
    other = np.histogram(probabilities[~masks], edges)[0][::-1].cumsum()[::-1]
    predicted = fracture + other
    kept = predicted > 0
    recall = fracture / fracture[0] if fracture[0] else np.full(BINS, np.nan)
    precision = fracture / np.maximum(predicted, 1)
    return pd.DataFrame({"threshold": edges[:-1][kept], "precision": precision[kept], "recall": recall[kept]})
