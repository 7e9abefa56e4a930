import numpy as np
import pytest
from sklearn.metrics import precision_score, recall_score

from stages.evaluate.curves import precision_recall


def test_agrees_with_scikit_learn_at_every_threshold() -> None:
    rng = np.random.default_rng(0)
    masks = rng.random((2, 20, 20)) < 0.2
    chances = np.clip(rng.normal(0.3 + 0.3 * masks, 0.2), 0, 1).astype(np.float32)
    curve = precision_recall(chances, masks)
    assert curve["threshold"].is_monotonic_increasing
    for row in curve.iloc[::17].itertuples():
        guess = chances.ravel() >= row.threshold
        assert row.precision == pytest.approx(precision_score(masks.ravel(), guess))
        assert row.recall == pytest.approx(recall_score(masks.ravel(), guess))


def test_a_perfect_and_an_empty_case() -> None:
    masks = np.array([[[True, False]]])
    perfect = precision_recall(masks.astype(np.float32), masks)
    assert perfect.iloc[-1][["precision", "recall"]].tolist() == [1, 1]
    empty = precision_recall(np.full((1, 1, 2), 0.5, np.float32), np.zeros((1, 1, 2), bool))
    assert empty["recall"].isna().all()
    assert (empty["precision"] == 0).all()
