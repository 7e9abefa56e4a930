import numpy as np
import pytest
from sklearn.calibration import _SigmoidCalibration
from sklearn.metrics import brier_score_loss, roc_auc_score

from stages.common.model.calibration import film_probability, finite_logit
from stages.evaluate.image_level import fit_calibration, summarise_films

# Ten films without a fracture, 0.05 to 0.95, and five with.
NORMAL = np.arange(10) / 10 + 0.05
FRACTURED = np.array([0.99, 0.90, 0.80, 0.50, 0.10])
SCORES = np.concatenate([NORMAL, FRACTURED])
TRUTH = np.repeat([False, True], [10, 5])


def test_a_case_by_hand() -> None:
    """Films without a fracture that lie below each with one: 10, 9, 8, 5 and 1 of 10, so 33 of 50 pairs.

    At 90 % specificity one of ten may be called fractured, that at 0.95: 0.99 and 0.90 are recognised. At 95 % none.
    """
    summary = summarise_films(SCORES, TRUTH, None)
    assert summary is not None
    assert summary["auroc"] == pytest.approx(33 / 50)
    assert (summary["sensitivity_90"], summary["sensitivity_95"]) == (2 / 5, 1 / 5)
    assert (summary["with_fracture"], summary["without_fracture"]) == (5, 10)
    assert (summary["calibration"], summary["brier"]) == (None, None)


def test_equal_scores_count_half() -> None:
    summary = summarise_films(np.array([0.5, 0.5]), np.array([True, False]), None)
    assert summary is not None
    assert (summary["auroc"], summary["sensitivity_90"]) == (0.5, 0.0)


@pytest.mark.parametrize("truth", [np.ones(3, bool), np.zeros(3, bool)])
def test_films_of_one_kind_have_no_figures(truth: np.ndarray) -> None:
    assert summarise_films(np.array([0.1, 0.2, 0.3]), truth, None) is None


def test_sensitivity_is_the_best_that_any_threshold_gives() -> None:
    rng = np.random.default_rng(0)
    for _ in range(50):
        scores, truth = np.round(rng.random(40), 1), rng.random(40) < 0.6
        summary = summarise_films(scores, truth, None)
        assert summary is not None
        assert summary["auroc"] == pytest.approx(roc_auc_score(truth, scores))
        for specificity, sensitivity in ((0.9, summary["sensitivity_90"]), (0.95, summary["sensitivity_95"])):
            best = 0.0
            for threshold in [*np.unique(scores), 2.0]:
                called = scores >= threshold
                if (~called[~truth]).mean() >= specificity - 1e-12:
                    best = max(best, called[truth].mean())
            assert sensitivity == pytest.approx(best)


def test_the_calibration_is_platts() -> None:
    """scikit-learn's own, of the same logits; its a and b stand for minus slope and intercept."""
    rng = np.random.default_rng(1)
    truth = rng.random(60) < 0.7
    scores = 1 / (1 + np.exp(-(rng.normal(size=60) + 2 * truth)))
    fitted = fit_calibration(scores, truth)
    assert fitted is not None
    theirs = _SigmoidCalibration().fit(finite_logit(scores), truth)
    assert fitted["slope"] == pytest.approx(-theirs.a_, rel=1e-3)
    assert fitted["intercept"] == pytest.approx(-theirs.b_, rel=1e-2)
    probability = film_probability(scores, fitted)
    assert np.abs(probability - theirs.predict(finite_logit(scores))).max() < 1e-3
    assert (np.argsort(probability) == np.argsort(scores)).all()
    summary = summarise_films(scores, truth, fitted)
    assert summary is not None
    assert summary["brier"] == pytest.approx(brier_score_loss(truth, probability))


def test_films_that_are_told_apart_without_an_error_give_a_finite_calibration() -> None:
    fitted = fit_calibration(np.array([0.0, 0.1, 0.9, 1.0]), np.array([False, False, True, True]))
    assert fitted is not None
    assert 0 < fitted["slope"] < 10
    low, high = film_probability(np.array([0.0, 1.0]), fitted)
    assert 0 < low < 0.25 < 0.75 < high < 1


def test_no_calibration_without_both_kinds_or_where_scores_say_the_opposite() -> None:
    assert fit_calibration(np.array([0.2, 0.7]), np.array([True, True])) is None
    assert fit_calibration(np.array([0.9, 0.8, 0.2, 0.1]), np.array([False, False, True, True])) is None
