"""How a search takes failures, without any training."""

import signal
import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import optuna
import pytest
from optuna.trial import TrialState

from stages.train.params import Params
from tools.sweep import experiments, search
from tools.sweep.experiments import Failed, run_experiment
from tools.sweep.search import Search


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The experiments that were trained; every training ends at once with a score."""
    names: list[str] = []
    monkeypatch.setattr(search, "run_experiment", lambda name, *words: names.append(name))
    monkeypatch.setattr(search, "names", lambda sweep: names)
    monkeypatch.setattr(search, "read_experiment", lambda name: SimpleNamespace(score=0.5))
    monkeypatch.setattr(search, "is_shared", lambda: True)
    monkeypatch.setattr(search, "pull", lambda name, stop: None)
    monkeypatch.setattr(search, "push", lambda name, stop: None)
    monkeypatch.setattr(search, "Watch", lambda name, trial: SimpleNamespace(cut=False))
    return names


def wide() -> Search:
    return Search("wide", Params.model_validate({"adaptive": "linear"}), [1], [], [], print)


def fail(*words: object) -> None:
    raise Failed("no room")


def judge_next(searching: Search, study: optuna.Study) -> None:
    """Run the trial that the search would run next."""
    params, first = searching.unfinished(study)[0]
    study.enqueue_trial(params, None if first is None else {"first": first})
    searching.judge(study, study.ask())


def test_a_trained_trial_whose_push_failed_is_pushed_later_and_not_trained_again(
    trained: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    study, searching = optuna.create_study(direction="maximize"), wide()
    with monkeypatch.context() as away:
        away.setattr(search, "push", fail)
        judge_next(searching, study)
    assert (study.trials[0].state, searching.failures) == (TrialState.FAIL, ["no room"])
    judge_next(wide(), study)  # another process
    assert study.trials[1].params == study.trials[0].params
    assert (study.trials[1].state, trained) == (TrialState.COMPLETE, ["wide-0"])


def test_a_trial_whose_training_failed_is_not_tried_again_by_this_call(
    trained: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    study, searching = optuna.create_study(direction="maximize"), wide()
    monkeypatch.setattr(search, "run_experiment", fail)
    judge_next(searching, study)
    assert study.trials[0].user_attrs["failed"] == "no room"
    assert study.trials[0].params not in [params for params, _ in searching.unfinished(study)]


def test_a_trial_that_is_cut_short_ends_a_row_of_failures(trained: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    study, searching = optuna.create_study(direction="maximize"), wide()
    searching.failures = ["one", "two"]
    monkeypatch.setattr(search, "run_experiment", fail)
    monkeypatch.setattr(search, "Watch", lambda name, trial: SimpleNamespace(cut=True))
    judge_next(searching, study)
    assert (study.trials[0].state, searching.failures) == (TrialState.PRUNED, [])


class Dvc:
    """A process that takes no notice of three looks, and then fails."""

    def __init__(self, words: list[str], **options: Any) -> None:
        self.pid, self.looks = 1, 3

    def wait(self, seconds: float) -> int:
        self.looks -= 1
        if self.looks < 0:
            return 1
        raise subprocess.TimeoutExpired("dvc", seconds)


class Training:
    """Of which psutil makes a new object each time, which equals the former one."""

    received: ClassVar[list[int]] = []

    def cmdline(self) -> list[str]:
        return ["python", "-m", "stages.train"]

    def send_signal(self, signum: int) -> None:
        self.received.append(signum)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Training)

    def __hash__(self) -> int:
        return 1


def test_a_training_is_asked_once_to_stop(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tree = SimpleNamespace(children=lambda recursive: [Training()])
    monkeypatch.setattr(experiments.subprocess, "Popen", Dvc)
    monkeypatch.setattr(experiments.psutil, "Process", lambda pid: tree)
    with pytest.raises(Failed, match="wide-0 ended with 1"):
        run_experiment("wide-0", [], [], "wide", lambda: True)
    assert Training.received == [signal.SIGTERM]


@pytest.mark.parametrize(("folder", "address"), [("", "tcp://node:8786"), ("clone", None)])
def test_data_stages_of_a_clone_do_not_wait_for_the_workers_that_run_clones(
    folder: str, address: str | None, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[str | None] = []

    def start(words: list[str], env: dict[str, str], **options: Any) -> Any:
        given.append(env.get("DASK_SCHEDULER_ADDRESS"))
        return SimpleNamespace(wait=lambda seconds: 0)

    monkeypatch.setenv("DASK_SCHEDULER_ADDRESS", "tcp://node:8786")
    monkeypatch.setattr(experiments.subprocess, "Popen", start)
    run_experiment("wide-0", [], [], "wide", folder=Path(folder))
    assert given == [address]
