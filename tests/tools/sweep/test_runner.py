"""What a grid or a task of an array runs, without running it."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from stages.common.core.errors import UserError
from stages.common.core.process import process_name
from stages.common.core.signals import StopRequest
from tests.helpers.paths import ROOT
from tools.sweep import execution, runner
from tools.sweep.clone import Job, Origin
from tools.sweep.execution import Where
from tools.sweep.overrides import overridden
from tools.sweep.patience import Failed
from tools.temporary import temporary_folder

VALUES = ["train.loop.epochs=1,2", "train.adaptive=dwa", "train.seeds=[1,2]"]


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[Job]:
    """The experiments that would run; the first one of the grid `g` is there already."""
    jobs: list[Job] = []
    monkeypatch.chdir(ROOT)
    monkeypatch.delenv("DASK_SCHEDULER_ADDRESS", raising=False)
    monkeypatch.setattr(runner, "names", lambda name: [f"{name}-1"])
    there = overridden(["train.loop.epochs=1", *VALUES[1:], "report.tolerance.score=0.5"])
    monkeypatch.setattr("tools.sweep.definition.read_params", lambda name: there)
    monkeypatch.setattr(runner, "pull", lambda name, stop: None)
    monkeypatch.setattr(runner, "has_remote", lambda: False)
    monkeypatch.setattr(runner, "refuse_another", lambda name, params, searched: None)
    monkeypatch.setattr(runner, "expected_cost", lambda params: f"{len(params)} experiments")
    monkeypatch.setattr(runner, "run_jobs", lambda new, where, stop: jobs.extend(new) or [])
    monkeypatch.setattr(runner, "write_page", lambda name, adaptive: 0)
    return jobs


def test_a_grid_runs_the_combinations_that_are_not_there(started: list[Job]) -> None:
    assert runner.run_grid("g", VALUES, Where(), dry_run=False) == 0
    (job,) = started
    assert (job.name, job.sweep) == ("g-2", "g")
    assert job.overrides == ["train.loop.epochs=2", *VALUES[1:]]
    assert job.stages == [f"{stage}@adaptive-{seed}-1" for stage in ("train", "evaluate") for seed in (1, 2)]


def test_a_task_of_an_array_runs_its_own_experiment_once(
    started: list[Job], capsys: pytest.CaptureFixture[str]
) -> None:
    assert runner.run_grid("g", VALUES, Where(task=0), dry_run=False) == 0
    assert started == []
    assert "g-1: is done" in capsys.readouterr().err
    assert runner.run_grid("g", VALUES, Where(task=1), dry_run=False) == 0
    assert [job.name for job in started] == ["g-2"]
    with pytest.raises(UserError, match=r"--task: expected 0 to 1, as there are 2 experiments, found 2"):
        runner.run_grid("g", VALUES, Where(task=2), dry_run=False)


@pytest.mark.parametrize(("where", "waits"), [(Where(task=1), [True]), (Where(), [False, True])])
def test_a_git_remote_that_is_away_is_waited_for_where_nobody_looks_on(
    where: Where, waits: list[bool], started: list[Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a task of an array, and at the end of a sweep; at its beginning a person reads the error."""
    asked: list[bool] = []
    monkeypatch.setattr(runner, "pull", lambda name, stop: asked.append(not stop()))
    monkeypatch.setenv("DASK_SCHEDULER_ADDRESS", "tcp://node:8786")
    assert runner.run_grid("g", VALUES, where, dry_run=False) == 0
    assert asked == waits


def test_what_tasks_of_an_array_pushed_is_not_run_again_by_the_call_that_writes_the_page(
    started: list[Job], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fetched = ["g-1"]
    monkeypatch.setattr(runner, "names", lambda name: list(fetched))
    monkeypatch.setattr(runner, "has_remote", lambda: True)
    monkeypatch.setattr(runner, "pull", lambda name, stop: fetched.append(f"{name}-2"))
    monkeypatch.setattr(runner, "refuse_changed", lambda name, planned: None)
    assert runner.run_grid("g", VALUES, Where(), dry_run=False) == 0
    assert started == []

    def away(name: str, stop: Callable[[], bool]) -> None:
        assert stop(), "a person looks on: one attempt"
        raise Failed("no route")

    fetched.remove("g-2")
    monkeypatch.setattr(runner, "pull", away)
    assert runner.run_grid("g", VALUES, Where(), dry_run=False) == 0
    assert [job.name for job in started] == ["g-2"]
    assert "no route; what other machines have done is run again here" in capsys.readouterr().err


@pytest.mark.parametrize("scheduler", [None, "tcp://node:8786"])
def test_what_other_machines_pushed_is_compared_before_anything_runs(
    scheduler: str | None, started: list[Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fresh clone has none of them until it has fetched them."""
    order: list[str] = []
    if scheduler:
        monkeypatch.setenv("DASK_SCHEDULER_ADDRESS", scheduler)
    monkeypatch.setattr(runner, "has_remote", lambda: True)
    monkeypatch.setattr(runner, "pull", lambda name, stop: order.append("fetched"))
    monkeypatch.setattr(runner, "refuse_another", lambda *words: order.append("compared"))
    runner.run_grid("g", VALUES, Where(), dry_run=False)
    assert order[:2] == ["fetched", "compared"]


def test_what_an_earlier_call_left_to_its_workers_is_compared_when_it_comes(
    started: list[Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    """They go on after Ctrl-C; the call that follows can ask for other values under the same names."""
    fetched = [["g-1"], ["g-1", "g-2"]]
    monkeypatch.setattr(runner, "names", lambda name: fetched.pop(0))
    monkeypatch.setenv("DASK_SCHEDULER_ADDRESS", "tcp://node:8786")
    with pytest.raises(UserError, match=r"what g-2 was run with, .*train\.loop\.epochs is 2 here and 1 there"):
        runner.run_grid("g", VALUES, Where(), dry_run=False)
    assert [job.name for job in started] == ["g-2"]


def test_a_dry_run_counts_what_is_left(started: list[Job], capsys: pytest.CaptureFixture[str]) -> None:
    assert runner.run_grid("g", VALUES, Where(), dry_run=True) == 0
    assert capsys.readouterr().out == "1 of 2 experiments are left to run.\n1 experiments\n"
    assert started == []


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (["train.loop.epochs=1"], "expected a key with several values"),
        (["train.loop.epochs=1,many"], r"train\.loop\.epochs: .*'many'"),
        (["train.loop.epochs=1,[2"], "-S: "),
    ],
)
def test_a_grid_that_cannot_be_is_refused_before_any_work(values: list[str], message: str, started: list[Job]) -> None:
    with pytest.raises(UserError, match=message):
        runner.run_grid("g", values, Where(), dry_run=False)
    assert started == []


@pytest.mark.parametrize("where", [Where(), Where(task=1)])
def test_a_finished_experiment_of_other_params_is_not_taken_for_done(where: Where, started: list[Job]) -> None:
    with pytest.raises(UserError, match=r"what g-1 was run with, .*train\.loop\.epochs is 3 here and 1 there"):
        runner.run_grid("g", ["train.loop.epochs=3,2", *VALUES[1:]], where, dry_run=False)
    assert started == []


def test_seeds_of_arms_are_named_in_one_way(started: list[Job]) -> None:
    with pytest.raises(UserError, match=r"-S train\.seeds: the seeds of arms are those of --seeds"):
        runner.run_arms("g", ["train.seeds=[1]"], [1], Where(), dry_run=True)


def test_a_task_that_is_stopped_is_no_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    """A runner ends the task and its training at the same moment."""
    stop = StopRequest()

    def end(origin: Origin, job: Job, asked: StopRequest) -> str:
        asked.asked = True
        return f"{job.name} ended with -15"

    monkeypatch.setattr(execution, "find_origin", lambda: Origin("git", "abc", ("t", "t@example.org")))
    monkeypatch.setattr(execution, "run_in_clone", end)
    assert execution.run_jobs([Job("g-1", [], ["train"], "g")], Where(task=0), stop) == []


def test_a_folder_is_removed_when_nothing_works_in_it_any_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """SIGTERM for a whole task ends DVC at once, and its training writes its state a while later."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    script = "import pathlib, sys, time; time.sleep(1); pathlib.Path(sys.argv[1], 'mlruns').mkdir(parents=True)"
    with temporary_folder() as folder:
        training = subprocess.Popen([sys.executable, "-c", script, str(folder)], cwd=folder)
    training.wait()
    assert list(tmp_path.iterdir()) == []


def test_folders_of_killed_workers_are_removed_and_those_of_living_ones_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    alive = process_name(os.getpid())
    for name, process in (("dead", alive.replace(" ", "0 ", 1)), ("living", alive), ("begun", "")):
        (tmp_path / f"wrist-clone-{name}").mkdir()
        (tmp_path / f"wrist-clone-{name}/process").write_text(process)
    with temporary_folder() as folder:
        assert list(folder.iterdir()) == []
        assert not (tmp_path / "wrist-clone-dead").exists()
    assert {path.name for path in tmp_path.iterdir()} == {"wrist-clone-living", "wrist-clone-begun"}
