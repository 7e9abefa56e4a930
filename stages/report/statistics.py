"""Whether adaptive differs from baseline: intervals, tests, and what films like these could show at all.

The independent unit is the patient (the column `group` of split.csv): films of one patient are alike, so that patients
are drawn, paired and counted.
"""

import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.power import TTestPower

RESAMPLES = 10_000
LEVEL, POWER = 0.05, 0.8


@dataclass(frozen=True)
class Comparison:
    """One metric of two models on the same patients.

    difference: mean over patients of the mean over their films, second model minus first. low, high: 95 % interval (BCa
    bootstrap over patients). wilcoxon, permutation: p values of the paired tests, holm: the latter corrected for the
    number of metrics. effect: difference / standard deviation of the patients' differences (Cohen's d_z). detectable:
    the smallest difference that as many patients would show in 4 of 5 studies. false_claim: probability that the better
    model is not better. patients: their number; those without a defined value are left out.
    """

    metric: str
    difference: float
    low: float
    high: float
    wilcoxon: float
    permutation: float
    holm: float
    effect: float
    detectable: float
    false_claim: float
    patients: int


def compare_metrics(
    first: pd.DataFrame, second: pd.DataFrame, patients: pd.Series, metrics: tuple[str, ...]
) -> pd.DataFrame:
    """A row of `Comparison` per metric, the p values of the permutation test corrected by Holm's method.

    Args:
        first, second: per-image metrics, the same images in the same order.
        patients: of each row.
    """
    rows = [compare_metric(name, first[name], second[name], patients) for name in metrics]
    table = pd.DataFrame([vars(row) for row in rows])
    known = table["permutation"].notna()
    if known.any():
        table.loc[known, "holm"] = multipletests(table.loc[known, "permutation"], method="holm")[1]
    return table


def compare_metric(name: str, first: pd.Series, second: pd.Series, patients: pd.Series) -> Comparison:
    """One metric; Holm's correction is left as NaN."""
    means = pd.DataFrame({"first": first.to_numpy(), "second": second.to_numpy()}).groupby(patients.to_numpy()).mean()
    means = means.dropna()
    a, b = means["first"].to_numpy(), means["second"].to_numpy()
    gain, n = b - a, len(means)
    unknown: dict[str, Any] = dict.fromkeys([field.name for field in fields(Comparison)], math.nan) | {
        "metric": name,
        "patients": n,
    }
    if n < 2:
        return Comparison(**unknown)
    spread = float(gain.std(ddof=1))
    if spread == 0:  # every patient differs by the same: there is nothing to test
        same = dict.fromkeys(("difference", "low", "high"), float(gain[0]))
        certain = dict.fromkeys(("wilcoxon", "permutation"), 1.0 if gain[0] == 0 else math.nan)
        return Comparison(**(unknown | same | certain))
    low, high = bca(n, lambda drawn: gain[drawn].mean(axis=-1))
    return Comparison(
        metric=name,
        difference=float(gain.mean()),
        low=low,
        high=high,
        wilcoxon=float(stats.wilcoxon(b, a, zero_method="pratt").pvalue),
        permutation=permutation(a, b),
        holm=math.nan,
        effect=float(gain.mean()) / spread,
        detectable=detectable(spread, n),
        false_claim=false_claim(a, b),
        patients=n,
    )


def bca(count: int, statistic: Callable[[np.ndarray], np.ndarray]) -> tuple[float, float]:
    """The bias-corrected and accelerated 95 % bootstrap interval (Efron 1987), by scipy; NaN where all draws agree.

    Args:
        count: of patients.
        statistic: patients int (..., k) to values (...).
    """

    def along(drawn: np.ndarray, axis: int) -> np.ndarray:
        return statistic(np.moveaxis(drawn, axis, -1))

    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")  # scipy warns where it returns NaN
        found = stats.bootstrap(
            (np.arange(count),),
            along,
            n_resamples=RESAMPLES,
            method="BCa",
            vectorized=True,
            confidence_level=1 - LEVEL,
            rng=np.random.default_rng(0),
        ).confidence_interval
    return float(found.low), float(found.high)


def pooled_f1_interval(first: pd.DataFrame, second: pd.DataFrame | None, patients: pd.Series) -> tuple[float, float]:
    """The interval of the F1 of all pixels together, or of its difference, second minus first.

    Args:
        first, second: per-image counts, the same images in the same order.
    """
    sums = [
        table[["tp", "fp", "fn"]].groupby(patients.to_numpy()).sum().to_numpy(float)
        for table in (first, second)
        if table is not None
    ]

    def f1(counts: np.ndarray, drawn: np.ndarray) -> np.ndarray:
        tp, fp, fn = np.moveaxis(counts[drawn].sum(axis=-2), -1, 0)
        whole = 2 * tp + fp + fn
        return np.where(whole > 0, 2 * tp / np.maximum(whole, 1), 1.0)

    return bca(len(sums[0]), lambda drawn: f1(sums[-1], drawn) - (f1(sums[0], drawn) if len(sums) == 2 else 0))


def permutation(a: np.ndarray, b: np.ndarray) -> float:
    """p of the paired permutation test: were the two models' labels swapped at random within each patient?"""

    def gain(x: np.ndarray, y: np.ndarray, axis: int) -> np.ndarray:
        return np.asarray(np.mean(y, axis=axis) - np.mean(x, axis=axis))

    found = stats.permutation_test(
        (a, b), gain, permutation_type="samples", n_resamples=RESAMPLES, vectorized=True, rng=np.random.default_rng(0)
    )
    return float(found.pvalue)


def detectable(spread: float, count: int) -> float:
    """The smallest mean difference that a paired t test of `count` patients finds in 4 of 5 studies (two-sided, 5 %).

    Args:
        spread: standard deviation of the patients' differences.
    """
    return float(spread * TTestPower().solve_power(nobs=count, alpha=LEVEL, power=POWER))


def false_claim(a: np.ndarray, b: np.ndarray) -> float:
    """Probability that the model with the better mean is not the better one, 0..0.5.

    Christodoulou et al. 2025 (arXiv 2505.04720): the t distribution of n - 1 degrees at
    -|mean(b) - mean(a)| sqrt(n) / sqrt(s_a^2 + s_b^2 - 2 r s_a s_b).
    """
    spread = math.sqrt(a.var(ddof=1) + b.var(ddof=1) - 2 * float(np.cov(a, b)[0, 1]))
    return float(stats.t.cdf(-abs(b.mean() - a.mean()) * math.sqrt(len(a)) / spread, len(a) - 1))
