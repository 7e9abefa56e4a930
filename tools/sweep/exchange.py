"""Machines that work on one sweep hand each other experiments through a git remote and DVC's default remote."""

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from tools.sweep.experiments import Failed, members, names

GIT_REMOTE = "origin"
PATIENCE = 600.0  # seconds that a remote, or the database of a study, may be away
PAUSE = 5.0  # seconds between two attempts


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
    end, said, command = time.monotonic() + PATIENCE, False, f"`dvc {' '.join(words)}`"
    while True:
        done = run_dvc(folder, *words)
        if done.returncode == 0:
            return done.stdout
        errors = [line for line in done.stderr.splitlines() if line.startswith("ERROR")]
        reason = errors[0] if errors else "no reason is given"
        if stop() or time.monotonic() > end:
            raise Failed(f"{command} failed, and can be repeated: {reason}")
        if not said:
            print(f"sweep: {command} failed: {reason}; trying for {PATIENCE:.0f} s", file=sys.stderr, flush=True)
            said = True
        time.sleep(PAUSE)


def run_dvc(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """A command of DVC that waits for others of this project."""
    command = [sys.executable, "-m", "dvc", "--wait-for-lock", *words]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
