"""One experiment on a machine that shares nothing with others but a git remote and a DVC remote.

It clones the project at a commit, fetches the data that is lacking, trains, and pushes the experiment. Workers of a
Dask cluster and tasks of a SLURM array do the same.
"""

import os
import socket
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from stages.common.core.errors import UserError, first_few
from stages.common.model.tracking import shown
from tools.sweep.exchange import GIT_REMOTE, PAUSE, push
from tools.sweep.experiments import LOGS, run_experiment
from tools.sweep.patience import Away, Failed, NotFetched, Result, patiently, say
from tools.sweep.room import says_full, with_room
from tools.temporary import OWNER, temporary_folder


@dataclass(frozen=True)
class Origin:
    """Where every machine gets the project from: the address of the git remote and a commit that it has.

    author: name and address of who starts the experiments, for their commits.
    """

    url: str
    commit: str
    author: tuple[str, str]


@dataclass(frozen=True)
class Job:
    """An experiment of a sweep: overrides of params.yaml in Hydra's grammar, and the stages to run."""

    name: str
    overrides: Sequence[str]
    stages: list[str]
    sweep: str


def find_origin() -> Origin:
    """The present commit as other machines can get it.

    Raises:
        UserError: they cannot, since it was not pushed, or files here differ from it.
    """
    try:
        url, commit = git("remote", "get-url", GIT_REMOTE), git("rev-parse", "HEAD")
        author = git("config", "user.name"), git("config", "user.email")
    except Failed as failed:
        raise UserError(
            f"git: expected a remote named {GIT_REMOTE} and an author (user.name, user.email), found: {failed}"
        ) from None
    if changed := git("status", "--porcelain", "--untracked-files=no"):
        raise UserError(
            f"git: expected a workspace without changes, since other machines clone it, found {changed.split()[1]}; "
            "commit and push"
        )
    local = Path(url)
    url = str(local.resolve()) if local.is_dir() else url
    with tempfile.TemporaryDirectory() as folder:
        try:
            git("clone", "--quiet", "--bare", "--filter=tree:0", url, folder)
            git("cat-file", "-e", commit, folder=Path(folder))
        except Failed as failed:
            raise UserError(
                f"git: expected commit {commit[:7]} on {GIT_REMOTE}, which other machines clone, found: {failed}; "
                f"`git push {GIT_REMOTE}` and `dvc push`"
            ) from None
    return Origin(url, commit, author)


def refuse_unknown_code() -> None:
    """
    Raises:
        UserError: git does not know a file of stages/. Experiments run in copies of the project that would lack it.
    """
    if unknown := git("ls-files", "--others", "--exclude-standard", "stages").splitlines():
        raise UserError(
            f"git: expected to know all of stages/, since experiments run in copies of what it knows, found "
            f"{first_few(unknown)} unknown; `git add` or remove them"
        )


def run_in_clone(origin: Origin, job: Job, stop: Callable[[], bool] = lambda: False) -> str:
    """Run and push one experiment, unless the git remote has it; returns what went wrong, or an empty text.

    While a remote is away, or a disk is full, it waits. The clone is removed at the end, unless its result was not
    pushed. The record in MLflow and the checkpoint outlive it where MLFLOW_TRACKING_URI and CHECKPOINT_DIR name places
    outside.

    Args:
        origin: of the clone.
        job: the experiment.
        stop: asked every other second; True ends the experiment without a result.
    """
    with ExitStack() as stack:
        try:
            # A worker goes on after Ctrl-C, or is taken for lost: what it pushed is asked for again.
            if when_git_answers(job.name, lambda: is_pushed(origin, job.name), stop):
                return ""
            folder = when_git_answers(job.name, lambda: stack.enter_context(clone(origin)), stop)
            when_data_come(job, stop, folder)
        except Failed as failed:
            return str(failed)
        try:
            push(job.name, stop, folder)
        except Failed as failed:
            kept = f"{failed}; {keep(folder, job.name)}"
            if stop():  # who asked for it hears of no failures
                say(kept)
            return kept
        if os.environ.get("MLFLOW_TRACKING_URI") and (folder / "mlflow.db").exists():
            say(keep_record(folder, job.name))
    return ""


def is_pushed(origin: Origin, name: str) -> bool:
    """Whether the git remote has an experiment of the commit.

    Raises:
        Failed: git says why it cannot tell.
    """
    # DVC's name of it in git
    return bool(git("ls-remote", origin.url, f"refs/exps/{origin.commit[:2]}/{origin.commit[2:]}/{name}"))


def keep(folder: Path, name: str) -> str:
    """Leave a clone where it is, since nothing else has its result; returns how to push it."""
    (folder.parent / OWNER).unlink()
    return (
        f"the result is kept on {socket.gethostname()}: `cd {folder} && dvc exp push {GIT_REMOTE} {name}`, then remove "
        f"{folder.parent}"
    )


def keep_record(folder: Path, name: str) -> str:
    """Leave a clone where it is, since the MLflow server did not take its runs; returns how to send them."""
    (folder.parent / OWNER).unlink()
    return (
        f"{name}: the server of MLFLOW_TRACKING_URI did not take its record, which is kept on {socket.gethostname()}: "
        f"run the lines `wrist send-run` of {folder / LOGS / f'{name}.log'} in {folder}, then remove {folder.parent}"
    )


def when_git_answers(name: str, call: Callable[[], Result], stop: Callable[[], bool]) -> Result:
    """What a call returns that uses git, which is tried again while the git remote is away or a disk is full.

    Args:
        name: of the experiment.
        call: which may be repeated.
        stop: asked before each further attempt.
    Raises:
        Failed: git goes on to fail for ten minutes.
    """

    def attempt() -> Result:
        try:
            return call()
        except Failed as failed:
            if says_full(str(failed)):
                raise
            raise Away(f"{name}: git fails: {str(failed).splitlines()[0]}", failed) from None

    disk = Path(tempfile.gettempdir())
    return with_room(name, lambda: patiently(attempt, stop, PAUSE), stop, disk)


def when_data_come(job: Job, stop: Callable[[], bool], folder: Path) -> None:
    """Run an experiment in a clone, again while DVC's remote is away.

    Args:
        job: the experiment.
        stop: ends it without a result, and the wait.
        folder: the clone.
    Raises:
        Failed: the experiment failed, or its data do not come for ten minutes.
    """

    def attempt() -> None:
        try:
            run_experiment(job.name, job.overrides, job.stages, job.sweep, stop, folder, allow_missing=True)
        except NotFetched as failed:
            raise Away(f"{job.name}: the data do not come: {str(failed).splitlines()[-1]}", failed) from None

    patiently(attempt, stop, PAUSE)


@contextmanager
def clone(origin: Origin) -> Iterator[Path]:
    """A temporary folder with the commit's files.

    Raises:
        Failed: git says why not.
    """
    with temporary_folder() as folder:
        git("clone", "--quiet", "--no-checkout", origin.url, str(folder))
        git("checkout", "--quiet", "--detach", origin.commit, folder=folder)
        for key, value in zip(("user.name", "user.email"), origin.author, strict=True):
            git("config", key, value, folder=folder)
        # DVC would write the paths of the clone into a folder that all users of the machine share.
        (folder / ".dvc/config.local").write_text(f"[core]\n    site_cache_dir = {folder / '.dvc/site-cache'}\n")
        yield folder


def git(*words: str, folder: Path = Path()) -> str:
    """What a git command prints.

    Raises:
        Failed: with what it says.
    """
    done = subprocess.run(["git", *words], cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Failed(shown(done.stderr.strip() or f"`git {' '.join(words)}` ended with {done.returncode}"))
    return done.stdout.strip()
