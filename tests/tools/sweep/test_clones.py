"""Grids and arms over machines that share nothing but a git and a DVC remote, on a project of milliseconds."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest
from distributed import LocalCluster
from dvc.api import DVCFileSystem

from stages.common.core.errors import UserError
from stages.common.core.signals import StopRequest
from tests.helpers.paths import ROOT
from tests.helpers.processes import environment, forked_python, run, wait_for
from tests.helpers.projects import use_own_site_cache
from tests.helpers.tiny import tiny_project
from tools.audit.unaware import unfinished
from tools.sweep import patience
from tools.sweep.clone import Job, find_origin, refuse_unknown_code, run_in_clone
from tools.sweep.exchange import pull, push
from tools.sweep.execution import Where, run_jobs
from tools.sweep.experiments import names, run_experiment
from tools.sweep.matrix import changed, side_by_side
from tools.sweep.patience import Failed
from tools.sweep.queue import requeue_lost
from tools.temporary import temporary_folder

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_project(tmp_path_factory.mktemp("tiny"))


@pytest.fixture
def forked_dvc(monkeypatch: pytest.MonkeyPatch) -> None:
    """DVC is forked where this process starts it by the name of its interpreter."""
    monkeypatch.setattr("sys.executable", forked_python())


@pytest.fixture
def project(made: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The project as the current folder."""
    monkeypatch.chdir(made)
    monkeypatch.setattr("tools.sweep.patience.PATIENCE", 0)
    (made.parent / "log").write_text("")
    return made


def runs(project: Path) -> list[list[str]]:
    """Process and experiment of every training so far."""
    return [line.split() for line in (project.parent / "log").read_text().splitlines()]


def jobs(sweep: str, values: list[int]) -> list[Job]:
    return [Job(f"{sweep}-{value}", [f"value={value}"], ["train"], sweep) for value in values]


def test_a_worker_that_is_lost_costs_its_experiment_only(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    block = project.parent / "block"
    block.touch()
    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster:
        monkeypatch.setenv("DASK_SCHEDULER_ADDRESS", cluster.scheduler_address)

        def kill_one() -> None:
            wait_for(lambda: len(runs(project)) == 2)
            dvc = psutil.Process(int(runs(project)[0][0]))
            worker = next(above for above in dvc.parents() if "spawn_main" in " ".join(above.cmdline()))
            worker.kill()
            wait_for(lambda: not dvc.is_running() or dvc.status() == psutil.STATUS_ZOMBIE)
            block.unlink()

        with ThreadPoolExecutor(1) as helper:
            killed = helper.submit(kill_one)
            assert run_jobs(jobs("grid", [2, 3]), Where(), StopRequest()) == []
            killed.result()
    assert names("grid") == []
    pull("grid", StopRequest())
    assert names("grid") == ["grid-2", "grid-3"]
    assert sorted(Counter(name for _, name in runs(project)).values()) == [1, 2]
    for value in (2, 3):
        shutil.rmtree(project / ".dvc/cache", ignore_errors=True)  # the clone pushed it to the remote
        assert DVCFileSystem(rev=f"grid-{value}").read_text("model") == f"value: {value}\n1\n"


@pytest.mark.usefixtures("forked_dvc")
def test_what_was_pushed_meanwhile_is_not_trained_again(project: Path) -> None:
    """After Ctrl-C a worker goes on with what the next call asks for again."""
    origin, (job,) = find_origin(), jobs("twice", [2])
    assert run_in_clone(origin, job) == run_in_clone(origin, job) == ""
    assert [name for _, name in runs(project) if name == job.name] == [job.name]


@pytest.mark.usefixtures("forked_dvc")
def test_an_experiment_that_fails_says_so_and_pushes_nothing(project: Path) -> None:
    said = run_in_clone(find_origin(), jobs("bad", [9])[0])
    assert "bad-9 ended with" in said
    assert "nine is no value" in said
    pull("bad", StopRequest())
    assert names("bad") == []


@pytest.mark.usefixtures("forked_dvc")
def test_a_record_that_the_server_of_mlflow_did_not_take_outlives_the_clone(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def push_after_a_failure(name: str, stop: StopRequest, folder: Path) -> None:
        (folder / "mlflow.db").touch()  # as a training whose server failed
        push(name, stop, folder)

    monkeypatch.setattr("tools.sweep.clone.push", push_after_a_failure)
    assert run_in_clone(find_origin(), jobs("local", [2])[0]) == ""
    assert "send-run" not in capsys.readouterr().err
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    assert run_in_clone(find_origin(), jobs("kept", [2])[0]) == ""
    said = capsys.readouterr().err
    found = re.search(r"run the lines `wrist send-run` of (\S+) in (\S+), then remove (\S+)", said)
    assert found is not None, said
    assert Path(found[1]).is_file()
    assert Path(found[2], "mlflow.db").is_file()
    shutil.rmtree(found[3])


@pytest.mark.usefixtures("forked_dvc")
@pytest.mark.parametrize("stopped", [False, True])
def test_a_result_that_cannot_be_pushed_stays_and_is_pushed_by_the_line_of_the_message(
    stopped: bool, project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    remote, gone = project.parent / "git", project.parent / "gone"
    stop = StopRequest()

    def push_into_nothing(*words: Any) -> None:
        stop.asked = stopped
        remote.rename(gone)
        push(*words)

    origin, (job,) = find_origin(), jobs(f"kept{stopped:d}", [2])
    monkeypatch.setattr("tools.sweep.clone.push", push_into_nothing)
    said = run_in_clone(origin, job, stop)
    assert f"`dvc exp push origin {job.name}` failed, and can be repeated: ERROR" in said
    assert (said in capsys.readouterr().err) == stopped, "who asks for a stop hears of no failures"
    gone.rename(remote)
    (line,) = re.findall(r"is kept on \S+: `(.*?)`, then", said)
    (folder,) = (Path(path) for path in re.findall(r"then remove (\S+)$", said))
    with temporary_folder():  # the next one removes what killed processes left
        run(project, "bash", "-euo", "pipefail", "-c", line)
    pull(job.sweep, StopRequest())
    assert names(job.sweep) == [job.name]
    shutil.rmtree(folder)


@pytest.mark.usefixtures("forked_dvc")
def test_a_worker_waits_while_the_git_remote_and_the_dvc_remote_are_away(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    origin, (job,), there = find_origin(), jobs("patient", [2]), project.parent
    away = ["store", "git"]
    for name in away:
        (there / name).rename(there / f"{name}-away")
    (there / "store").touch()  # as of a disk that is not there: no folder

    def bring_back(seconds: float) -> None:
        name = away.pop()
        (there / name).unlink(missing_ok=True)
        (there / f"{name}-away").rename(there / name)

    monkeypatch.setattr(patience, "PATIENCE", 60)
    monkeypatch.setattr(patience, "time", SimpleNamespace(monotonic=time.monotonic, sleep=bring_back))
    assert run_in_clone(origin, job) == ""
    said = capsys.readouterr().err
    assert (
        f"sweep: patient-2: git fails: fatal: '{there}/git' does not appear to be a git repository; trying for 60"
        in said
    )
    assert "sweep: patient-2: the data do not come: ERROR: failed to reproduce 'train': [Errno 20] Not a" in said
    pull("patient", StopRequest())
    assert names("patient") == ["patient-2"]


def test_what_other_machines_cannot_get_is_refused(project: Path) -> None:
    (project / "params.yaml").write_text("value: 5\n")
    with pytest.raises(UserError, match=r"expected a workspace without changes.*found params\.yaml; commit and push"):
        find_origin()
    run(project, "git", "commit", "-qam", "five")
    with pytest.raises(UserError, match=r"expected commit \w{7} on origin, which other machines clone, found"):
        find_origin()
    run(project, "git", "reset", "-q", "--hard", "HEAD~")
    assert find_origin().url == str(project.parent / "git")


def test_code_that_no_copy_of_the_project_would_have_is_refused(project: Path) -> None:
    (project / "stages").mkdir()
    (project / "stages/new.py").touch()
    with pytest.raises(
        UserError, match=r"git: expected to know all of stages/.*found stages/new\.py unknown; `git add`"
    ):
        refuse_unknown_code()
    run(project, "git", "add", "stages/new.py")
    refuse_unknown_code()
    run(project, "git", "rm", "-q", "-f", "stages/new.py")


def start_queue(project: Path) -> None:
    """Its worker keeps what it inherits: a pipe would stay open."""
    words = ["dvc", "queue", "start"]
    subprocess.run(
        words, cwd=project, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True
    )


def test_a_killed_worker_of_dvcs_queue_and_a_failed_experiment_are_queued_again(project: Path) -> None:
    block = project.parent / "block"
    block.touch()
    run(project, "dvc", "exp", "run", "--queue", "--name", "queue", "-S", "value=2,9", "train")
    start_queue(project)
    wait_for(lambda: len(runs(project)) == 1)
    experiment = psutil.Process(int(runs(project)[0][0]))
    worker = next(above for above in experiment.parents() if "queue-worker" in above.cmdline())
    assert requeue_lost().startswith("queued again: nothing")
    worker.kill()
    worker.wait()
    assert unfinished(project, {"withdrawn"}) == ["queue-1"]
    assert "queued again: queue-1 (lost its worker)" in requeue_lost()
    assert not experiment.is_running()
    block.unlink()
    start_queue(project)
    wait_for(lambda: names("queue") == ["queue-1"] and "Failed" in run(project, "dvc", "queue", "status"))
    # DVC would show it with the metrics of its parent.
    assert "queue-2" not in run(project, "dvc", "exp", "show", "--csv", "--hide-failed")
    assert unfinished(project, {"withdrawn"}) == ["queue-2"]
    assert "queued again: queue-2 (failed)" in requeue_lost()
    run(project, "dvc", "queue", "remove", "--queued")


@pytest.mark.usefixtures("forked_dvc")
def test_stages_that_ran_side_by_side_are_restored_by_dvc_repro(project: Path) -> None:
    side_by_side({"repro-train": ["train"]}, 2, StopRequest())
    # The queue's worker of the test before may still run what that test queued again.
    ran = [name for _, name in runs(project) if not name.startswith("queue")]
    assert ran == ["repro-train"]
    assert changed(["train", "data"]) == ["train"]
    assert "Stage 'train' is cached - skipping run" in run(project, "dvc", "repro")
    assert changed(["train", "data"]) == []
    assert [name for _, name in runs(project) if not name.startswith("queue")] == ran
    assert "repro-train" not in run(project, "dvc", "exp", "list", "--all-commits", "--name-only")
    run(project, "git", "checkout", "-q", "dvc.lock")


@pytest.mark.parametrize(("sign", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 75)])
def test_a_stopped_dvc_repro_is_waited_for_and_holds_nothing(sign: signal.Signals, code: int, project: Path) -> None:
    """Ctrl-C comes to all processes at once, SIGTERM to the one that called DVC."""
    block, locks = project.parent / "block", project / ".dvc/tmp/rwlock"
    block.touch()
    locks.unlink(missing_ok=True)
    words = [
        sys.executable,
        "-c",
        "import sys; from tools.sweep.matrix import repro; sys.exit(repro('--force', 'train'))",
    ]
    own = environment() | {"PYTHONPATH": str(ROOT), "DVC_EXP_NAME": "none"}
    caller = subprocess.Popen(words, cwd=project, env=own, stderr=subprocess.PIPE, text=True, start_new_session=True)
    wait_for(lambda: len(runs(project)) == 1)
    dvc = psutil.Process(int(runs(project)[0][0]))
    os.killpg(caller.pid, sign) if sign == signal.SIGINT else caller.send_signal(sign)
    said = caller.communicate()[1]
    block.unlink()
    assert caller.returncode == code, said
    assert said.endswith("repro: stopped; rerun the command to resume\n")
    assert not dvc.is_running()
    assert not any(json.loads(locks.read_text()).values()), "a killed DVC leaves its locks"
    run(project, "git", "checkout", "-q", "dvc.lock")


def test_a_training_that_dvc_did_not_start_is_recorded_by_the_line_of_the_docs(project: Path) -> None:
    """As torchrun starts it."""
    text = (ROOT / "docs/how-to/cluster.md").read_text()
    (line,) = re.findall(r"^(dvc commit .*?) +#", text, re.MULTILINE)
    run(project, "env", "DVC_EXP_NAME=none", sys.executable, "train.py")
    run(project, *line.replace("train@adaptive-1-1", "train").split())
    assert "up to date" in run(project, "dvc", "status")
    run(project, "git", "checkout", "-q", "dvc.lock")
    (project / "model").unlink()


@pytest.mark.usefixtures("forked_dvc")
def test_a_machine_that_has_what_a_search_reads_runs_no_stage_before_and_needs_no_remote(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(tmp_path, "git", "clone", "-q", str(project.parent / "git"), "other")
    monkeypatch.chdir(tmp_path / "other")
    use_own_site_cache(tmp_path / "other")
    run(Path(), "dvc", "pull", "-q", "data", "source/table")
    run(Path(), "dvc", "remote", "modify", "store", "url", str(tmp_path / "none"))
    (tmp_path / "none").touch()  # no folder
    run_experiment("pulled-2", ["value=2"], ["train"], "pulled", allow_missing=True)
    assert "Running stage 'source'" not in Path(".dvc/tmp/sweep/pulled-2.log").read_text()
    assert names("pulled") == ["pulled-2"]


@pytest.mark.usefixtures("forked_dvc")
def test_a_remote_that_is_away_costs_no_experiment(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run_experiment("away-2", ["value=2"], ["train"], "away")
    remote, gone, store = project.parent / "git", project.parent / "gone", project.parent / "store"
    store.rename(gone)
    store.touch()  # no folder
    with pytest.raises(Failed, match="`dvc exp push origin away-2` failed, and can be repeated: ERROR"):
        push("away-2", StopRequest())
    assert "away-2" not in run(project, "git", "ls-remote", "origin"), "who finds the commit relies on the files"
    store.unlink()
    gone.rename(store)
    remote.rename(gone)
    with pytest.raises(Failed, match="`dvc exp push origin away-2` failed, and can be repeated: ERROR"):
        push("away-2", StopRequest())
    monkeypatch.setattr("tools.sweep.patience.PATIENCE", 60)
    monkeypatch.setattr("tools.sweep.patience.time.sleep", lambda seconds: gone.rename(remote))
    push("away-2", StopRequest())
    assert "away-2" in run(project, "dvc", "exp", "list", "--all-commits", "origin")
