import math
from functools import cache

import pandas as pd
import pytest

from stages.common.analysis.statistics import compare_metrics
from stages.report.claims import change, claims, gain_of_f1
from stages.report.params import Tolerance
from stages.report.published import PUBLISHED, audit
from stages.report.tables import Conclusion, compare
from tests.helpers.scores import PATIENTS, naive, table

METHODS = {"baseline": "fixed", "adaptive": "linear"}
TOLERANCE = Tolerance(score=0.05, prevalence=0.1, rounding=0.0001)


@cache
def comparisons() -> tuple[pd.DataFrame, pd.DataFrame]:
    """What the scores of two networks say, film by film and of all films."""
    baseline, adaptive = table(1, 0.5), table(3, 0.85)
    paired = compare_metrics(baseline, adaptive, PATIENTS, ("f1", "accuracy", "precision", "recall"))
    return compare(baseline, adaptive, PATIENTS, naive(baseline), audit()), paired


def eval_network(
    tolerance: Tolerance = TOLERANCE, outcome: Conclusion = "beats", methods: dict[str, str] = METHODS, **scores: float
) -> pd.DataFrame:
    """The claims by name, with some of our scores put in the place of those that were found."""
    comparison, paired = (found.copy() for found in comparisons())
    for name, value in scores.items():
        comparison.loc[comparison["row"].isin(["baseline", "adaptive"]), name] = value
    return claims(comparison, paired, audit(), outcome, tolerance, methods).set_index("claim")


def test_each_claim_has_a_result_and_a_reason() -> None:
    found = eval_network()
    assert len(found) == 8 + 1 + 3 + 2 + 1
    assert set(found["result"]) <= {"reproduced", "deviates", "cannot be told"}
    assert (found["why"].str.len() > 10).all()


@pytest.mark.parametrize(
    ("methods", "silent"),
    [
        ({"baseline": "linear", "adaptive": "fixed"}, {"baseline", "adaptive"}),
        ({"baseline": "fixed", "adaptive": "uncertainty"}, {"adaptive"}),
    ],
)
def test_networks_with_other_weights_than_the_papers_say_nothing_of_its_claims(
    methods: dict[str, str], silent: set[str]
) -> None:
    """All claims but those on what was printed, and that networks find fractures."""
    near = TOLERANCE.model_copy(update={"prevalence": 1.0, "score": 1.0})
    before, found = eval_network(near), eval_network(near, methods=methods)
    for name, row in found.iterrows():
        if str(name).startswith("adaptive weights") or str(name).rpartition(" of ")[2] in silent:
            assert row["result"] == "cannot be told", name
            assert "was trained with" in row["why"]
        else:
            assert row.equals(before.loc[str(name)])
    assert "reproduced" in set(before["result"])


def test_scores_at_another_prevalence_do_not_compare() -> None:
    found = eval_network().loc["F1 of baseline"]
    assert found["result"] == "cannot be told"
    assert "76 % there" in found["why"]
    assert eval_network(TOLERANCE.model_copy(update={"prevalence": 1.0})).loc["F1 of baseline", "result"] == "deviates"


@pytest.mark.parametrize(("apart", "score", "result"), [(0.04, 0.05, "reproduced"), (0.04, 0.03, "deviates")])
def test_scores_at_the_papers_prevalence_are_judged_by_the_tolerance(apart: float, score: float, result: str) -> None:
    published = PUBLISHED["paper, fixed weights"]["f1"]
    found = eval_network(TOLERANCE.model_copy(update={"score": score}), prevalence=0.76, f1=published + apart)
    assert found.loc["F1 of baseline", "result"] == result


@pytest.mark.parametrize(
    ("outcome", "result"),
    [("beats", "reproduced"), ("loses to", "deviates"), ("cannot be told apart from", "cannot be told")],
)
def test_the_gain_follows_the_verdict(outcome: Conclusion, result: str) -> None:
    assert eval_network(outcome=outcome).loc["adaptive weights raise F1", "result"] == result


@pytest.mark.parametrize(
    ("low", "high", "p", "why"),
    [
        (-0.1, 0.3, 0.2, "the interval holds 0, and the test over patients finds no difference (p = 0.2)"),
        (-0.1, 0.3, 0.01, "the test over patients finds a difference, but the interval holds 0 (p = 0.01)"),
        (0.1, 0.3, 0.2, "the interval leaves out 0, but the test over patients does not agree (p = 0.2)"),
        (math.nan, math.nan, math.nan, "there is no interval, and the test over patients is undefined (p = –)"),
    ],
)
def test_the_gain_names_which_of_interval_and_test_did_not_agree(low: float, high: float, p: float, why: str) -> None:
    gain = pd.Series({"f1": 0.1, "f1_low": low, "f1_high": high})
    found = gain_of_f1(gain, pd.Series({"permutation": p}), "cannot be told apart from")
    assert found["why"] == f"adaptive cannot be told apart from baseline: {why}"


@pytest.mark.parametrize(
    ("low", "why"), [(0.1, "the interval leaves out 0"), (-0.1, "the interval holds 0"), (math.nan, "no interval")]
)
def test_a_change_names_its_interval_beside_its_p(low: float, why: str) -> None:
    test = pd.Series({"difference": 0.2, "low": low, "high": low + 0.3, "holm": 0.01, "patients": 20.0})
    found = change("recall", test)
    assert found["why"] == f"mean over 20 patients, {why}, permutation p = 0.01 after Holm"
    assert (found["result"] == "reproduced") == (low == 0.1)


def test_a_change_counts_when_interval_and_test_agree() -> None:
    assert eval_network().loc["adaptive weights raise recall", "result"] == "reproduced"
    assert eval_network().loc["adaptive weights lower precision", "result"] == "deviates"  # it rises, for certain


def test_the_published_f1_is_checked_against_its_own_precision_and_recall() -> None:
    found = eval_network()["result"]
    assert found["F1 of baseline is 2PR/(P+R)"] == "reproduced"
    assert found["F1 of adaptive is 2PR/(P+R)"] == "deviates"
    loose = eval_network(TOLERANCE.model_copy(update={"rounding": 0.01}))["result"]
    assert loose["F1 of adaptive is 2PR/(P+R)"] == "reproduced"


def test_networks_that_know_no_more_than_a_trivial_predictor_find_nothing() -> None:
    assert eval_network().loc["the networks find fractures", "result"] == "reproduced"
    assert eval_network(f1=0.01).loc["the networks find fractures", "result"] == "deviates"


def test_where_no_test_film_has_a_fracture_nothing_can_be_told_and_no_value_is_nan() -> None:
    found = eval_network(prevalence=0.0, recall=math.nan, f1=0.0)
    for claim in ("recall of baseline", "the networks find fractures"):
        assert list(found.loc[claim, ["found", "result"]]) == ["–", "cannot be told"]
    assert found.loc["recall of baseline", "why"] == "undefined on these test films"
    assert not found.map(lambda text: "nan" in text).any(axis=None)
