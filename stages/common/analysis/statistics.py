"""Whether adaptive differs from baseline: intervals, tests, and what films like these could show at all.

The independent unit is the patient (the column `group` of split.csv): films of one patient are alike, so that patients
are drawn, paired and counted.
"""

import math
import warnings
from collections.abc import Callable
from typing import Any, cast

import numpy as np
import pandas as pd
from scipy import stats
from scipy.optimize import brentq
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.power import TTestPower

from stages.common.data.rows import PairedRow
from stages.common.data.tables import STATISTICS

RESAMPLES = 10_000
LEVEL, POWER = 0.05, 0.8


def compare_metrics(
    first: pd.DataFrame, second: pd.DataFrame, patients: pd.Series, metrics: tuple[str, ...]
) -> pd.DataFrame:
    """A row of statistics.csv per metric, the p values of the permutation test corrected by Holm's method.

    Args:
        first, second: per-image metrics (of several seeds: their means), the same images in the same order.
        patients: of each row.
    """
    rows = [compare_metric(name, first[name], second[name], patients) for name in metrics]
    table = STATISTICS.frame(rows)
    defined = table["permutation"].notna()
    if defined.any():
        table.loc[defined, "holm"] = multipletests(table.loc[defined, "permutation"], method="holm")[1]
    return table


def compare_metric(name: str, first: pd.Series, second: pd.Series, patients: pd.Series) -> PairedRow:
    """One metric; Holm's correction is left as NaN.

    Args:
        name: of the metric.
        first: its value for each film under the first model, float (N,); NaN where undefined.
        second: the same films under the second model, float (N,).
        patients: of each film, (N,).
    Returns:
        second - first, mean over patients; NaN below two patients.
    """
    means = pd.DataFrame({"first": first.to_numpy(), "second": second.to_numpy()}).groupby(patients.to_numpy()).mean()
    means = means.dropna()
    a, b = means["first"].to_numpy(), means["second"].to_numpy()
    gains, n = b - a, len(means)
    unknown: dict[str, Any] = dict.fromkeys(STATISTICS.columns, math.nan) | {"metric": name, "patients": n}
    if n < 2:
        return cast("PairedRow", unknown)
    spread = float(gains.std(ddof=1))
    if spread == 0:  # every patient differs by the same: there is nothing to test
        same = dict.fromkeys(("difference", "low", "high"), float(gains[0]))
        certain = dict.fromkeys(("wilcoxon", "permutation"), 1.0 if gains[0] == 0 else math.nan)
        return cast("PairedRow", unknown | same | certain)
    low, high = bca(n, lambda drawn: gains[drawn].mean(axis=-1))
    return PairedRow(
        metric=name,
        difference=float(gains.mean()),
        low=low,
        high=high,
        wilcoxon=float(stats.wilcoxon(b, a, zero_method="pratt").pvalue),
        permutation=permutation(a, b),
        holm=math.nan,
        effect=float(gains.mean()) / spread,
        detectable=detectable(spread, n),
        false_claim=false_claim(a, b),
        patients=n,
    )


def bca(count: int, statistic: Callable[[np.ndarray], np.ndarray]) -> tuple[float, float]:
    """The bias-corrected and accelerated 95 % bootstrap interval (Efron 1987), by scipy; NaN where all draws agree, as
    those of one patient do.

    Args:
        count: of patients.
        statistic: patients int (..., k) to values (...).
    """

    if count < 2:
        return np.nan, np.nan

    def along(drawn: np.ndarray, axis: int) -> np.ndarray:
        return statistic(np.moveaxis(drawn, axis, -1))

    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")  # scipy warns where it returns NaN
        interval = stats.bootstrap(
            (np.arange(count),),
            along,
            n_resamples=RESAMPLES,
            method="BCa",
            vectorized=True,
            confidence_level=1 - LEVEL,
            rng=np.random.default_rng(0),
        ).confidence_interval
    return float(interval.low), float(interval.high)


def pooled_f1_interval(first: pd.DataFrame, second: pd.DataFrame | None, patients: pd.Series) -> tuple[float, float]:
    """The 95 % interval of the F1 of all pixels together, or of its difference, second minus first.

    With one seed, patients are drawn (BCa). With several, seeds and patients are drawn anew and independently, the same
    for both models, and the interval is that between the 2.5th and 97.5th percentile (two-level bootstrap, after
    Bouthillier et al. 2021, arXiv 2103.03098): BCa's correction knows one
    level only. Few seeds say little about others, and one patient nothing about others: NaN.

    Args:
        first, second: counts and the column seed, the same films in the same order for each seed.
        patients: of each row.
    """
    counts = [sums_of(table, patients) for table in (first, second) if table is not None]
    seeds, count = counts[0].shape[:2]
    if seeds == 1 or count < 2:
        return bca(count, lambda drawn: gain(*(pooled_f1(side[0, drawn].sum(axis=-2)) for side in counts)))
    rng = np.random.default_rng(0)
    drawn = rng.multinomial(count, np.full(count, 1 / count), RESAMPLES).astype(float)
    chosen = rng.integers(0, seeds, (RESAMPLES, seeds))
    sides = [pooled_f1(np.stack([drawn @ of_seed for of_seed in side], axis=1)) for side in counts]
    low, high = np.quantile(np.take_along_axis(gain(*sides), chosen, axis=1).mean(axis=1), (LEVEL / 2, 1 - LEVEL / 2))
    return float(low), float(high)


def gain(first: np.ndarray, second: np.ndarray | None = None) -> np.ndarray:
    return first if second is None else second - first


def sums_of(table: pd.DataFrame, patients: pd.Series) -> np.ndarray:
    """TP, FP and FN of each seed and patient, float (S, P, 3)."""
    sums = table.groupby(["seed", patients.to_numpy()])[["tp", "fp", "fn"]].sum()
    return sums.to_numpy(float).reshape(table["seed"].nunique(), -1, 3)


def pooled_f1(counts: np.ndarray) -> np.ndarray:
    """F1 of summed counts (..., 3); 1 where there is nothing and nothing is claimed."""
    tp, fp, fn = np.moveaxis(counts, -1, 0)
    whole = 2 * tp + fp + fn
    return np.where(whole > 0, 2 * tp / np.maximum(whole, 1), 1.0)


def over_seeds(table: pd.DataFrame) -> pd.DataFrame:
    """One row per film: its metrics averaged over the seeds in which they are defined, in the order of the films."""
    return table.drop(columns=["seed", "fold"]).groupby("image_id", sort=False).mean().reset_index()


def ranking(tables: dict[str, pd.DataFrame], patients: pd.Series) -> pd.DataFrame:
    """How firm the order of several predictors is, when patients are drawn anew 10,000 times.

    Each draw ranks the predictors by pooled F1, averaged over seeds, equals sharing the mean of their ranks. The tau of
    a draw is Kendall's, between its order and that of the whole set (Maier-Hein et al. 2018, doi
    10.1038/s41467-018-07619-7, ask for such a check).

    Args:
        tables: counts, image_id and seed of each predictor; the same films.
        patients: of each film, by its image_id.
    Returns:
        columns row, rank, rank_low, rank_high (95 % of the draws), first (share of the draws in which it leads), tau
        (mean over the draws, the same in each row), from the best to the worst.
    """
    counts = [sums_of(table, table["image_id"].map(patients)) for table in tables.values()]
    number = counts[0].shape[1]
    draws = np.random.default_rng(0).multinomial(number, np.full(number, 1 / number), RESAMPLES).astype(float)
    drawn = np.vstack([np.ones(number), draws])  # the first row is the set itself
    scores = np.stack([pooled_f1(np.stack([drawn @ seed for seed in side])).mean(axis=0) for side in counts], axis=1)
    ranks = stats.rankdata(-scores, axis=1)
    whole, ranks = ranks[0], ranks[1:]
    taus = kendall_tau(whole, ranks)
    low, high = np.quantile(ranks, (LEVEL / 2, 1 - LEVEL / 2), axis=0)
    columns = {"row": list(tables), "rank": whole, "rank_low": low, "rank_high": high}
    columns |= {"first": (ranks == 1).mean(axis=0), "tau": float(np.mean(taus))}
    return pd.DataFrame(columns).sort_values("rank", kind="stable", ignore_index=True)


def kendall_tau(ranking: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Kendall's tau-b of a ranking (n,) with each of others (N, n): float64 (N,), -1..1, and 1 where all are equal.

    It is scipy's, without the p value, which takes 100 times longer.
    """
    one, other = np.triu_indices(len(ranking), 1)
    first, second = (np.sign(ranks[..., one] - ranks[..., other]) for ranks in (ranking, others))
    pairs = np.sqrt((first != 0).sum() * (second != 0).sum(axis=1).astype(float))
    return np.where(pairs > 0, (first * second).sum(axis=1) / np.where(pairs > 0, pairs, 1), 1.0)


def permutation(a: np.ndarray, b: np.ndarray) -> float:
    """p of the paired permutation test: were the two models' labels swapped at random within each patient?"""

    def difference(x: np.ndarray, y: np.ndarray, axis: int) -> np.ndarray:
        return np.asarray(np.mean(y, axis=axis) - np.mean(x, axis=axis))

    test = stats.permutation_test(
        (a, b),
        difference,
        permutation_type="samples",
        n_resamples=RESAMPLES,
        vectorized=True,
        rng=np.random.default_rng(0),
    )
    return float(test.pvalue)


def detectable(spread: float, count: int) -> float:
    """The smallest mean difference that a paired t test of `count` patients finds in 4 of 5 studies (two-sided, 5 %).

    Args:
        spread: standard deviation of the patients' differences.
    """

    def short(effect: float) -> float:  # the other tail is as good as empty, and no number for two patients
        return float(TTestPower().power(effect, count, LEVEL / 2, alternative="larger")) - POWER

    top = 1.0
    while short(top) < 0:
        top *= 2
    return spread * float(brentq(short, 0, top))


def false_claim(a: np.ndarray, b: np.ndarray) -> float:
    """Probability that the model with the better mean is not the better one, 0..0.5.

    Christodoulou et al. 2025 (arXiv 2505.04720): the t distribution of n - 1 degrees at
    -|mean(b) - mean(a)| sqrt(n) / sqrt(s_a^2 + s_b^2 - 2 r s_a s_b).
    """
    spread = math.sqrt(a.var(ddof=1) + b.var(ddof=1) - 2 * float(np.cov(a, b)[0, 1]))
    return float(stats.t.cdf(-abs(b.mean() - a.mean()) * math.sqrt(len(a)) / spread, len(a) - 1))
