"""One experiment on a machine that shares nothing with others but a git remote and a DVC remote.

It clones the project at a commit, fetches the data that is lacking, trains, and pushes the experiment. Workers of a
Dask cluster and tasks of a SLURM array do the same.
"""

import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from stages.common.core.errors import UserError
from tools.sweep.exchange import GIT_REMOTE, push
from tools.sweep.experiments import Failed, run_experiment


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
    with TemporaryDirectory() as folder:
        try:
            git("clone", "--quiet", "--bare", "--filter=tree:0", url, folder)
            git("cat-file", "-e", commit, folder=Path(folder))
        except Failed as failed:
            raise UserError(
                f"git: expected commit {commit[:7]} on {GIT_REMOTE}, which other machines clone, found: {failed}; "
                f"`git push {GIT_REMOTE}` and `dvc push`"
            ) from None
    return Origin(url, commit, author)


def run_in_clone(origin: Origin, job: Job) -> str:
    """Run and push one experiment; returns what went wrong, or an empty text.

    The clone is removed at the end. The record in MLflow and the checkpoint outlive it where MLFLOW_TRACKING_URI and
    CHECKPOINT_DIR name places outside.
    """
    try:
        with TemporaryDirectory(prefix="wrist-") as path:
            folder = Path(path)
            git("clone", "--quiet", "--no-checkout", origin.url, path)
            git("checkout", "--quiet", "--detach", origin.commit, folder=folder)
            for key, value in zip(("user.name", "user.email"), origin.author, strict=True):
                git("config", key, value, folder=folder)
            # DVC would write the paths of the clone into a folder that all users of the machine share.
            (folder / ".dvc/config.local").write_text(f"[core]\n    site_cache_dir = {folder / '.dvc/site-cache'}\n")
            run_experiment(job.name, job.overrides, job.stages, job.sweep, folder=folder)
            push(job.name, lambda: False, folder)
    except Failed as failed:
        return str(failed)
    return ""


def git(*words: str, folder: Path = Path()) -> str:
    """What a git command prints.

    Raises:
        Failed: with what it says.
    """
    done = subprocess.run(["git", *words], cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Failed(done.stderr.strip() or f"`git {' '.join(words)}` ended with {done.returncode}")
    return done.stdout.strip()
