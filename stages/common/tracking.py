"""MLflow as a mirror of what the stages write: one run per training, found again by its tags."""

import logging
import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
import mlflow
from mlflow.entities import Metric, Param, RunStatus, RunTag
from mlflow.exceptions import MlflowException

from stages.common.errors import Fault

# Its database chatter is no news to a user; errors are raised.
logging.getLogger("mlflow").setLevel(logging.ERROR)
logging.getLogger("alembic").setLevel(logging.ERROR)

EXPERIMENT = "wrist-fracture"


def root() -> Path:
    """The repository's root, also inside the temporary copy in which DVC runs a queued experiment."""
    return Path(os.environ.get("DVC_ROOT", ".")).resolve()


class Tracker:
    """The MLflow run of one training. Per-epoch metrics go in batches, since single calls are ten times slower."""

    def __init__(self, client: mlflow.MlflowClient, run_id: str) -> None:
        self.client, self.run_id = client, run_id

    def log(self, row: dict[str, float]) -> None:
        """The values of one epoch, whose number is `row["epoch"]`."""
        now, step = int(time.time() * 1000), int(row["epoch"])
        metrics = [Metric(name, float(value), now, step) for name, value in row.items() if name != "epoch"]
        self.client.log_batch(self.run_id, metrics=metrics)

    def finish(self, folder: Path, tags: dict[str, str]) -> None:
        """Store the files of the finished model as artifacts and tags that later stages search for."""
        self.client.log_batch(self.run_id, tags=[RunTag(name, value) for name, value in tags.items()])
        self.client.log_artifacts(self.run_id, str(folder), "model")


def open_client() -> tuple[mlflow.MlflowClient, str]:
    """A client and the id of the experiment; the store is MLFLOW_TRACKING_URI, else SQLite at the root.

    Several processes that migrate a fresh SQLite store at once break it, so the first use holds a lock.
    """
    home = root()
    uri = os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{home / 'mlflow.db'}"
    try:
        with FileLock(home / "mlflow.db.lock"):
            client = mlflow.MlflowClient(uri)
            found = client.get_experiment_by_name(EXPERIMENT)
            location = None if os.environ.get("MLFLOW_TRACKING_URI") else (home / "mlruns").as_uri()
            return client, found.experiment_id if found else client.create_experiment(EXPERIMENT, location)
    except MlflowException as error:
        raise Fault(f"MLFLOW_TRACKING_URI: expected a usable MLflow store at {uri}, found {error.message}") from error


@contextmanager
def training_run(name: str, params: dict[str, Any], data_hash: str) -> Iterator[Tracker]:
    """A run that ends FINISHED, FAILED or, on Ctrl-C and SIGTERM, KILLED."""
    client, experiment = open_client()
    tags = {
        "mlflow.runName": name,
        "dvc.stage": os.environ.get("DVC_STAGE", ""),
        "dvc.experiment": os.environ.get("DVC_EXP_NAME", ""),
        "git.commit": git_commit(),
        "data.sha256": data_hash,
    }
    run = client.create_run(experiment, tags=tags)
    client.log_batch(run.info.run_id, params=[Param(key, str(value)) for key, value in flat(params).items()])
    status = RunStatus.KILLED
    try:
        yield Tracker(client, run.info.run_id)
        status = RunStatus.FINISHED
    except Exception:
        status = RunStatus.FAILED
        raise
    finally:
        client.set_terminated(run.info.run_id, RunStatus.to_string(status))


def log_test_metrics(weights_sha256: str, metrics: dict[str, float]) -> int:
    """Add test metrics to every run that made these weights; returns how many runs there are (0 after a cache hit)."""
    client, experiment = open_client()
    runs = client.search_runs([experiment], f"tags.`weights.sha256` = '{weights_sha256}'")
    for run in runs:
        client.log_batch(
            run.info.run_id, metrics=[Metric(f"test_{k}", v, run.info.start_time, 0) for k, v in metrics.items()]
        )
    return len(runs)


def flat(params: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested params as `section.key`."""
    out: dict[str, Any] = {}
    for key, value in params.items():
        out |= flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return out


def git_commit() -> str:
    """The commit that is checked out, with `+` when tracked files differ from it; blank outside git."""

    def git(*words: str) -> str:
        return subprocess.run(["git", *words], capture_output=True, text=True, check=False).stdout.strip()

    commit = git("rev-parse", "HEAD")
    return commit + ("+" if commit and git("status", "--porcelain", "--untracked-files=no") else "")
