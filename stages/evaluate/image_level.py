"""Is there a fracture on this film? Told by the largest probability of the film's map."""

import numpy as np

from stages.common.data.records import ImageCalibration, ImageLevelSummary
from stages.common.model.calibration import film_probability, finite_logit
from stages.common.model.roc import figures_of, roc


def summarise_films(
    scores: np.ndarray, fractured: np.ndarray, calibration: ImageCalibration | None
) -> ImageLevelSummary | None:
    """How well scores tell films with a fracture from films without; None where there are films of one kind only.

    Args:
        scores: the largest probability of each film's map, float (N,) in 0..1.
        fractured: bool (N,).
        calibration: of `fit_calibration`, if there is one.
    """
    if fractured.all() or not fractured.any():
        return None
    auroc, at_90, at_95 = figures_of(*roc(scores, fractured, np.ones((1, len(scores)))))[0]
    brier = None
    if calibration is not None:
        brier = float(np.mean((fractured - film_probability(scores, calibration)) ** 2))
    return {
        "with_fracture": int(fractured.sum()),
        "without_fracture": int((~fractured).sum()),
        "auroc": float(auroc),
        "sensitivity_90": float(at_90),
        "sensitivity_95": float(at_95),
        "calibration": calibration,
        "brier": brier,
    }


def fit_calibration(scores: np.ndarray, fractured: np.ndarray) -> ImageCalibration | None:
    """Platt's sigmoid (1999) from scores to the probability of a fracture: its slope and intercept on the logit.

    As targets it has (n1 + 1) / (n1 + 2) and 1 / (n0 + 2) for n1 films with a fracture and n0 without, so that films
    that are told apart without an error give no infinite slope.

    Args:
        scores: of the validation films, float (N,) in 0..1.
        fractured: bool (N,).
    Returns:
        None where all films are of one kind, or where fractured films do not have the higher scores.
    """
    with_fracture, without = int(fractured.sum()), int((~fractured).sum())
    if not (with_fracture and without):
        return None
    from sklearn.linear_model import LogisticRegression  # a second to import, for films of both kinds only

    target = np.where(fractured, (with_fracture + 1) / (with_fracture + 2), 1 / (without + 2))
    x = finite_logit(scores)[:, None]
    both = np.repeat([True, False], len(scores))  # each film counts as both kinds, by the shares of its target
    model = LogisticRegression(C=np.inf, tol=1e-8, max_iter=1000)
    model.fit(np.vstack([x, x]), both, sample_weight=np.concatenate([target, 1 - target]))
    slope = float(model.coef_[0, 0])
    return {"slope": slope, "intercept": float(model.intercept_[0])} if slope > 0 else None
