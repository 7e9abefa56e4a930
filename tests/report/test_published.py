import pytest

from stages.common.metrics import metrics
from stages.report.published import PUBLISHED, everything_f1, implied_prevalence


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
