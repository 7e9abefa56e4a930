"""The ROC curve of scores of films with and without a fracture, in many weighted draws at once, and its figures."""

import numpy as np

FIGURES = {"auroc": None, "sensitivity_90": 0.90, "sensitivity_95": 0.95}  # with the specificity that each asks for
ROUNDING = 1e-9  # 1 of 10 is a share of 0.1, which is more than 1 - 0.9 in floating point


def figures_of(false: np.ndarray, true: np.ndarray) -> np.ndarray:
    """FIGURES of ROC curves, float (draws, 3): the area by trapezoids, and sensitivities at specificities.

    Args:
        false, true: of `roc`.
    """
    area = (np.diff(false, axis=1) * (true[:, 1:] + true[:, :-1]) / 2).sum(axis=1)
    columns = [area]
    for specificity in filter(None, FIGURES.values()):
        allowed = false <= 1 - specificity + ROUNDING
        columns.append(np.where(np.isnan(area), np.nan, np.where(allowed, true, 0).max(axis=1)))
    return np.stack(columns, axis=1)


def roc(scores: np.ndarray, fractured: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """False and true positive rates at every score, from (0, 0) to (1, 1), float (draws, scores + 1).

    Args:
        scores: float (N,).
        fractured: bool (N,).
        weights: how often each film stands in a draw, float (draws, N).
    """
    order = np.argsort(-scores, kind="stable")
    ends = np.flatnonzero(np.diff(scores[order], append=-np.inf))  # the last of each run of equal scores
    rates = []
    for kind in (~fractured, fractured):
        sums = np.cumsum(weights[:, order] * kind[order], axis=1)
        with np.errstate(invalid="ignore"):
            rates.append(np.pad(sums[:, ends], ((0, 0), (1, 0))) / sums[:, -1:])
    return rates[0], rates[1]
