"""MLflow against what is on disk: runs whose process died, and results that came from DVC's cache."""

from contextlib import suppress
from pathlib import Path
from socket import gethostname

from filelock import FileLock, Timeout
from mlflow import MlflowClient
from mlflow.entities import Run, RunStatus
from mlflow.exceptions import MlflowException

from stages.common.core.errors import UserError
from stages.common.core.hashing import sha256
from stages.common.data.layout import MODELS, WEIGHTS
from stages.common.data.run_id import RUN_FOLDERS
from stages.common.model.tracking import HOST, chosen_uri, local_uri, open_client, root
from stages.train.checkpoint import checkpoint_path
from tools.doctor.findings import CheckResult, Severity


def dead_runs(fix: bool) -> list[CheckResult]:
    """Runs that MLflow holds for running and no process of this machine trains; `fix` closes them as killed.

    A training holds the lock of its checkpoint while it lives. Runs of other machines, which a server may hold, are
    left alone.
    """
    try:
        client, experiment = open_client()
        running = client.search_runs([experiment], "attributes.status = 'RUNNING'", max_results=1000)
    except (UserError, MlflowException):
        return []  # said by another check
    here = [run for run in running if run.data.tags.get(HOST, gethostname()) == gethostname()]
    dead = [run for run in here if not trains(run)]
    if fix:
        for run in dead:
            client.set_terminated(run.info.run_id, RunStatus.to_string(RunStatus.KILLED))
    if not dead:
        return [CheckResult("MLflow runs", Severity.GOOD, f"{len(here)} running here, each by a living process")]
    names = ", ".join(str(run.info.run_name) for run in dead[:5])
    message = f"{len(dead)} are called running and their process is gone ({names})"
    if fix:
        return [CheckResult("MLflow runs", Severity.GOOD, f"{message}: closed")]
    return [CheckResult("MLflow runs", Severity.WARN, f"{message}; --fix closes them")]


def trains(run: Run) -> bool:
    """Whether a process of this machine holds the lock of the run's training."""
    lock = checkpoint_path(run.data.tags.get("training", "")).with_suffix(".lock")
    if not lock.is_file():
        return False
    try:
        with FileLock(lock, timeout=0):
            return False
    except Timeout:
        return True


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
