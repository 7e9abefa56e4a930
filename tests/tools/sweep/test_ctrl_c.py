"""Ctrl-C at every moment of a sweep: the terminal sends it to all of its processes at once."""

import os
import signal
import subprocess
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from tests.helpers.long_tests import long_test
from tests.helpers.processes import environment, run, wait_for
from tests.helpers.projects import copy_project

pytestmark = [pytest.mark.slow, long_test]
# Every further call gets further: what an earlier one did is not done again.
SWEEP = ["wrist", "sweep", "grid", "cut", "-S", "train.adaptive.alpha.start=0.1,0.5", "-S", "train.loop.epochs=8"]
BEFORE, STOPPED = "wrist: interrupted before any work began", "sweep cut: stopped; rerun the command to resume"
NO_OUTPUT = "wrist: interrupted; no unfinished output was kept"


def maps(pid: int) -> str:
    """The files in the memory of a process."""
    return Path(f"/proc/{pid}/maps").read_text()


MOMENTS: dict[str, tuple[str, Callable[[int, str, str], bool]]] = {
    "loads": (BEFORE, lambda pid, log, said: "libtorch" in maps(pid)),
    "dvc loads": (STOPPED, lambda pid, log, said: "cut-1: starts" in said),
    "trains": (STOPPED, lambda pid, log, said: "epoch 2/8" in log),
    "writes results": (STOPPED, lambda pid, log, said: log.count("Updating lock file") == 2),
    "writes the page": (NO_OUTPUT, lambda pid, log, said: "cut-2: validation Dice" in said),
}
"""What is said then, and whether it is the moment, by the process, the log of the first experiment and stderr."""


def below(session: int) -> list[str]:
    """Command lines of the living processes of a session."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error, ProcessLookupError):
            if os.getsid(process.pid) == session and process.status() != psutil.STATUS_ZOMBIE:
                found.append(" ".join(process.cmdline()))
    return found


def test_ctrl_c_at_any_moment_ends_all_in_one_sentence_and_the_same_command_goes_on(
    finished: Path, tmp_path: Path
) -> None:
    project = copy_project(finished, tmp_path / "project")
    log, stderr = project / ".dvc/tmp/sweep/cut-1.log", tmp_path / "stderr"
    for name, (sentence, arrived) in MOMENTS.items():
        log.unlink(missing_ok=True)
        with stderr.open("w") as file:
            sweep = subprocess.Popen(SWEEP, cwd=project, env=environment(), stderr=file, start_new_session=True)

        def is_moment(
            sweep: subprocess.Popen[bytes] = sweep, arrived: Callable[[int, str, str], bool] = arrived, name: str = name
        ) -> bool:
            assert sweep.poll() is None, f"{name}: it ended before: {stderr.read_text()}"
            return arrived(sweep.pid, log.read_text() if log.exists() else "", stderr.read_text())

        wait_for(is_moment)
        os.killpg(sweep.pid, signal.SIGINT)
        assert sweep.wait() == 130, f"{name}: {stderr.read_text()}"
        said = stderr.read_text()
        assert said.splitlines()[-1] == sentence, f"{name}: {said}"
        assert "Traceback" not in said, name
        wait_for(lambda sweep=sweep: not below(sweep.pid), 30)
        assert not list((project / ".dvc/tmp/exps").glob("tmp*")), name
    output = run(project, *SWEEP)
    assert "0 of 2 experiments are left to run." in output
    assert "sweep cut: 2 experiments -> reports/sweep.html" in output
    page = (project / "reports/sweep.html").read_text()
    assert "test F1" in page
    assert "cut-1" in page
    assert "cut-2" in page
