"""Machines that work on one sweep hand each other experiments through a git remote and DVC's default remote."""

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from tools.sweep.experiments import Failed, members, names

GIT_REMOTE = "origin"
PATIENCE = 600.0  # seconds that a remote, or the database of a study, may be away
PAUSE = 5.0  # seconds between two attempts
Result = TypeVar("Result")


def push(name: str, stop: Callable[[], bool], folder: Path = Path()) -> None:
    """Send an experiment: what DVC tracks of it, and its commit. Where it is there already, nothing is sent twice.

    Args:
        name: of the experiment.
        stop: asked before each further attempt, while a remote is away.
        folder: the project that has the experiment.
    Raises:
        Failed: a remote takes nothing; the experiment stays here.
    """
    when_remote_answers(stop, folder, "exp", "push", GIT_REMOTE, name)


def pull(sweep: str, stop: Callable[[], bool]) -> None:
    """Bring the commits of a sweep's experiments that other machines made; their files stay in DVC's remote.

    Args:
        sweep: its name.
        stop: asked before each further attempt, while the git remote is away.
    Raises:
        Failed: the git remote does not answer.
    """
    there = when_remote_answers(stop, Path(), "exp", "list", "--all-commits", "--name-only", GIT_REMOTE).split()
    if missing := sorted(set(members(sweep, there)) - set(names(sweep))):
        when_remote_answers(stop, Path(), "exp", "pull", "--no-cache", GIT_REMOTE, *missing)


def when_remote_answers(stop: Callable[[], bool], folder: Path, *words: str) -> str:
    """What a command of DVC prints, which is tried again while a remote is away.

    Args:
        stop: asked before each further attempt.
        folder: the project's root.
        words: the command's.
    Raises:
        Failed: it fails, and goes on to fail for ten minutes.
    """
    command = f"`dvc {' '.join(words)}`"

    def attempt() -> str:
        done = run_dvc(folder, *words)
        if done.returncode == 0:
            return done.stdout
        errors = [line for line in done.stderr.splitlines() if line.startswith("ERROR")]
        reason = errors[0] if errors else "no reason is given"
        raise Away(
            f"{command} failed: {reason}; trying for {PATIENCE:.0f} s",
            Failed(f"{command} failed, and can be repeated: {reason}"),
        )

    return patiently(attempt, stop, PAUSE)


class Away(Exception):
    """What an attempt needs does not answer; `failure` is raised where it stays so."""

    def __init__(self, sentence: str, failure: Exception) -> None:
        super().__init__(sentence)
        self.failure = failure


def patiently(attempt: Callable[[], Result], stop: Callable[[], bool], pause: float) -> Result:
    """What an attempt returns, which is made again for ten minutes while it raises Away; says so once.

    Args:
        attempt: which may be repeated.
        stop: asked before each further attempt.
        pause: seconds between two attempts.
    Raises:
        Exception: the failure of the last attempt.
    """
    end, said = time.monotonic() + PATIENCE, False
    while True:
        try:
            return attempt()
        except Away as away:
            if stop() or time.monotonic() > end:
                raise away.failure from None
            if not said:
                print(f"sweep: {away}", file=sys.stderr, flush=True)
                said = True
            time.sleep(pause)


def run_dvc(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """A command of DVC that waits for others of this project."""
    command = [sys.executable, "-m", "dvc", "--wait-for-lock", *words]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
