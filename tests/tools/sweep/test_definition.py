"""Experiments that stand in one table have the same data and code."""

from types import SimpleNamespace
from typing import Any

import pytest

from stages.common.core.errors import UserError
from tools.audit.dvc_lock import Lock
from tools.sweep import definition
from tools.sweep.definition import refuse_mixed

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


def experiment(name: str, test: object) -> Any:
    return SimpleNamespace(name=name, test=test)


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
def test_scores_of_other_data_or_code_stand_in_no_table(
    other: Lock, tested: bool, message: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(definition, "lock_of", {"grid-1": lock(), "grid-2": other}.__getitem__)
    experiments = [experiment(name, object() if tested else None) for name in ("grid-1", "grid-2")]
    if message is None:
        refuse_mixed("grid", experiments)
        return
    with pytest.raises(UserError) as refused:
        refuse_mixed("grid", experiments)
    assert "grid: the scores of grid-1 and grid-2 do not compare: " + message in str(refused.value)
    assert "`dvc exp remove NAME`" in str(refused.value)
