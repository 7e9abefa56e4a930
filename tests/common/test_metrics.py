import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis.extra.numpy import arrays
from sklearn.metrics import accuracy_score, f1_score, jaccard_score, precision_score, recall_score

from stages.common.metrics import count_pixels, metrics, score_images, summarise

masks = arrays(bool, (4, 5))


@given(masks, masks)
def test_agrees_with_scikit_learn(pred: np.ndarray, ref: np.ndarray) -> None:
    found = metrics(**count_pixels(mask_pred=pred, mask_ref=ref))
    truth, guess = ref.ravel(), pred.ravel()
    nan = {"zero_division": np.nan}
    expected = {
        "accuracy": accuracy_score(truth, guess),
        "precision": precision_score(truth, guess, **nan),
        "recall": recall_score(truth, guess, **nan),
        "f1": f1_score(truth, guess, zero_division=1.0),
        "iou": jaccard_score(truth, guess, zero_division=1.0) if (pred | ref).any() else 1.0,
    }
    for name, value in expected.items():
        assert found[name] == pytest.approx(value, nan_ok=True), name


def test_worked_by_hand() -> None:
    found = metrics(tp=3, fp=1, fn=2, tn=4)
    assert found == pytest.approx({"accuracy": 0.7, "precision": 0.75, "recall": 0.6, "f1": 6 / 9, "iou": 0.5})


def test_undefined_is_never_zero_or_one() -> None:
    missed = metrics(tp=0, fp=0, fn=5, tn=5)
    assert math.isnan(missed["precision"])
    assert (missed["recall"], missed["f1"], missed["iou"]) == (0, 0, 0)
    alarm = metrics(tp=0, fp=5, fn=0, tn=5)
    assert math.isnan(alarm["recall"])
    assert (alarm["precision"], alarm["f1"]) == (0, 0)
    quiet = metrics(tp=0, fp=0, fn=0, tn=10)
    assert (quiet["f1"], quiet["iou"]) == (1, 1)


def test_shapes_must_agree() -> None:
    with pytest.raises(ValueError, match=r"\(2, 2\) and \(2, 3\)"):
        count_pixels(mask_pred=np.zeros((2, 2), bool), mask_ref=np.zeros((2, 3), bool))


def test_threshold_itself_counts_as_fracture() -> None:
    table = score_images(np.array([[[0.5, 0.4999]]], np.float32), np.array([[[True, True]]]), 0.5)
    assert (table["tp"][0], table["fn"][0]) == (1, 1)


def test_pooled_sums_counts_and_mean_averages_images() -> None:
    table = pd.DataFrame(
        [row | metrics(**row) for row in ({"tp": 8, "fp": 0, "fn": 0, "tn": 2}, {"tp": 0, "fp": 0, "fn": 2, "tn": 8})]
    )
    found = summarise(table)
    assert found["pooled"]["f1"] == pytest.approx(16 / 18)
    assert found["mean"]["f1"] == pytest.approx(0.5)
    assert found["undefined"]["precision"] == 1
    assert found["mean"]["precision"] == 1
    assert found["test_set"] == {"images": 2, "images_with_fracture": 2, "prevalence": 0.5}
