"""Predictors that cost nothing: what a model has to beat before its score means anything."""

from collections.abc import Iterable

import numpy as np
import pandas as pd
from skimage.filters import threshold_otsu

from stages.common.model.metrics import count_pixels, metrics

TRIVIAL_BASELINES = (
    "everything is fracture",
    "nothing is fracture",
    "random at the prevalence",
    "largest grey level",
    "Otsu's threshold",
)


def trivial_tables(films: Iterable[tuple[np.ndarray, np.ndarray, np.ndarray]]) -> dict[str, pd.DataFrame]:
    """Per-image counts and metrics of each predictor of NAIVE.

    Random marks each pixel with the test set's prevalence as its chance: the counts are those to be expected, rounded.
    The largest grey level is that of the multilevel map with the most pixels. Otsu's threshold marks what is brighter;
    a constant film has none, and nothing is marked.

    Args:
        films: image uint8, levels uint8 and mask bool of each, all (H, W).
    """
    counts: dict[str, list[dict[str, int]]] = {name: [] for name in TRIVIAL_BASELINES}
    for image, levels, mask in films:
        largest = np.bincount(levels.ravel()).argmax()
        bright = image > threshold_otsu(image) if image.min() < image.max() else np.zeros_like(mask)  # type: ignore[no-untyped-call]
        marked = {
            "everything is fracture": np.ones_like(mask),
            "nothing is fracture": np.zeros_like(mask),
            "largest grey level": levels == largest,
            "Otsu's threshold": bright,
        }
        for name, guess in marked.items():
            counts[name].append(count_pixels(mask_pred=guess, mask_ref=mask))
    everything = pd.DataFrame(counts["everything is fracture"])
    chance = everything["tp"].sum() / everything[["tp", "fp"]].to_numpy().sum()
    for positive, negative in zip(everything["tp"], everything["fp"], strict=True):
        tp, fp = round(chance * positive), round(chance * negative)
        counts["random at the prevalence"].append({"tp": tp, "fp": fp, "fn": positive - tp, "tn": negative - fp})
    return {name: pd.DataFrame([row | metrics(**row) for row in rows]) for name, rows in counts.items()}
