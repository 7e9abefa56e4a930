import pytest

from stages.common.model.metrics import metrics
from stages.report.published import PUBLISHED, audit, everything_f1, implied_prevalence


@pytest.mark.parametrize(
    ("row", "prevalence", "f1"), [("paper, fixed weights", 0.762, 0.865), ("paper, adaptive weights", 0.761, 0.864)]
)
def test_what_the_published_rows_imply(row: str, prevalence: float, f1: float) -> None:
    printed = PUBLISHED[row]
    found = implied_prevalence(printed["accuracy"], printed["precision"], printed["recall"])
    assert found == pytest.approx(prevalence, abs=5e-4)
    assert everything_f1(found) == pytest.approx(f1, abs=5e-4)
    assert everything_f1(found) > printed["f1"]


def test_prevalence_is_recovered_from_any_confusion_matrix() -> None:
    for tp, fp, fn, tn in ((5, 3, 2, 90), (70, 10, 12, 8), (1, 1, 1, 1)):
        found = metrics(tp=tp, fp=fp, fn=fn, tn=tn)
        implied = implied_prevalence(found["accuracy"], found["precision"], found["recall"])
        assert implied == pytest.approx((tp + fn) / (tp + fp + fn + tn))


def test_f1_of_everything() -> None:
    found = metrics(tp=3, fp=7, fn=0, tn=0)
    assert everything_f1(0.3) == pytest.approx(found["f1"])


@pytest.mark.parametrize(
    ("row", "prevalence", "specificity", "mcc", "iou"),
    # computed apart from this project, to three digits
    [
        ("paper, fixed weights", 0.762, 0.392, 0.197, 0.678),
        ("paper, adaptive weights", 0.761, 0.264, 0.133, 0.694),
        ("paper, image 1", 0.776, 0.411, 0.229, 0.701),
        ("paper, image 4", 0.779, 0.246, 0.046, 0.658),
        ("paper, image 6", 0.778, 0.214, 0.020, 0.657),
        ("paper, image 5", 0.642, 0.614, 0.495, 0.710),
        ("paper, image 40", 0.641, 0.641, 0.475, 0.690),
    ],
)
def test_the_audit_is_what_was_computed_elsewhere(
    row: str, prevalence: float, specificity: float, mcc: float, iou: float
) -> None:
    found = audit().set_index("row").loc[row]
    assert list(found[["prevalence", "specificity", "mcc", "iou"]]) == pytest.approx(
        [prevalence, specificity, mcc, iou], abs=1.1e-3
    )


def test_the_implied_matrix_gives_back_what_was_printed() -> None:
    for row in audit().to_dict("records"):
        again = metrics(**{name: row[name] for name in ("tp", "fp", "fn", "tn")})
        for name in ("accuracy", "precision", "recall"):
            assert again[name] == pytest.approx(row[name])
        assert row["tp"] + row["fp"] + row["fn"] + row["tn"] == pytest.approx(1)


def test_the_adaptive_f1_is_not_that_of_its_precision_and_recall() -> None:
    rows = audit().set_index("row")
    assert rows.loc["paper, fixed weights", "f1_recomputed"] == pytest.approx(0.8077, abs=1e-4)
    assert rows.loc["paper, adaptive weights", "f1_recomputed"] == pytest.approx(0.8194, abs=1e-4)
