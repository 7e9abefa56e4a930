"""DVC's own folder and remotes, the MLflow server, Kaggle."""

import os
from pathlib import Path

from dvc.config import Config
from dvc.dirs import site_cache_dir
from dvc.env import DVC_SITE_CACHE_DIR
from dvc.repo import Repo

from stages.common.model.tracking import UnusableStore, chosen_uri, describe, is_mistake, local_uri, open_client, shown
from stages.ingest.params import Kaggle, Params
from tools.doctor.findings import CheckResult, Severity


def site_cache() -> list[CheckResult]:
    """Where DVC notes paths and hashes: a folder of this checkout and this user, or what DVC_SITE_CACHE_DIR names."""
    setting, own = Config(".dvc")["core"].get("site_cache_dir"), Path(".dvc/site-cache").resolve()
    folder = Path(site_cache_dir(setting))
    fix = "run `python scripts/site_cache.py`, or set DVC_SITE_CACHE_DIR to a folder of yours"
    if DVC_SITE_CACHE_DIR not in os.environ and folder != own:
        whose = "of another checkout, or of this one before it was moved" if setting else "that all users share"
        return [CheckResult("DVC notes", Severity.WARN, f"{folder} is a folder {whose}; {fix}")]
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        (folder / "repo").mkdir(exist_ok=True)
        usable = os.access(folder / "repo", os.W_OK | os.X_OK)
    except OSError:
        usable = False
    if not usable:
        return [CheckResult("DVC notes", Severity.BAD, f"{folder} cannot be written by this user; {fix}")]
    if folder.stat().st_mode & 0o077:
        return [CheckResult("DVC notes", Severity.WARN, f"{folder} is open to other users; `chmod 700` it")]
    return [CheckResult("DVC notes", Severity.GOOD, f"{folder}, which only this user can enter")]


def remotes() -> list[CheckResult]:
    """Every DVC remote, by asking it for its root."""
    with Repo() as repo:
        names, default = sorted(repo.config["remote"]), repo.config["core"].get("remote")
        if not names:
            return [
                CheckResult("DVC remote", Severity.WARN, "none: results stay here; `dvc remote add --default NAME URL`")
            ]
        checked = []
        for name in names:
            label = f"DVC remote {name}" + (" (default)" if name == default else "")
            try:
                remote = repo.cloud.get_remote(name)
                remote.fs.exists(remote.path)
                checked.append(
                    CheckResult(label, Severity.GOOD, f"reachable: {shown(remote.fs.unstrip_protocol(remote.path))}")
                )
            except Exception as error:  # each kind of remote fails in its own way
                reason = describe(error)
                checked.append(
                    CheckResult(label, Severity.BAD, f"not reachable: {reason}; see docs/how-to/runners-and-remotes.md")
                )
        return checked


def tracking() -> list[CheckResult]:
    """The MLflow store: whether it can be read and written."""
    uri = chosen_uri()
    try:
        client, experiment = open_client()
        runs = client.search_runs([experiment], max_results=1000)
        client.set_experiment_tag(experiment, "checked", "by wrist doctor")  # a store may answer and take nothing
    except Exception as error:  # stores fail in the ways of HTTP, SQL, S3 and disks
        severity, follows = Severity.WARN, "runs will be kept in mlflow.db and can be sent later"
        if isinstance(error, UnusableStore) and is_mistake(uri):
            severity, follows = Severity.BAD, "training will refuse the address"
        elif uri == local_uri():
            follows = "trainings will leave no record"
        return [CheckResult("MLflow", severity, f"{shown(uri)} cannot be used: {follows} ({describe(error)})")]
    return [CheckResult("MLflow", Severity.GOOD, f"{len(runs)} runs in {shown(uri)}")]


def kaggle(settings: Params) -> list[CheckResult]:
    """Whether kagglehub finds credentials, where Kaggle is a source."""
    if not any(isinstance(entry, Kaggle) for entry in settings.sources):
        return [CheckResult("Kaggle", Severity.GOOD, "not among ingest.sources")]
    from kagglehub.config import get_kaggle_credentials

    try:
        there = get_kaggle_credentials() is not None
    except ValueError as error:  # it names the file, and nothing of what is in it
        return [CheckResult("Kaggle", Severity.BAD, f"{error}; fix or remove it")]
    if there:
        return [CheckResult("Kaggle", Severity.GOOD, "credentials are there")]
    return [
        CheckResult(
            "Kaggle", Severity.WARN, "no credentials: only archives at hand can be read; see docs/how-to/kaggle.md"
        )
    ]
