"""Machines that work on one sweep hand each other experiments through a git remote and DVC's default remote."""

import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from tools.sweep.experiments import members, names
from tools.sweep.patience import Away, Failed, patiently
from tools.sweep.room import FREE, shortage

GIT_REMOTE = "origin"
PAUSE = 5.0  # seconds between two attempts
# Sends what DVC tracks of an experiment alone, for which DVC has no command.
FILES = """
import sys
from dvc.logger import setup
from dvc.repo import Repo
setup()
try:
    with Repo(_wait_for_lock=True) as repo:
        repo.push(revs=sys.argv[1:], workspace=False)
except Exception as error:
    sys.exit(f"ERROR: {error}")
"""


def push(name: str, stop: Callable[[], bool], folder: Path = Path()) -> None:
    """Send an experiment: what DVC tracks of it, then its commit. Where it is there already, nothing is sent twice.

    `dvc exp push` alone sends the commit first: a machine that dies meanwhile leaves an experiment without its files,
    which nobody trains again.

    Args:
        name: of the experiment.
        stop: asked before each further attempt, while a remote is away.
        folder: the project that has the experiment.
    Raises:
        Failed: a remote takes nothing; the experiment stays here.
    """
    words = ("exp", "push", GIT_REMOTE, name)
    when_remote_answers(stop, folder, words, lambda: run_python(folder, "-c", FILES, name))
    when_remote_answers(stop, folder, words, lambda: run_dvc(folder, *words, "--no-cache"))


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
    words = ("exp", "list", "--all-commits", "--name-only", GIT_REMOTE)
    there = when_remote_answers(stop, Path(), words, lambda: run_dvc(Path(), *words)).split()
    if missing := sorted(set(members(sweep, there)) - set(names(sweep))):
        fetch = ("exp", "pull", "--no-cache", GIT_REMOTE, *missing)
        when_remote_answers(stop, Path(), fetch, lambda: run_dvc(Path(), *fetch))


def when_remote_answers(
    stop: Callable[[], bool], folder: Path, words: Sequence[str], call: Callable[[], subprocess.CompletedProcess[str]]
) -> str:
    """What a process prints that talks to a remote, and is tried again while that is away or a disk is full.

    Args:
        stop: asked before each further attempt.
        folder: the project's root.
        words: of DVC's command by which a person can repeat it.
        call: runs it.
    Raises:
        Failed: it fails, and goes on to fail for ten minutes.
    """
    command = f"`dvc {' '.join(words)}`"

    def attempt() -> str:
        if lack := shortage(folder):
            raise failed(f"no room on a disk: {lack}; {FREE}")
        done = call()
        if done.returncode == 0:
            return done.stdout
        lines = done.stderr.splitlines() or ["no reason is given"]
        raise failed(next((line for line in lines if line.startswith("ERROR")), lines[-1]))

    def failed(reason: str) -> Away:
        return Away(f"{command} failed: {reason}", Failed(f"{command} failed, and can be repeated: {reason}"))

    return patiently(attempt, stop, PAUSE)


def run_dvc(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """A command of DVC that waits for others of this project."""
    return run_python(folder, "-m", "dvc", "--wait-for-lock", *words)


def run_python(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """A process of Python that asks nobody anything."""
    own = os.environ | {"GIT_TERMINAL_PROMPT": "0"}  # nobody sees what a captured command asks
    return subprocess.run([sys.executable, *words], cwd=folder, env=own, capture_output=True, text=True, check=False)
