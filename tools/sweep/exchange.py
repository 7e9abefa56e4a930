"""Machines that work on one sweep hand each other experiments through a git remote and DVC's default remote."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from tools.sweep.experiments import members, names
from tools.sweep.patience import Away, Failed, patiently
from tools.sweep.room import FREE, shortage

GIT_REMOTE = "origin"
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


def has_remote() -> bool:
    """Whether the project has a git remote."""
    done = subprocess.run(["git", "remote"], capture_output=True, text=True, check=False)
    return GIT_REMOTE in done.stdout.split()


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
    """What a command of DVC prints, which is tried again while a remote is away or a disk is full.

    Args:
        stop: asked before each further attempt.
        folder: the project's root.
        words: the command's.
    Raises:
        Failed: it fails, and goes on to fail for ten minutes.
    """
    command = f"`dvc {' '.join(words)}`"

    def attempt() -> str:
        if lack := shortage(folder):
            raise failed(f"no room on a disk: {lack}; {FREE}")
        done = run_dvc(folder, *words)
        if done.returncode == 0:
            return done.stdout
        errors = [line for line in done.stderr.splitlines() if line.startswith("ERROR")]
        raise failed(errors[0] if errors else "no reason is given")

    def failed(reason: str) -> Away:
        return Away(f"{command} failed: {reason}", Failed(f"{command} failed, and can be repeated: {reason}"))

    return patiently(attempt, stop, PAUSE)


def run_dvc(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """A command of DVC that waits for others of this project."""
    command = [sys.executable, "-m", "dvc", "--wait-for-lock", *words]
    own = os.environ | {"GIT_TERMINAL_PROMPT": "0"}  # nobody sees what a captured command asks
    return subprocess.run(command, cwd=folder, env=own, capture_output=True, text=True, check=False)
