import numpy as np
import pandas as pd
import pytest
from scipy.stats import bootstrap

from stages.common.metrics import metrics
from stages.report.tables import compare, interval, markdown, pooled_f1, resample, trivial, verdict


def table(seed: int, skill: float, images: int = 40) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    size = rng.integers(50, 400, images)
    tp = np.round(size * np.clip(np.random.default_rng(seed).normal(skill, 0.15, images), 0, 1)).astype(int)
    fp = np.random.default_rng(seed).integers(0, 60, images)
    rows = [
        {"tp": int(a), "fp": int(b), "fn": int(s - a), "tn": int(4096 - s - b)}
        for a, b, s in zip(tp, fp, size, strict=True)
    ]
    return pd.DataFrame([row | metrics(**row) for row in rows])


PATIENTS = pd.Series([f"p{i // 2}" for i in range(40)])


def test_rows_and_their_numbers() -> None:
    baseline, adaptive = table(1, 0.5), table(2, 0.8)
    found = compare(baseline, adaptive, PATIENTS).set_index("row")
    total = baseline[["tp", "fp", "fn"]].sum()
    assert found.loc["baseline", "f1"] == pytest.approx(2 * total["tp"] / (2 * total["tp"] + total["fp"] + total["fn"]))
    assert found.loc["adaptive - baseline", "f1"] == pytest.approx(
        found.loc["adaptive", "f1"] - found.loc["baseline", "f1"]
    )
    prevalence = found.loc["baseline", "prevalence"]
    assert found.loc["everything is fracture", "f1"] == pytest.approx(2 * prevalence / (1 + prevalence))
    assert found.loc["nothing is fracture", "f1"] == 0
    assert found.loc["nothing is fracture", "accuracy"] == pytest.approx(1 - prevalence)
    assert np.isnan(found.loc["nothing is fracture", "precision"])
    assert found.loc["paper, adaptive weights", "f1"] == 0.8184
    assert (found["images"] == 40).all()


def test_interval_agrees_with_scipy_where_every_image_is_a_patient() -> None:
    data, alone = table(1, 0.6), pd.Series([f"p{i}" for i in range(40)])
    ours = interval(pooled_f1(data, resample(alone)))
    counts = data[["tp", "fp", "fn"]].to_numpy()

    def f1(rows: np.ndarray) -> float:
        tp, fp, fn = counts[rows].sum(axis=0)
        return float(2 * tp / (2 * tp + fp + fn))

    theirs = bootstrap(
        (np.arange(40),), f1, vectorized=False, n_resamples=2000, method="percentile", rng=np.random.default_rng(1)
    )
    np.testing.assert_allclose(ours, theirs.confidence_interval, atol=0.012)


def test_films_of_one_patient_are_drawn_together() -> None:
    times = resample(PATIENTS)
    np.testing.assert_array_equal(times[:, 0::2], times[:, 1::2])
    assert (times[:, ::2].sum(axis=1) == 20).all()


@pytest.mark.parametrize(
    ("skill", "said"), [(0.85, "adaptive beats"), (0.2, "adaptive loses"), (0.5, "cannot be told apart")]
)
def test_the_verdict_follows_the_interval(skill: float, said: str) -> None:
    assert said in verdict(compare(table(1, 0.5), table(3, skill), PATIENTS))


def test_identical_models_cannot_be_told_apart() -> None:
    assert "cannot be told apart" in verdict(compare(table(1, 0.5), table(1, 0.5), PATIENTS))


def test_trivial_predictors_count_every_pixel_once() -> None:
    data = table(1, 0.5)
    for fracture in (True, False):
        assert (trivial(data, fracture=fracture)[["tp", "fp", "fn", "tn"]].sum(axis=1) == 4096).all()


def test_markdown_says_what_is_undefined() -> None:
    text = markdown(compare(table(1, 0.5), table(2, 0.8), PATIENTS))
    lines = text.splitlines()
    assert lines[0].startswith("|  | accuracy | precision")
    assert len(lines) == 2 + 7
    assert "nan" not in text
    assert "| nothing is fracture |" in text
    assert all(line.count("|") == lines[0].count("|") for line in lines)
