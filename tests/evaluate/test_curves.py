import numpy as np
import pytest
from scipy.special import expit
from sklearn.calibration import calibration_curve
from sklearn.metrics import (
    average_precision_score,
    brier_score_loss,
    f1_score,
    log_loss,
    precision_score,
    recall_score,
)

from stages.common.model.calibration import to_probabilities
from stages.evaluate.calibration_error import brier, calibration_error, reliability
from stages.evaluate.curves import (
    average_precision,
    best_temperature,
    best_threshold,
    levels_of,
    precision_recall,
)


def test_agrees_with_scikit_learn_at_every_threshold() -> None:
    rng = np.random.default_rng(0)
    masks = rng.random((2, 20, 20)) < 0.2
    chances = np.clip(rng.normal(0.3 + 0.3 * masks, 0.2), 0, 1).astype(np.float32)
    curve = precision_recall(levels_of(chances, masks))
    assert curve["threshold"].is_monotonic_increasing
    for row in curve.iloc[::17].itertuples():
        guess = chances.ravel() >= row.threshold
        assert row.precision == pytest.approx(precision_score(masks.ravel(), guess))
        assert row.recall == pytest.approx(recall_score(masks.ravel(), guess))


def test_a_perfect_and_an_empty_case() -> None:
    masks = np.array([[[True, False]]])
    perfect = precision_recall(levels_of(masks.astype(np.float32), masks))
    assert perfect.iloc[-1][["precision", "recall"]].tolist() == [1, 1]
    empty = precision_recall(levels_of(np.full((1, 1, 2), 0.5, np.float32), np.zeros((1, 1, 2), bool)))
    assert empty["recall"].isna().all()
    assert (empty["precision"] == 0).all()


def noisy(seed: int, share: float = 0.2) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    masks = rng.random((2, 30, 30)) < share
    return np.clip(rng.normal(0.3 + 0.3 * masks, 0.2), 0, 1).astype(np.float32), masks


@pytest.mark.parametrize("seed", range(4))
def test_average_precision_agrees_with_scikit_learn(seed: int) -> None:
    chances, masks = noisy(seed)
    expected = average_precision_score(masks.ravel(), chances.ravel())
    assert average_precision(levels_of(chances, masks)) == pytest.approx(expected, abs=1e-4)


def test_a_predictor_that_knows_nothing_gets_the_prevalence() -> None:
    _, masks = noisy(0)
    assert average_precision(levels_of(np.full(masks.shape, 0.3, np.float32), masks)) == pytest.approx(masks.mean())


def test_without_fracture_there_is_no_area() -> None:
    assert np.isnan(average_precision(levels_of(np.zeros((1, 2, 2), np.float32), np.zeros((1, 2, 2), bool))))


@pytest.mark.parametrize("seed", range(4))
def test_the_best_threshold_is_the_best_of_all(seed: int) -> None:
    chances, masks = noisy(seed)
    scores = [f1_score(masks.ravel(), chances.ravel() >= i / 256, zero_division=0) for i in range(256)]
    assert best_threshold(levels_of(chances, masks)) == int(np.argmax(scores)) / 256


# From 3 on, logits of 17 and more occur, whose probability is 1 in float32: the fit must not read those.
@pytest.mark.parametrize("sharpened", [0.1, 0.4, 1.0, 3.0, 10.0])
def test_the_temperature_that_spoilt_logits_is_found_again(sharpened: float) -> None:
    rng = np.random.default_rng(5)
    logits = rng.normal(-1, 2, (4, 200, 200))
    masks = rng.random(logits.shape) < expit(logits)
    spoilt = (sharpened * logits).astype(np.float32)
    fitted = best_temperature(spoilt, masks)
    assert fitted == pytest.approx(sharpened, rel=0.03)
    before, after = (log_loss(masks.ravel(), to_probabilities(spoilt, t).ravel()) for t in (1.0, fitted))
    assert after <= before + 1e-9


def test_the_temperature_scales_with_the_logits() -> None:
    rng = np.random.default_rng(6)
    logits = rng.normal(-1, 2, (2, 50, 50)).astype(np.float32)
    masks = rng.random(logits.shape) < expit(logits)
    assert best_temperature(8 * logits, masks) == pytest.approx(8 * best_temperature(logits, masks), rel=1e-3)


def test_without_both_kinds_of_pixels_there_is_no_temperature_to_fit() -> None:
    logits = np.array([[[-1.5, 0.8]]], np.float32)
    for value in (True, False):
        assert best_temperature(logits, np.full(logits.shape, value)) == 1.0


def test_films_together_are_the_sum_of_each() -> None:
    chances, masks = noisy(3)
    parts = levels_of(chances[0], masks[0]) + levels_of(chances[1], masks[1])
    whole = levels_of(chances, masks)
    assert (parts.fracture == whole.fracture).all()
    assert (parts.every == whole.every).all()


def test_reliability_by_hand() -> None:
    chances = np.array([[0.01, 0.05, 0.5, 0.52, 1.0]], np.float32)
    table = reliability(levels_of(chances, np.array([[False, False, True, False, True]])))
    assert list(table["pixels"]) == [2, 2, 1]
    assert list(table["low"]) == pytest.approx([0, 7 / 15, 14 / 15])
    assert list(table["predicted"]) == pytest.approx([0.03, 0.51, 1.0], abs=1e-5)
    assert list(table["observed"]) == pytest.approx([0, 0.5, 1])
    assert calibration_error(table) == pytest.approx((2 * 0.03 + 2 * 0.01 + 0) / 5, abs=1e-5)


def test_calibration_and_brier_agree_with_scikit_learn() -> None:
    chances, masks = noisy(1)
    chances = np.floor(chances * 65536) / 65536  # no pixel between two levels
    observed, predicted = calibration_curve(masks.ravel(), chances.ravel(), n_bins=15)
    table = reliability(levels_of(chances, masks))
    np.testing.assert_allclose(table["observed"], observed, atol=1e-6)
    np.testing.assert_allclose(table["predicted"], predicted, atol=1e-5)
    assert brier(chances, masks) == pytest.approx(brier_score_loss(masks.ravel(), chances.ravel()), rel=1e-5)
