"""How a search and its experiments fail, stop and begin, without any training."""

import signal
import subprocess
from dataclasses import replace
from io import StringIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar, TextIO

import optuna
import pytest
from optuna.trial import TrialState

from stages.common.core.errors import UserError
from stages.train.params import Params
from tests.helpers.paths import ROOT
from tools.sweep import experiments, search, study
from tools.sweep.experiments import run_experiment
from tools.sweep.patience import Failed, NotFetched
from tools.sweep.search import Search


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The experiments that were trained; every training ends at once with a score."""
    names: list[str] = []
    monkeypatch.setattr(search, "run_experiment", lambda name, *words, **options: names.append(name))
    monkeypatch.setattr(search, "names", lambda sweep: names)
    monkeypatch.setattr(search, "read_experiment", lambda name: SimpleNamespace(score=0.5))
    monkeypatch.setattr(search, "is_shared", lambda: True)
    monkeypatch.setattr(search, "pull", lambda name, stop: None)
    monkeypatch.setattr(search, "push", lambda name, stop: None)
    monkeypatch.setattr(search, "Watch", lambda name, trial: SimpleNamespace(cut=False))
    return names


def wide() -> Search:
    return Search("wide", Params.model_validate({"adaptive": "linear"}), [1], [], [], print)


def fail(*words: object, **options: object) -> None:
    raise Failed("no room")


def judge_next(searching: Search, opened: optuna.Study) -> None:
    """Run the trial that the search would run next."""
    params, first = searching.unfinished(opened)[0]
    opened.enqueue_trial(params, None if first is None else {"first": first})
    searching.judge(opened, opened.ask())


def test_of_two_searches_that_begin_at_the_same_moment_one_ends(here: Path) -> None:
    """Both found no definition and wrote theirs."""
    first, second = wide(), replace(wide(), definition={"train.loop.epochs": 3})
    opened = first.open()
    opened.set_user_attr("definition", second.whole())
    with pytest.raises(UserError, match=r"train\.loop\.epochs is absent here and 3 there"):
        first.claim(opened, 1)
    assert second.claim(opened, 1)[0] is not None


def test_a_trained_trial_whose_push_failed_is_pushed_later_and_not_trained_again(
    trained: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    opened, searching = optuna.create_study(direction="maximize"), wide()
    with monkeypatch.context() as away:
        away.setattr(search, "push", fail)
        judge_next(searching, opened)
    assert (opened.trials[0].state, searching.failures) == (TrialState.FAIL, ["no room"])
    judge_next(wide(), opened)  # another process
    assert opened.trials[1].params == opened.trials[0].params
    assert (opened.trials[1].state, trained) == (TrialState.COMPLETE, ["wide-0"])


def test_a_trial_whose_training_failed_is_not_tried_again_by_this_call(
    trained: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    opened, searching = optuna.create_study(direction="maximize"), wide()
    monkeypatch.setattr(search, "run_experiment", fail)
    judge_next(searching, opened)
    assert opened.trials[0].user_attrs["failed"] == "no room"
    assert opened.trials[0].params not in [params for params, _ in searching.unfinished(opened)]


def test_three_failures_in_a_row_end_a_search(trained: list[str], here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search, "run_experiment", fail)
    searching = wide()
    with pytest.raises(UserError, match=r"^wide: 3 trials in a row failed, the last one thus: no room$"):
        searching.run(10, 1)
    assert len(searching.open().trials) == 3


def test_a_trial_that_is_cut_short_ends_a_row_of_failures(trained: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    opened, searching = optuna.create_study(direction="maximize"), wide()
    searching.failures = ["one", "two"]
    monkeypatch.setattr(search, "run_experiment", fail)
    monkeypatch.setattr(search, "Watch", lambda name, trial: SimpleNamespace(cut=True))
    judge_next(searching, opened)
    assert (opened.trials[0].state, searching.failures) == (TrialState.PRUNED, [])


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


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        ("ERROR: unexpected error - Could not connect to the endpoint URL: ...", NotFetched),
        ("ERROR: failed to reproduce 'train': [Errno 20] Not a directory: ...", NotFetched),
        ("ERROR: ... Checkout failed for following targets:\ndata\n<https://error.dvc.org/missing-files>", Failed),
        ("Running stage 'train@adaptive-1-1':\nERROR: failed to reproduce 'train@adaptive-1-1': ...", Failed),
    ],
)
def test_only_a_remote_that_does_not_answer_is_worth_a_wait(
    said: str, kind: type[Failed], here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What DVC says of an S3 server and a disk that are away, and of data that were never pushed."""

    def start(words: list[str], stdout: TextIO, **options: Any) -> Any:
        stdout.write(said)
        stdout.flush()
        return SimpleNamespace(wait=lambda seconds: 255)

    monkeypatch.setattr(experiments.subprocess, "Popen", start)
    with pytest.raises(Failed, match="wide-0 ended with 255") as caught:
        run_experiment("wide-0", [], [], "wide", folder=Path("clone"))
    assert type(caught.value) is kind


@pytest.mark.parametrize(
    ("url", "text"),
    [
        ("postgresql://user:se/cret@host/db", "postgresql://host/db"),
        ("postgresql://user:s@ecret@host:5432/db", "postgresql://host:5432/db"),
        ("postgresql://host/db?user=u&password=secret", "postgresql://host/db"),
        ("postgresql:/user:se/cret@host/db", "postgresql"),
        ("postgresql://user:secret", "postgresql"),
        ("postgresql://user:s@e/cret@host/db", "postgresql://host/db"),
        ("sqlite:////films/optuna.db", "sqlite:////films/optuna.db"),
    ],
)
def test_no_password_of_a_database_is_shown(url: str, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPTUNA_STORAGE", url)
    assert study.shown_storage() == text
    assert "cret" not in str(study.storage_error(ValueError("closed")))


def test_a_port_that_may_be_a_password_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPTUNA_STORAGE", "postgresql://user:secret")
    with pytest.raises(UserError, match=r"OPTUNA_STORAGE: expected the URL of a database, .* found postgresql$"):
        study.connect()


def test_processes_draw_other_values_and_a_trial_lives_from_its_first_moment(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = wide().open(), wide().open()  # as two processes have it
    trial, _ = wide().claim(one, 12)
    assert trial is not None
    monkeypatch.setattr(study, "GRACE", -study.LAG.total_seconds() - 7200)  # as on a machine whose clock is ahead
    study.release_dead(other)
    assert other.trials[0].state == TrialState.RUNNING
    assert one.ask().suggest_float("share", 0, 1) != other.ask().suggest_float("share", 0, 1)


def test_a_table_that_cannot_be_read_names_its_experiment(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = {"params.yaml": (ROOT / "params.yaml").read_text(), "dvc.lock": "stages: {}"}
    files = SimpleNamespace(read_text=texts.__getitem__, open=lambda path: StringIO("epoch\n1\n"))
    monkeypatch.setattr(experiments, "DVCFileSystem", lambda rev: files)
    with pytest.raises(UserError, match=r"^experiment wide-1, models/adaptive/seed-1-fold-1: .*csv: expected the col"):
        experiments.read_experiment("wide-1")
