"""Machines that work on one sweep hand each other experiments through a git remote and DVC's default remote."""

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from dvc.repo import Repo

from tools.sweep.experiments import Failed, members

GIT_REMOTE = "origin"
PATIENCE = 600.0  # seconds that a remote may be away
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
    end, said = time.monotonic() + PATIENCE, False
    while True:
        done = run_dvc(folder, "exp", "push", GIT_REMOTE, name)
        if done.returncode == 0:
            return
        reason = (done.stderr.strip().splitlines() or ["no reason is given"])[-1]
        if stop() or time.monotonic() > end:
            raise Failed(
                f"{name} was not pushed, and stays here: {reason}; push it by `dvc exp push {GIT_REMOTE} {name}`"
            )
        if not said:
            print(f"sweep: {name} cannot be pushed: {reason}; trying for {PATIENCE:.0f} s", file=sys.stderr, flush=True)
            said = True
        time.sleep(PAUSE)


def pull(sweep: str) -> None:
    """Bring the commits of a sweep's experiments that other machines made; their files stay in DVC's remote.

    Raises:
        Failed: the git remote does not answer.
    """
    with Repo(_wait_for_lock=True) as repo:
        here = repo.experiments.ls(all_commits=True)
        there = repo.experiments.ls(all_commits=True, git_remote=GIT_REMOTE)
    missing = sorted(set(members(sweep, there)) - set(members(sweep, here)))
    if missing:
        done = run_dvc(Path(), "exp", "pull", "--no-cache", GIT_REMOTE, *missing)
        if done.returncode:
            raise Failed(f"experiments of {sweep} cannot be fetched: {done.stderr.strip()}")


def run_dvc(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """A command of DVC that waits for others of this project."""
    command = [sys.executable, "-m", "dvc", "--wait-for-lock", *words]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
