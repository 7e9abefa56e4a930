"""What choosing the best of many does to its score."""

import numpy as np
import pandas as pd
from scipy import integrate, stats


def expected_maximum(count: int) -> float:
    """Mean of the largest of `count` independent standard normal numbers: 0, 0.564, 0.846, ... for 1, 2, 3."""

    def density(x: float) -> float:
        return float(x * count * stats.norm.pdf(x) * stats.norm.cdf(x) ** (count - 1))

    return float(integrate.quad(density, -12, 12, limit=200)[0])


def standard_error_of_trial(scores: pd.DataFrame, patients: pd.Series) -> float:
    """Standard error of one trial's mean score against the mean of all trials, by the choice of patients.

    What is common to all trials (some films are hard for everybody) drops out.

    Args:
        scores: one column per trial, one row per validation film.
        patients: of each row.
    """
    apart = scores.sub(scores.mean(axis=1), axis=0).groupby(patients.to_numpy()).mean()
    return float(np.sqrt((apart.var(ddof=1) / len(apart)).mean()))
