"""Is there a fracture on this film? Told by the largest probability of the film's map."""

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import brier_score_loss, roc_auc_score, roc_curve

from stages.common.data.records import ImageCalibration, ImageLevelSummary
from stages.common.model.calibration import film_probability, finite_logit

SPECIFICITIES = (0.90, 0.95)
ROUNDING = 1e-9  # 1 of 10 is a share of 0.1, which is more than 1 - 0.9 in floating point


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
    at_90, at_95 = (sensitivity_at(scores, fractured, specificity) for specificity in SPECIFICITIES)
    brier = None
    if calibration is not None:
        brier = float(brier_score_loss(fractured, film_probability(scores, calibration)))
    return {
        "with_fracture": int(fractured.sum()),
        "without_fracture": int((~fractured).sum()),
        "auroc": float(roc_auc_score(fractured, scores)),
        "sensitivity_90": at_90,
        "sensitivity_95": at_95,
        "calibration": calibration,
        "brier": brier,
    }


def sensitivity_at(scores: np.ndarray, fractured: np.ndarray, specificity: float) -> float:
    """The largest share of fractured films that a threshold recognises which leaves that share of the others alone.

    Args:
        scores, fractured: as for `summarise_films`; both kinds are there.
        specificity: in 0..1.
    """
    false, true, _ = roc_curve(fractured, scores, drop_intermediate=False)
    return float(true[false <= 1 - specificity + ROUNDING].max())


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
    target = np.where(fractured, (with_fracture + 1) / (with_fracture + 2), 1 / (without + 2))
    x = finite_logit(scores)[:, None]
    both = np.repeat([True, False], len(scores))  # each film counts as both kinds, by the shares of its target
    model = LogisticRegression(C=np.inf, tol=1e-8, max_iter=1000)
    model.fit(np.vstack([x, x]), both, sample_weight=np.concatenate([target, 1 - target]))
    slope = float(model.coef_[0, 0])
    return {"slope": slope, "intercept": float(model.intercept_[0])} if slope > 0 else None
