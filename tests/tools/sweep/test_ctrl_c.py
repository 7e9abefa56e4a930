"""Ctrl-C at every moment of a sweep: the terminal sends it to all of its processes at once."""

import os
import re
import signal
import subprocess
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
from distributed import LocalCluster

from tests.helpers.long_tests import long_test
from tests.helpers.processes import environment, run, wait_for
from tests.helpers.projects import copy_project
from tests.helpers.remotes import publish

pytestmark = [pytest.mark.slow, long_test]
BEFORE, STOPPED = "wrist: interrupted before any work began", "sweep cut: stopped; rerun the command to resume"
NO_OUTPUT = "wrist: interrupted; no unfinished output was kept"
SHARES = ["-S", "train.adaptive.alpha.start=0.1,0.5", "-S", "train.loop.epochs=8"]
Moment = tuple[str, Callable[[int, str, str], bool]]


def maps(pid: int) -> str:
    """The files in the memory of a process."""
    return Path(f"/proc/{pid}/maps").read_text()


def moments(first: str) -> dict[str, Moment]:
    """What is said then, and whether it is the moment, by the process, the log of the first experiment and stderr.

    Args:
        first: the name of the first experiment.
    """
    return {
        "loads": (BEFORE, lambda pid, log, said: "libtorch" in maps(pid)),
        "dvc loads": (STOPPED, lambda pid, log, said: f"{first}: s" in said),
        "trains": (STOPPED, lambda pid, log, said: "epoch 2/8" in log),
        "writes results": (STOPPED, lambda pid, log, said: "Updating lock file" in log),
        "writes the page": (NO_OUTPUT, lambda pid, log, said: "matplotlib" in maps(pid)),
    }


def below(session: int) -> list[str]:
    """Command lines of the living processes of a session."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error, ProcessLookupError):
            if os.getsid(process.pid) == session and process.status() != psutil.STATUS_ZOMBIE:
                found.append(" ".join(process.cmdline()))
    return found


@pytest.fixture
def project(finished: Path, tmp_path: Path) -> Path:
    return copy_project(finished, tmp_path / "project")


def interrupted(project: Path, sweep: list[str], log: Path, arrived: Callable[[int, str, str], bool]) -> str:
    """What a sweep says that gets Ctrl-C at a moment; none of its processes and temporary folders is left.

    Args:
        log: of the first experiment.
        arrived: whether it is the moment.
    """
    log.unlink(missing_ok=True)
    stderr = project.parent / "stderr"
    with stderr.open("w") as file:
        process = subprocess.Popen(sweep, cwd=project, env=environment(), stderr=file, start_new_session=True)

    def is_moment() -> bool:
        assert process.poll() is None, f"it ended before: {stderr.read_text()}"
        return arrived(process.pid, log.read_text() if log.exists() else "", stderr.read_text())

    wait_for(is_moment)
    os.killpg(process.pid, signal.SIGINT)
    assert process.wait() == 130, stderr.read_text()
    wait_for(lambda: not below(process.pid), 30)
    assert not list((project / ".dvc/tmp/exps").glob("tmp*"))
    said = stderr.read_text()
    assert "Traceback" not in said
    return said


@pytest.mark.parametrize(
    ("words", "first", "last"),
    [
        (["grid", "cut", *SHARES], "cut-1", "cut-2"),
        (["search", "cut", "--trials", "2", *SHARES[2:]], "cut-0", r"cut-[1-9]\d*"),
    ],
    ids=["grid", "search"],
)
def test_ctrl_c_at_any_moment_ends_all_in_one_sentence_and_the_same_command_goes_on(
    words: list[str], first: str, last: str, project: Path
) -> None:
    """Every further call gets further: what an earlier one did is not done again. Arms run as a grid does."""
    sweep, log = ["wrist", "sweep", *words], project / f".dvc/tmp/sweep/{first}.log"
    for name, (sentence, arrived) in moments(first).items():
        said = interrupted(project, sweep, log, arrived)
        assert said.splitlines()[-1] == sentence, f"{name}: {said}"
    output = run(project, *sweep)
    assert "-> reports/sweep.html" in output
    assert words[0] == "search" or "0 of 2 experiments are left to run." in output
    page = (project / "reports/sweep.html").read_text()
    assert first in page
    assert re.search(last, page)


def test_what_runs_on_a_cluster_goes_on_after_ctrl_c_and_is_collected_by_the_next_call(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(project, str(project.parent / "store"))
    sweep = ["wrist", "sweep", "grid", "cut", *SHARES]
    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster:
        monkeypatch.setenv("DASK_SCHEDULER_ADDRESS", cluster.scheduler_address)
        said = interrupted(
            project,
            sweep,
            project / "no.log",
            lambda pid, log, said: any("stages.train" in line for line in below(os.getsid(0))),
        )
        assert said.splitlines()[-1] == STOPPED
        assert "2 experiments -> reports/sweep.html" in run(project, *sweep)
