"""Experiments that stand in one table have the same data and code."""

from types import SimpleNamespace
from typing import Any

import pytest

from stages.common.core.errors import UserError
from tests.helpers.paths import ROOT
from tools.audit.dvc_lock import Lock
from tools.sweep import definition
from tools.sweep.definition import recorded_code, refuse_another, refuse_mixed
from tools.sweep.overrides import overridden

STAGE = """
  {name}@adaptive-1-1:
    cmd: x
    deps:
    - {{path: data/dataset, hash: md5, md5: {data}}}
    - {{path: stages/{name}, hash: md5, md5: {code}}}
    outs: []
"""
DATASET = """
  annotate:
    cmd: x
    outs:
    - {{path: data/dataset, hash: md5, md5: {data}}}
"""


def lock(data: str = "d", train: str = "t", evaluate: str = "e") -> Lock:
    stages = [("train", train), ("evaluate", evaluate)]
    texts = [STAGE.format(name=name, data=data, code=code) for name, code in stages]
    return Lock("stages:" + DATASET.format(data=data) + "".join(texts))


def experiment(name: str, its_lock: Lock, test: object = None, size: int = 64) -> Any:
    params = {"preprocess": {"size": size}, "train": {"seeds": [1]}, "evaluate": {"folds": [1]}}
    return SimpleNamespace(name=name, lock=its_lock, test=test, params=params)


@pytest.mark.parametrize(
    ("other", "tested", "message"),
    [
        (lock(), True, None),
        (lock(data="x"), True, "data/dataset is d in grid-1 and x in grid-2"),
        (lock(train="x"), False, "stages/train is t in grid-1 and x in grid-2"),
        (lock(evaluate="x"), True, "stages/evaluate is e in grid-1 and x in grid-2"),
        (lock(evaluate="x"), False, None),  # their scores are those of training
    ],
)
def test_scores_of_other_data_or_code_stand_in_no_table(other: Lock, tested: bool, message: str | None) -> None:
    both = {"grid-1": lock(), "grid-2": other}
    experiments = [experiment(name, its_lock, object() if tested else None) for name, its_lock in both.items()]
    if message is None:
        refuse_mixed("grid", experiments)
        return
    with pytest.raises(UserError) as refused:
        refuse_mixed("grid", experiments)
    assert "grid: the scores of grid-1 and grid-2 do not compare: " + message in str(refused.value)
    assert "`dvc exp remove NAME`" in str(refused.value)


def test_experiments_that_make_other_data_compare_code_alone() -> None:
    """A grid over a param of the data."""
    first, second = experiment("grid-1", lock(), size=64), experiment("grid-2", lock(data="x"), size=128)
    refuse_mixed("grid", [first, second, experiment("grid-3", lock(data="x"), size=128)])
    with pytest.raises(UserError, match="data/dataset is x in grid-2 and y in grid-3"):
        refuse_mixed("grid", [first, second, experiment("grid-3", lock(data="y"), size=128)])
    with pytest.raises(UserError, match="stages/train is t in grid-1 and x in grid-3"):
        refuse_mixed("grid", [first, second, experiment("grid-3", lock(data="x", train="x"), size=128)])


def test_the_code_of_an_experiment_is_that_of_its_own_seeds() -> None:
    """DVC keeps what its lock says of seeds that were trained before, by other code."""
    old, new = STAGE.format(name="train", data="d", code="old"), STAGE.format(name="train", data="d", code="new")
    both = Lock("stages:" + old + new.replace("adaptive-1-1", "adaptive-2-1"))
    for seed, code in ((1, "old"), (2, "new")):
        params = {"train": {"seeds": [seed]}, "evaluate": {"folds": [1]}}
        assert recorded_code(both, params, ["train"]) == {"stages/train": code}


def test_data_that_an_override_changes_are_no_other_sweep(monkeypatch: pytest.MonkeyPatch) -> None:
    """The workspace has the data of params.yaml, and the arms that are there have theirs."""
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(definition, "present_code", lambda stages: {"stages/train": "t", "stages/evaluate": "e"})
    monkeypatch.setattr(definition, "names", lambda sweep: ["honest-reference"])
    monkeypatch.setattr(definition, "read_lock", lambda name: lock(data="theirs"))
    params = overridden(["preprocess.size=128"])
    monkeypatch.setattr(definition, "read_params", lambda name: params)
    refuse_another("honest", params, ["train.adaptive"])
    with pytest.raises(UserError, match=r"preprocess\.size is 64 here and 128 there"):
        refuse_another("honest", overridden(["preprocess.size=64"]), ["train.adaptive"])
    here = overridden([])
    monkeypatch.setattr(definition, "read_params", lambda name: here)
    with pytest.raises(UserError, match=r"data/dataset is .* here and theirs there"):
        refuse_another("honest", here, ["train.adaptive"])
