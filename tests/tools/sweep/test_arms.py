"""Arms, schedules and ranges: what is asked of DVC is what was meant."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages.train.params import LossWeights, Params
from stages.train.weighting import make_weighting
from tests.helpers.params import merge, read_yaml
from tests.helpers.paths import ROOT
from tools.sweep.arms import arms
from tools.sweep.cost import hours
from tools.sweep.schedule import declared_shares, known_shares, linear
from tools.sweep.search import parse_range

SHARES = st.integers(0, 100).map(lambda percent: percent / 100)


def with_changes(params: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """Nested params with dotted ones."""
    for key, value in changes.items():
        for part in reversed(key.split(".")):
            value = {part: value}
        params = merge(params, value)
    return params


def test_the_arms_are_those_of_the_plan_and_their_params_are_valid() -> None:
    params = read_yaml(ROOT / "params.yaml")
    found = arms()
    assert len(found) == 15
    sections = []
    for changes in found.values():
        section = with_changes(params, changes)["train"]
        Params.model_validate(section)
        sections.append(str(section["adaptive"]))
    assert len(set(sections)) == 15
    statics = [
        declared_shares(with_changes(params, found[name])["train"]["adaptive"]) for name in found if "static" in name
    ]
    assert statics == [(share, share) for share in (0.0, 0.1, 0.25, 0.5, 0.75, 0.9, 1.0)]


@given(SHARES, SHARES, st.sampled_from(["as_printed", "start_to_end"]))
def test_a_linear_schedule_runs_from_share_to_share(first: float, last: float, reading: str) -> None:
    params = with_changes(read_yaml(ROOT / "params.yaml"), linear(first, last, reading))["train"]["adaptive"]
    params["beta_reading"] = reading
    weighting, _ = make_weighting(LossWeights.model_validate(params), 10, 5, 1)
    alpha, beta = weighting.weights(0.0, None)
    assert alpha / (alpha + beta) == pytest.approx(first)
    alpha, beta = weighting.weights(10.0, None)
    assert alpha / (alpha + beta) == pytest.approx(last)
    assert declared_shares(params) == pytest.approx((first, last))


def test_a_search_starts_with_what_is_known() -> None:
    assert known_shares(read_yaml(ROOT / "params.yaml")["train"]["adaptive"]) == [(0.3, 0.7), (0.7, 0.3), (0.5, 0.5)]


def test_a_range_is_read() -> None:
    found = parse_range("train.optimiser.learning_rate=0.0005..0.01:log")
    assert (found.key, found.low, found.high, found.log) == ("train.optimiser.learning_rate", 0.0005, 0.01, True)
    assert not parse_range("a=0..1").log


@pytest.mark.parametrize("text", ["a", "a=1", "a=2..1", "a=0..1:log", "a=0..1:square", "=0..1", "a=x..1"])
def test_what_is_no_range_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        parse_range(text)


@pytest.mark.parametrize(("seconds", "text"), [(120, "2 min"), (5400, "90 min"), (9000, "2.5 h")])
def test_a_cost_is_told_in_minutes_or_hours(seconds: float, text: str) -> None:
    assert hours(seconds) == text
