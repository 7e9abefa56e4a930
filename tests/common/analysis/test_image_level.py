import math

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score, roc_curve

from stages.common.analysis.image_level import FIGURES, figures_of, image_level, roc
from stages.common.data.tables import IMAGE_LEVEL

GAIN = "adaptive - baseline"


def case(seed: int, films: int = 60) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Scores with ties, kinds and patients of two films each."""
    rng = np.random.default_rng(seed)
    fractured = rng.random(films) < 0.7
    scores = np.round(np.clip(rng.random(films) * 0.6 + 0.3 * fractured, 0, 1), 1)
    return scores, fractured, np.arange(films) // 2


def table(scores: np.ndarray, fractured: np.ndarray, seed: int = 1) -> pd.DataFrame:
    return pd.DataFrame({"seed": seed, "fractures": fractured.astype(int), "probability_max": scores})


def test_the_curves_are_sklearns_whatever_stands_in_a_draw() -> None:
    scores, fractured, _ = case(0)
    weights = np.random.default_rng(1).multinomial(60, np.full(60, 1 / 60), 20).astype(float)
    values = figures_of(*roc(scores, fractured, weights))
    for row, weight in zip(values, weights, strict=True):
        false, true, _ = roc_curve(fractured, scores, sample_weight=weight, drop_intermediate=False)
        expected = [roc_auc_score(fractured, scores, sample_weight=weight)]
        expected += [true[false <= 1 - specificity + 1e-9].max() for specificity in (0.90, 0.95)]
        assert row == pytest.approx(expected)


def test_the_interval_is_that_of_patients_drawn_one_by_one() -> None:
    scores, fractured, patients = case(2)
    first, second = table(scores, fractured), table(np.sqrt(scores) * 0.5 + fractured * 0.1, fractured)
    found = image_level({"baseline": first, "adaptive": second}, pd.Series(patients), GAIN).set_index("row")
    assert found.loc["baseline", "auroc"] == pytest.approx(roc_auc_score(fractured, scores))
    assert found.loc[GAIN, "auroc"] == pytest.approx(found.loc["adaptive", "auroc"] - found.loc["baseline", "auroc"])
    rng, values = np.random.default_rng(5), []
    for _ in range(2000):
        drawn = np.concatenate([np.flatnonzero(patients == one) for one in rng.integers(0, 30, 30)])
        values.append(roc_auc_score(fractured[drawn], scores[drawn]))
    low, high = np.quantile(values, (0.025, 0.975))
    assert found.loc["baseline", "auroc_low"] == pytest.approx(low, abs=0.015)
    assert found.loc["baseline", "auroc_high"] == pytest.approx(high, abs=0.015)
    # What is drawn is the same for both: the interval of the difference is that of pairs.
    assert found.loc[GAIN, "auroc_high"] - found.loc[GAIN, "auroc_low"] < high - low
    assert (found["patients"] == 30).all()


def test_several_seeds_count_with_their_mean_and_widen_the_interval() -> None:
    scores, fractured, patients = case(3)
    worse = np.random.default_rng(0).permutation(scores)
    of_one = image_level({"a": table(scores, fractured), "b": table(scores, fractured)}, pd.Series(patients), GAIN)
    both = pd.concat([table(scores, fractured), table(worse, fractured, 2)], ignore_index=True)
    of_two = image_level({"a": both, "b": both}, pd.Series(np.tile(patients, 2)), GAIN)
    mean = (roc_auc_score(fractured, scores) + roc_auc_score(fractured, worse)) / 2
    assert of_two["auroc"][0] == pytest.approx(mean)
    widths = [(found["auroc_high"] - found["auroc_low"])[0] for found in (of_one, of_two)]
    assert widths[1] > widths[0]
    assert of_two["with_fracture"][0] == of_one["with_fracture"][0] == fractured.sum()


@pytest.mark.parametrize("kind", [True, False])
def test_films_of_one_kind_have_no_row(kind: bool) -> None:
    one = table(np.array([0.1, 0.4]), np.full(2, kind))
    found = image_level({"baseline": one, "adaptive": one}, pd.Series(["a", "b"]), GAIN)
    assert list(found) == list(IMAGE_LEVEL.columns)
    assert found.empty


def test_one_patient_of_a_kind_gives_figures_and_no_interval() -> None:
    scores, fractured = np.array([0.9, 0.8, 0.7, 0.1]), np.array([True, True, True, False])
    one = table(scores, fractured)
    found = image_level({"baseline": one, "adaptive": one}, pd.Series(["a", "b", "c", "d"]), GAIN)
    for figure in FIGURES:
        assert found[figure][0] == 1
        assert math.isnan(found[f"{figure}_low"][0])
        assert math.isnan(found[f"{figure}_high"][0])


def test_rare_kinds_leave_draws_without_them_out() -> None:
    scores, fractured = np.array([0.9, 0.8, 0.7, 0.6, 0.2, 0.75]), np.array([True, True, True, True, False, False])
    one = table(scores, fractured)
    found = image_level({"baseline": one, "adaptive": one}, pd.Series(list("abcdef")), GAIN)
    assert found["auroc"][0] == 6 / 8
    assert 0 <= found["auroc_low"][0] <= 6 / 8 <= found["auroc_high"][0] <= 1
