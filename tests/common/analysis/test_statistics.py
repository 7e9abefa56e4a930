import numpy as np
import pandas as pd
import pytest
from scipy import stats

from stages.common.analysis.statistics import (
    bca,
    compare_metric,
    compare_metrics,
    detectable,
    false_claim,
    kendall_tau,
    over_seeds,
    permutation,
    pooled_f1_interval,
    ranking,
)
from stages.common.model.metrics import metrics

ALONE = pd.Series([f"p{i}" for i in range(40)])
PAIRS = pd.Series([f"p{i // 2}" for i in range(40)])


def scores(seed: int, mean: float, spread: float = 0.1, shared: int = 0) -> pd.Series:
    common = np.random.default_rng(shared).normal(0, 0.15, 40)
    return pd.Series(mean + common + np.random.default_rng(100 + seed).normal(0, spread, 40))


def test_each_number_is_scipys() -> None:
    a, b = scores(0, 0.5), scores(1, 0.55)
    found = compare_metric("f1", a, b, ALONE)
    assert found["difference"] == pytest.approx((b - a).mean())
    assert found["wilcoxon"] == pytest.approx(stats.wilcoxon(b, a, zero_method="pratt").pvalue)
    assert found["permutation"] == pytest.approx(stats.ttest_rel(b, a).pvalue, abs=0.02)
    assert found["effect"] == pytest.approx((b - a).mean() / (b - a).std())
    # the interval of a mean of 40 is near that of Student
    student = stats.t.interval(0.95, 39, (b - a).mean(), (b - a).sem())
    assert (found["low"], found["high"]) == pytest.approx(student, abs=0.006)
    assert found["patients"] == 40


def test_films_of_one_patient_count_once() -> None:
    a, b = scores(0, 0.5), scores(1, 0.55)
    found = compare_metric("f1", a, b, PAIRS)
    gain = (b - a).groupby(PAIRS).mean()
    assert found["patients"] == 20
    assert found["permutation"] == pytest.approx(stats.ttest_rel(gain, 0 * gain).pvalue, abs=0.02)
    # twice the same films are no new evidence
    twice = compare_metric("f1", pd.concat([a, a]), pd.concat([b, b]), pd.concat([PAIRS, PAIRS]))
    assert (twice["low"], twice["high"], twice["permutation"]) == pytest.approx(
        (found["low"], found["high"], found["permutation"])
    )


@pytest.mark.parametrize("seeds", [1, 2])
def test_one_patient_has_no_interval(seeds: int) -> None:
    """All draws are the same: nothing is known of others."""
    table = pd.concat([pd.DataFrame({"seed": seed, "tp": [3, 4], "fp": 1, "fn": [1, 2]}) for seed in range(seeds)])
    for second in (None, table.assign(tp=1)):
        assert np.isnan(pooled_f1_interval(table, second, pd.Series(["p"] * len(table)))).all()


def test_an_undefined_value_leaves_its_patient_out() -> None:
    a, b = scores(0, 0.5), scores(1, 0.55)
    a[3] = np.nan
    assert compare_metric("precision", a, b, ALONE)["patients"] == 39


def test_the_same_model_twice_is_no_difference() -> None:
    a = scores(0, 0.5)
    found = compare_metric("f1", a, a, ALONE)
    assert (found["difference"], found["low"], found["high"], found["wilcoxon"], found["permutation"]) == (
        0,
        0,
        0,
        1,
        1,
    )


def test_holm_by_hand() -> None:
    first = pd.DataFrame({name: scores(i, 0.5) for i, name in enumerate("abc")})
    second = pd.DataFrame({name: scores(10 + i, 0.5 + 0.03 * i) for i, name in enumerate("abc")})
    table = compare_metrics(first, second, ALONE, ("a", "b", "c")).set_index("metric")
    ordered = table["permutation"].sort_values()
    steps = np.maximum.accumulate(np.minimum(ordered.to_numpy() * [3, 2, 1], 1))
    assert list(table.loc[ordered.index, "holm"]) == pytest.approx(list(steps))


def test_bca_agrees_with_an_exact_interval_of_a_skewed_mean() -> None:
    # 60 exponential numbers: the mean is gamma distributed
    data = np.random.default_rng(3).exponential(1, 60)
    low, high = bca(60, lambda drawn: data[drawn].mean(axis=-1))
    exact = data.sum() / stats.gamma.ppf([0.975, 0.025], 60)
    assert (low, high) == pytest.approx(tuple(exact), abs=0.06)


def test_where_all_draws_agree_there_is_no_interval() -> None:
    low, high = bca(10, lambda drawn: 0.0 * drawn.sum(axis=-1))
    assert np.isnan([low, high]).all()


def counts(seed: int, skill: float) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    tp = rng.binomial(200, skill, 40)
    fp = rng.integers(0, 60, 40)
    rows = [{"tp": int(t), "fp": int(f), "fn": int(200 - t), "tn": 3000} for t, f in zip(tp, fp, strict=True)]
    return pd.DataFrame([row | metrics(**row) for row in rows]).assign(seed=1)


def test_pooled_f1_and_its_difference_lie_in_their_intervals() -> None:
    a, b = counts(0, 0.6), counts(1, 0.7)

    def f1(table: pd.DataFrame) -> float:
        total = table[["tp", "fp", "fn"]].sum()
        return float(2 * total["tp"] / (2 * total["tp"] + total["fp"] + total["fn"]))

    for tables, value in (((a, None), f1(a)), ((a, b), f1(b) - f1(a))):
        low, high = pooled_f1_interval(*tables, PAIRS)
        assert low < value < high
        assert high - low < 0.1


def test_forty_patients_show_differences_of_the_known_size() -> None:
    # digits of the digest: SD of differences .02, .05, .10 at n = 40 and 80 % power
    found = [detectable(spread, 40) for spread in (0.02, 0.05, 0.10)]
    assert found == pytest.approx([0.009, 0.022, 0.045], abs=0.001)


def test_that_size_falls_with_every_patient() -> None:
    # statsmodels' own search ends in an array, or below zero, for 73, 87, 92, 109, 117 and 120 patients
    found = np.array([detectable(1.0, count) for count in range(2, 400)])
    assert found[0] == pytest.approx(11.55, abs=0.01)
    assert (np.diff(found) < 0).all()
    assert found[-1] == pytest.approx((stats.norm.isf(0.025) + stats.norm.ppf(0.8)) / np.sqrt(399), rel=0.01)


@pytest.mark.parametrize("count", [2, 5, 73])
def test_that_size_is_found_in_four_of_five_studies(count: int) -> None:
    studies = np.random.default_rng(0).normal(detectable(1.0, count), 1, (100_000, count))
    assert (stats.ttest_1samp(studies, 0, axis=1).pvalue < 0.05).mean() == pytest.approx(0.8, abs=0.005)


@pytest.mark.parametrize(("correlation", "expected"), [(0.5, 0.25), (0.8, 0.15), (0.9, 0.07), (0.95, 0.02)])
def test_the_papers_difference_is_a_false_claim_as_often_as_computed_elsewhere(
    correlation: float, expected: float
) -> None:
    # +.0107 of F1 on 40 images with a standard deviation of .10 each
    rng = np.random.default_rng(0)
    a, noise = (values - values.mean() for values in rng.normal(size=(2, 40)))
    noise -= a * (a @ noise) / (a @ a)
    a, noise = (values / values.std(ddof=1) for values in (a, noise))
    b = correlation * a + np.sqrt(1 - correlation**2) * noise
    assert false_claim(0.1 * a, 0.1 * b + 0.0107) == pytest.approx(expected, abs=0.01)


def test_permutation_of_few_patients_is_exact() -> None:
    # three patients, all better: 2 of 2^3 swaps are as extreme
    assert permutation(np.array([0.1, 0.2, 0.3]), np.array([0.2, 0.35, 0.5])) == pytest.approx(0.25)


def several_seeds(spread: float) -> tuple[pd.DataFrame, pd.DataFrame, pd.Series]:
    """Two models on 30 patients, three seeds; the second is better by 0.1, with one seed by `spread` more or less."""
    rng, sides = np.random.default_rng(1), ([], [])  # type: ignore[var-annotated]
    for seed, shift in enumerate((-spread, 0.0, spread)):
        for side, skill in zip(sides, (0.5, 0.6 + shift), strict=True):
            tp = np.round(200 * np.clip(rng.normal(skill, 0.05, 30), 0, 1)).astype(int)
            counts = {"tp": tp, "fp": np.full(30, 40), "fn": 200 - tp}
            side.append(pd.DataFrame(counts).assign(seed=seed, image_id=[f"i{i}" for i in range(30)]))
    first, second = (pd.concat(side, ignore_index=True) for side in sides)
    return first, second, first["image_id"].str.replace("i", "p")


def test_the_two_level_interval_is_that_of_a_plain_loop() -> None:
    first, second, patients = several_seeds(0.1)
    rng, found = np.random.default_rng(5), []
    sides = [table[["tp", "fp", "fn"]].to_numpy().reshape(3, 30, 3) for table in (first, second)]
    for _ in range(4000):
        seeds, drawn = rng.integers(0, 3, 3), rng.integers(0, 30, 30)
        gains = []
        for seed in seeds:
            a, b = (side[seed, drawn].sum(axis=0) for side in sides)
            gains.append(2 * b[0] / (2 * b[0] + b[1] + b[2]) - 2 * a[0] / (2 * a[0] + a[1] + a[2]))
        found.append(np.mean(gains))
    expected = np.quantile(found, (0.025, 0.975))
    np.testing.assert_allclose(pooled_f1_interval(first, second, patients), expected, atol=0.006)


def test_seeds_that_disagree_widen_the_interval() -> None:
    widths = []
    for spread in (0.0, 0.1):
        low, high = pooled_f1_interval(*several_seeds(spread))
        widths.append(high - low)
    assert widths[1] > 2 * widths[0]


def test_kendalls_tau_is_scipys() -> None:
    rng = np.random.default_rng(2)
    ranking, others = rng.integers(0, 5, 8).astype(float), rng.integers(0, 5, (50, 8)).astype(float)
    expected = [stats.kendalltau(ranking, other).statistic for other in others]
    assert kendall_tau(ranking, others) == pytest.approx(expected)
    assert kendall_tau(np.ones(3), np.ones((2, 3))).tolist() == [1, 1]


def test_a_ranking_is_firm_where_predictors_differ_and_loose_where_they_do_not() -> None:
    first, second, patients = several_seeds(0.0)
    owner = dict(zip(first["image_id"], patients, strict=True))
    found = ranking({"worse": first, "better": second, "twin": second.copy()}, pd.Series(owner)).set_index("row")
    assert list(found["rank"]) == [1.5, 1.5, 3.0]
    assert found.loc["worse", ["rank_low", "rank_high", "first"]].tolist() == [3, 3, 0]
    assert found["tau"].iloc[0] == pytest.approx(1.0)
    again = ranking({"one": first[first["seed"] == 0], "other": first[first["seed"] == 1]}, pd.Series(owner))
    assert again["first"].between(0.01, 0.99).all()
    assert again["tau"].iloc[0] < 1


def test_a_film_counts_once_whatever_the_number_of_seeds() -> None:
    first, _, _ = several_seeds(0.1)
    means = over_seeds(first.assign(fold=1, f1=first["tp"] / 200))
    assert list(means["image_id"]) == [f"i{i}" for i in range(30)]
    assert means["f1"].iloc[3] == pytest.approx(first.loc[first["image_id"] == "i3", "tp"].mean() / 200)
