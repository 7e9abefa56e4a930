"""MLflow against what is on disk: runs whose process died, and results that came from DVC's cache."""

from collections import Counter
from contextlib import suppress
from pathlib import Path

from mlflow import MlflowClient
from mlflow.entities import RunStatus
from mlflow.exceptions import MlflowException

from stages.common.core.errors import UserError, first_few
from stages.common.core.hashing import sha256
from stages.common.data.layout import MODELS, WEIGHTS
from stages.common.data.run_id import RUN_FOLDERS
from stages.common.model.tracking import chosen_uri, local_uri, open_client, root, trains
from tools.doctor.findings import CheckResult, Severity

SHOWN = 5  # names of runs


def dead_runs(fix: bool) -> list[CheckResult]:
    """Runs that MLflow holds for running and no process of this machine trains; `fix` closes them as killed.

    Runs of other machines and containers, which a server may hold, are left alone.
    """
    try:
        client, experiment = open_client()
        running = client.search_runs([experiment], "attributes.status = 'RUNNING'", max_results=1000)
    except (UserError, MlflowException):
        return []  # said by another check
    judged = [(run, trains(run)) for run in running]
    dead = [run for run, alive in judged if alive is False]
    if fix:
        for run in dead:
            client.set_terminated(run.info.run_id, RunStatus.to_string(RunStatus.KILLED))
    counts = Counter(alive for _, alive in judged)
    others = f"; {counts[None]} of other machines or containers are not judged here" if counts[None] else ""
    if not dead:
        return [
            CheckResult("MLflow runs", Severity.GOOD, f"{counts[True]} running here, each by a living process{others}")
        ]
    names = first_few([str(run.info.run_name) for run in dead], SHOWN)
    message = f"{len(dead)} are called running and their process is gone ({names})"
    if fix:
        return [CheckResult("MLflow runs", Severity.GOOD, f"{message}: closed{others}")]
    return [CheckResult("MLflow runs", Severity.WARN, f"{message}; --fix closes them{others}")]


def results(models: Path = MODELS) -> list[CheckResult]:
    """Each model in the workspace and the run that made it, which may be of another experiment: DVC's cache gives equal
    results without training again."""
    weights = sorted(models.glob(f"{RUN_FOLDERS}/{WEIGHTS}"))
    if not weights:
        return [CheckResult("results", Severity.GOOD, "no trained models here yet; `make repro` makes them")]
    stores = open_stores()
    if not stores:
        return []
    checked = []
    for path in weights:
        where = f"tags.`weights.sha256` = '{sha256(path)}'"
        runs = [
            run
            for client, experiment in stores
            for run in client.search_runs([experiment], where, order_by=["start_time ASC"])
        ]
        name = str(path.parent)
        if runs:
            tags = runs[0].data.tags
            made = f"by run {runs[0].info.run_id}, commit {tags.get('git.commit', '')[:8]}"
            other = f" of experiment {tags['dvc.experiment']}" if tags.get("dvc.experiment") else ""
            checked.append(CheckResult(name, Severity.GOOD, made + other))
        else:
            checked.append(
                CheckResult(name, Severity.WARN, "made elsewhere: its run is in no MLflow store that is read here")
            )
    return checked


def open_stores() -> list[tuple[MlflowClient, str]]:
    """The stores in which runs may lie: the chosen one, and the local one, which keeps those that a server refused."""
    uris = [chosen_uri()]
    if chosen_uri() != local_uri() and (root() / "mlflow.db").exists():
        uris.append(local_uri())
    stores = []
    for uri in uris:
        with suppress(UserError, MlflowException):
            stores.append(open_client(uri))
    return stores
