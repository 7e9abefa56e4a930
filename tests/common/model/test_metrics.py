import math

import numpy as np
import pandas as pd
import pytest
import segmentation_models_pytorch.metrics as smp
import torch
from hypothesis import given
from hypothesis.extra.numpy import arrays
from monai.metrics.meandice import compute_dice
from sklearn.metrics import (
    accuracy_score,
    balanced_accuracy_score,
    f1_score,
    jaccard_score,
    matthews_corrcoef,
    precision_score,
    recall_score,
)

from stages.common.model.metrics import count_pixels, metrics, score_images, summarise

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
    if len(set(truth)) == 2:
        expected |= {"balanced_accuracy": balanced_accuracy_score(truth, guess)}
        expected |= {"specificity": recall_score(~truth, ~guess)}
        if len(set(guess)) == 2:  # scikit-learn calls it 0 where it is undefined
            expected |= {"mcc": matthews_corrcoef(truth, guess)}
    for name, value in expected.items():
        assert found[name] == pytest.approx(value, nan_ok=True), name


def test_worked_by_hand() -> None:
    found = metrics(tp=3, fp=1, fn=2, tn=4)
    expected = {"accuracy": 0.7, "precision": 0.75, "recall": 0.6, "f1": 6 / 9, "iou": 0.5}
    # specificity 4 / 5; (12 - 2) / sqrt(4 * 5 * 5 * 6)
    expected |= {"specificity": 0.8, "balanced_accuracy": 0.7, "mcc": 10 / math.sqrt(600)}
    assert found == pytest.approx(expected)


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
    assert found["test_set"] == {
        "images": 2,
        "images_with_fracture": 2,
        "prevalence": 0.5,
        "both_empty": 0,
        "only_prediction_empty": 1,
        "only_label_empty": 0,
    }


def test_images_with_an_empty_mask_are_counted_by_kind() -> None:
    rows = [(0, 0, 0, 10), (0, 3, 0, 7), (0, 0, 2, 8), (0, 1, 2, 7), (4, 0, 0, 6)]
    counts = [dict(zip(("tp", "fp", "fn", "tn"), row, strict=True)) for row in rows]
    found = summarise(pd.DataFrame([row | metrics(**row) for row in counts]))["test_set"]
    assert (found["images"], found["images_with_fracture"]) == (5, 3)
    assert (found["both_empty"], found["only_label_empty"], found["only_prediction_empty"]) == (1, 1, 1)


def pair(seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    ref = rng.random((8, 9)) < 0.3
    return ref ^ (rng.random((8, 9)) < 0.2), ref


EMPTY, FULL = np.zeros((8, 9), bool), np.ones((8, 9), bool)
# Random masks, and the edges on which libraries part; each says what it does with them.
CASES = [*(pair(seed) for seed in range(5)), (FULL, FULL), (FULL, pair(0)[1]), (EMPTY, pair(0)[1]), (pair(0)[0], EMPTY)]


@pytest.mark.parametrize("case", range(len(CASES)))
def test_agrees_with_segmentation_models_pytorch(case: int) -> None:
    pred, ref = CASES[case]
    found = metrics(**count_pixels(mask_pred=pred, mask_ref=ref))
    stats = smp.get_stats(torch.from_numpy(pred[None, None]).long(), torch.from_numpy(ref[None, None]).long(), "binary")
    for name in ("accuracy", "precision", "recall", "f1_score", "iou_score", "specificity", "balanced_accuracy"):
        ours = found[name.removesuffix("_score")]
        if not math.isnan(ours):
            assert ours == pytest.approx(getattr(smp, name)(*stats, reduction="micro").item()), name


@pytest.mark.parametrize("case", range(len(CASES)))
def test_agrees_with_monai(case: int) -> None:
    pred, ref = CASES[case]
    found = metrics(**count_pixels(mask_pred=pred, mask_ref=ref))
    guess, truth = (torch.from_numpy(mask).int() for mask in (pred, ref))
    dice = compute_dice(guess[None, None], truth[None, None], include_background=True, ignore_empty=False)
    assert found["f1"] == pytest.approx(dice.item())


def test_where_both_are_empty_the_libraries_part() -> None:
    ours = metrics(**count_pixels(mask_pred=EMPTY, mask_ref=EMPTY))
    assert (ours["f1"], ours["iou"]) == (1, 1)
    assert jaccard_score(EMPTY.ravel(), EMPTY.ravel(), zero_division="warn") == 0  # scikit-learn's default
    guess = torch.from_numpy(EMPTY).int()
    monai = compute_dice(guess[None, None], guess[None, None], include_background=True)  # its default
    assert math.isnan(monai.item())
