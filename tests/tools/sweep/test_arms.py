"""Arms, schedules and ranges: what is asked of DVC is what was meant."""

import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from optuna.trial import FixedTrial

from stages.common.core.errors import UserError
from stages.common.data.layout import PARAMS
from stages.train.params import Dwa, Fixed, Linear, Random, Reversed, read_weights
from stages.train.weighting import make_weighting
from tests.helpers.paths import ROOT
from tools.sweep.arms import arms
from tools.sweep.cost import cost_of_rest, expected_cost, hours
from tools.sweep.overrides import expand, overridden, replace_adaptive
from tools.sweep.ranges import Range, parse_range
from tools.sweep.runner import check_ranges
from tools.sweep.schedule import declared_shares, known_shares, linear
from tools.sweep.search import propose

SHARES = st.integers(0, 100).map(lambda percent: percent / 100)


OWN: dict[str, Any] = {"alpha": {"start": 0.1, "end": 0.6}, "clock": "iteration", "normalise": True}


def written(overrides: list[str], folder: Path) -> Any:
    """The section `train.adaptive` that DVC makes of params.yaml."""
    path = folder / "params.yaml"
    shutil.copy(ROOT / "params.yaml", path)
    return overridden(overrides, path)["train"]["adaptive"]


def test_the_arms_are_those_of_the_plan() -> None:
    sections = arms(Linear())
    assert len(sections) == len({str(section) for section in sections.values()}) == 15
    statics = [declared_shares(section) for name, section in sections.items() if "static" in name]
    assert statics == [(share, share) for share in (0.0, 0.1, 0.25, 0.5, 0.75, 0.9, 1.0)]
    assert [name for name in sections if sections[name].model_dump()["method"] == name] == [
        *("reversed", "time_mean", "shuffled", "dwa", "uncertainty", "random")
    ]


@pytest.mark.parametrize("arm", arms(Linear()))
def test_dvc_writes_an_arm_whatever_params_yaml_holds(arm: str, tmp_path: Path) -> None:
    section = arms(Linear())[arm]
    for before in ([], ["train.adaptive=gradnorm"], ["train.adaptive=fixed"]):
        assert written([*before, *replace_adaptive(section)], tmp_path) == section.model_dump()


def test_an_arm_has_of_params_yaml_what_both_have() -> None:
    sections = arms(read_weights({"method": "linear", **OWN}))
    assert sections["shuffled"].model_dump() == Linear().model_dump() | OWN | {"method": "shuffled"}
    assert sections["dwa"] == Dwa(clock="iteration", normalise=True)
    assert sections["random"] == Random(clock="iteration")
    assert sections["static-0.1"] == Fixed(alpha=0.1, beta=0.9)
    assert arms(Dwa(clock="iteration"))["reversed"] == Reversed(clock="iteration")


@given(SHARES, SHARES, st.sampled_from(["as_printed", "start_to_end"]))
def test_a_linear_schedule_runs_from_share_to_share(first: float, last: float, reading: Any) -> None:
    section = linear(first, last, Linear(beta_reading=reading))
    assert section.beta_reading == reading
    weighting, _ = make_weighting(section, 10, 5, 1)
    alpha, beta = weighting.weights(0.0, None)
    assert alpha / (alpha + beta) == pytest.approx(first)
    alpha, beta = weighting.weights(10.0, None)
    assert alpha / (alpha + beta) == pytest.approx(last)
    assert declared_shares(section) == pytest.approx((first, last))


def test_a_search_starts_with_what_is_known() -> None:
    assert known_shares(Linear()) == [(0.3, 0.7), (0.7, 0.3), (0.5, 0.5)]
    assert known_shares(Dwa()) == [(0.5, 0.5)]


def test_a_range_finds_a_key_of_a_method_that_stands_by_its_name_alone(tmp_path: Path) -> None:
    trial = FixedTrial({"train.adaptive.temperature": 1.5})
    ranges = [Range("train.adaptive.temperature", 1.0, 2.0, log=False)]
    section = written(["train.adaptive=dwa", *propose(trial, Dwa(), ranges)], tmp_path)
    assert section == Dwa(temperature=1.5).model_dump()


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (
            ["train.adaptive.method=dwa"],
            "-S train.adaptive.method=dwa: .*\n.*: method dwa has no alpha, beta",
        ),
        (["train.loop.epochs=many"], r"train\.loop\.epochs: .*'many'"),
        (["train.loop.epoch=3"], "Could not override 'train.loop.epoch'"),
        (["train.loop.epochs=[1,"], r"-S train\.loop\.epochs=\[1,: DVC cannot change .* no viable alternative"),
        (["train.loop.epochs"], "-S train.loop.epochs: DVC cannot change .* missing EQUAL"),
        (["train.loop.epochs=1,2"], "-S train.loop.epochs=1,2: expected one value each"),
        (["~preprocess.steps.0"], "DVC cannot change .* list indices"),
        (["preprocess.steps.0.levels=3"], "Could not override"),
    ],
)
def test_overrides_that_cannot_be_are_refused(overrides: list[str], message: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=message):
        written(overrides, tmp_path)


def test_a_range_is_read() -> None:
    parsed = parse_range("train.optimiser.learning_rate=0.0005..0.01:log")
    assert (parsed.key, parsed.low, parsed.high, parsed.log) == ("train.optimiser.learning_rate", 0.0005, 0.01, True)
    assert not parse_range("a=0..1").log


@pytest.mark.parametrize("text", ["a", "a=1", "a=2..1", "a=0..1:log", "a=0..1:square", "=0..1", "a=x..1"])
def test_what_is_no_range_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(text)}$"):
        parse_range(text)


@pytest.mark.parametrize(
    ("overrides", "texts", "message"),
    [
        ([], ["train.loop.epochs=1..10"], r"--range train\.loop\.epochs: 1 is impossible: .*valid integer"),
        ([], ["train.loop.epoch=1..10"], "--range train.loop.epoch: 1 is impossible: .*Could not override"),
        ([], ["train.augment.flip=0..2"], "--range train.augment.flip: 2 is impossible: .*less than or equal to 1"),
        ([], ["train.augment.flip=0..1", "train.augment.flip=0..1:log"], "found train.augment.flip twice"),
        (["train.augment.flip=0.5"], ["train.augment.flip=0..1"], "--range train.augment.flip: -S gives it one value"),
    ],
)
def test_a_range_that_cannot_be_is_refused_before_any_work(
    overrides: list[str], texts: list[str], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    with pytest.raises(UserError, match=message):
        check_ranges([parse_range(text.removesuffix(":log")) for text in texts], overrides, Linear())


def test_a_range_of_a_key_of_the_method_is_possible(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    check_ranges([parse_range("train.adaptive.temperature=0.5..4:log")], ["train.adaptive=dwa"], Dwa())


def test_values_of_a_grid_are_combined_as_by_dvcs_queue() -> None:
    combinations, keys = expand(["train.loop.epochs=1,2", "train.adaptive=dwa", "train.seeds=[1,2]"])
    assert combinations == [
        ["train.loop.epochs=1", "train.adaptive=dwa", "train.seeds=[1,2]"],
        ["train.loop.epochs=2", "train.adaptive=dwa", "train.seeds=[1,2]"],
    ]
    assert keys == ["train.loop.epochs"]


def test_a_cost_counts_what_overrides_change(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr("tools.sweep.cost.time_step", lambda settings, side: (side / 256, side / 256 * 1e9))
    usual = [overridden(["train.seeds=[1,2]", "evaluate.folds=[1,2,3,4]", "annotate.split.train=100"])] * 3
    assert expected_cost(usual).startswith(
        "3 experiments x 2 seeds x 4 folds = 24 trainings of 24 epochs on 80 films.\nThe stages annotate run first"
    )
    large = [overridden([f"preprocess.size={side}", "annotate.split.train=100"]) for side in (256, 512)]
    said = expected_cost(large)
    assert "(1.00, 2.00 s a step" in said
    assert "1, 2 GFLOP a step" in said
    assert "some 13 min" in said  # 24 epochs of 10 steps of 1 s and of 2 s, and 20 s round each training


def test_the_cost_of_trainings_that_are_left_counts_these(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tools.sweep.cost.time_step", lambda settings, side: (6.0, 1e9))
    shutil.copy(ROOT / PARAMS, here)
    params = overridden(["train.seeds=[1,2]", "annotate.split.train=100"])
    first, second, _ = cost_of_rest(params, 3).splitlines()
    assert first == "3 trainings of 24 epochs on 80 films."
    assert second.startswith("On this machine some 73 min (6.00 s a step")
    assert cost_of_rest(params, 1).startswith("1 training of 24 epochs on 80 films.\nOn this machine some 24 min")


@pytest.mark.parametrize(("seconds", "text"), [(120, "2 min"), (5400, "90 min"), (9000, "2.5 h")])
def test_a_cost_is_told_in_minutes_or_hours(seconds: float, text: str) -> None:
    assert hours(seconds) == text
