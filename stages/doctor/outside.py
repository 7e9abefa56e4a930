"""What lies outside of this machine: DVC remotes, the MLflow server, Kaggle."""

from typing import Any

from dvc.repo import Repo
from mlflow.exceptions import MlflowException

from stages.common.errors import Fault
from stages.common.tracking import chosen_uri, open_client
from stages.doctor.findings import Finding, State


def remotes() -> list[Finding]:
    """Every DVC remote, by asking it for its root."""
    with Repo() as repo:
        names, default = sorted(repo.config["remote"]), repo.config["core"].get("remote")
        if not names:
            return [Finding("DVC remote", State.WARN, "none: results stay here; `dvc remote add --default NAME URL`")]
        found = []
        for name in names:
            label = f"DVC remote {name}" + (" (default)" if name == default else "")
            try:
                remote = repo.cloud.get_remote(name)
                remote.fs.exists(remote.path)
                found.append(Finding(label, State.GOOD, f"reachable: {remote.fs.unstrip_protocol(remote.path)}"))
            except Exception as error:  # each kind of remote fails in its own way
                reason = " ".join(str(error).split())[:160] or type(error).__name__
                found.append(Finding(label, State.BAD, f"not reachable: {reason}; see docs/scaling.md"))
        return found


def tracking() -> list[Finding]:
    """The MLflow store."""
    uri = chosen_uri()
    try:
        client, experiment = open_client()
        runs = client.search_runs([experiment], max_results=1000)
    except (Fault, MlflowException) as error:
        served = uri.startswith("http")
        said = f"{uri} does not answer" + ("; runs will be kept in mlflow.db and can be sent later" if served else "")
        reason = " ".join(str(error).split())[:120]
        return [Finding("MLflow", State.WARN if served else State.BAD, f"{said} ({reason})")]
    return [Finding("MLflow", State.GOOD, f"{len(runs)} runs in {uri}")]


def kaggle(params: dict[str, Any]) -> list[Finding]:
    """Whether kagglehub finds credentials, where Kaggle is a source."""
    if "kaggle" not in params["ingest"]["sources"]:
        return [Finding("Kaggle", State.GOOD, "not among ingest.sources")]
    from kagglehub.config import get_kaggle_credentials

    try:
        there = get_kaggle_credentials() is not None
    except ValueError as error:  # it names the file, and nothing of what is in it
        return [Finding("Kaggle", State.BAD, f"{error}; mend or remove it")]
    if there:
        return [Finding("Kaggle", State.GOOD, "credentials are there")]
    return [
        Finding("Kaggle", State.WARN, "no credentials: only archives at hand can be read; see docs/data-sources.md")
    ]
