"""MLflow as a mirror of what the stages write: one run per training, identified by its tags.

A server that cannot be reached never costs a training: the run goes to the local store, and from there to the server by

    MLFLOW_TRACKING_URI=http://... wrist send-run RUN_ID

Runs of DVC experiments stand below one parent run per sweep: that which SWEEP in the environment names, or else all
experiments on one commit.
"""

import json
import logging
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
# MLflow's own patience with a server is several minutes for each call, during which nothing is trained.
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "20")
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
import mlflow
from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param, Run, RunStatus, RunTag
from mlflow.exceptions import MlflowException
from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor

from stages.common.core.errors import UserError
from stages.common.core.git import git_commit

# Its database chatter is no news to a user; errors are raised.
logging.getLogger("mlflow").setLevel(logging.ERROR)
logging.getLogger("alembic").setLevel(logging.ERROR)

EXPERIMENT = "wrist-fracture"
BATCH = 1000  # metrics of one call, MLflow's limit
SAMPLING = 10  # seconds between two samples of processor, memory and GPU

Call = Callable[[mlflow.MlflowClient, str], object]


def root() -> Path:
    """The repository's root, also inside the temporary copy in which DVC runs a queued experiment."""
    return Path(os.environ.get("DVC_ROOT", ".")).resolve()


def local_uri() -> str:
    return f"sqlite:///{root() / 'mlflow.db'}"


def chosen_uri() -> str:
    """The store of the user's choice: MLFLOW_TRACKING_URI, else SQLite at the root."""
    return os.environ.get("MLFLOW_TRACKING_URI") or local_uri()


def open_client(uri: str = "") -> tuple[mlflow.MlflowClient, str]:
    """A client of a store, by default the chosen one, and the id of the experiment.

    Several processes that migrate a fresh SQLite store at once break it, so the first use holds a lock.

    Raises:
        UserError: the store cannot be used.
    """
    uri = uri or chosen_uri()
    try:
        with FileLock(root() / "mlflow.db.lock"):
            client = mlflow.MlflowClient(uri)
            experiment = client.get_experiment_by_name(EXPERIMENT)
            location = (root() / "mlruns").as_uri() if uri == local_uri() else None
            return client, experiment.experiment_id if experiment else client.create_experiment(EXPERIMENT, location)
    except MlflowException as error:
        reason = " ".join(error.message.split())[:300]
        raise UserError(f"MLFLOW_TRACKING_URI: expected a usable MLflow store at {uri}, found {reason}") from error


class Tracker:
    """The MLflow run of one training.

    MLflow has no second store and raises when a server falls silent. Calls are kept here, so that such a run is written
    again, from its beginning, to the local store. Where that fails too, training goes on without a record.
    """

    def __init__(self, tags: dict[str, str]) -> None:
        self.tags = tags
        self.calls: list[Call] = []
        self.run_id = ""
        self.uri = chosen_uri()
        try:
            self.start(self.uri)
        except UserError as fault:
            if not self.uri.startswith("http"):
                raise  # a misspelt address: to be fixed before hours of training, not after
            self.fall_back(fault)

    def start(self, uri: str) -> None:
        """Open a run in a store; an earlier one of the same training that was killed is closed."""
        self.client, experiment = open_client(uri)
        same = f"tags.training = '{self.tags['training']}' and attributes.status = 'RUNNING'"
        for run in self.client.search_runs([experiment], same):
            self.client.set_terminated(run.info.run_id, RunStatus.to_string(RunStatus.KILLED))
        tags = self.tags | parent_tag(self.client, experiment)
        self.run_id, self.uri = self.client.create_run(experiment, tags=tags).info.run_id, uri
        self.monitor: Any = monitor(self.run_id, uri)
        self.monitor.start()

    def do(self, call: Call) -> None:
        """Write to the run, here or where it can be written."""
        self.calls.append(call)
        if not self.run_id:
            return
        try:
            call(self.client, self.run_id)
        except Exception as error:  # stores fail in the ways of HTTP, SQL, S3 and disks, and none may end a training
            self.monitor.finish()
            self.fall_back(error)

    def fall_back(self, error: Exception) -> None:
        """From a server to the local store, from there to nowhere, and say so."""
        uri, reason = self.uri, " ".join(str(error).split())[:200]
        self.run_id = ""
        if uri == local_uri():
            print(f"mlflow: {uri} failed ({reason}); training goes on without a record", file=sys.stderr)
            return
        try:
            self.start(local_uri())
            for call in self.calls:
                call(self.client, self.run_id)
        except Exception as second:  # as above
            self.fall_back(second)
            return
        print(
            f"mlflow: {uri} cannot be reached ({reason}); the run is kept in {local_uri()}. Send it later with: "
            f"MLFLOW_TRACKING_URI={uri} wrist send-run {self.run_id}",
            file=sys.stderr,
        )

    def log_params(self, params: Mapping[str, object]) -> None:
        values = [Param(key, str(value)) for key, value in flat(params).items()]
        self.do(lambda client, run: client.log_batch(run, params=values))

    def log_data(self, name: str, digest: str, films: dict[str, int]) -> None:
        """The data set that training reads, by its hash and its path in the repository, and its number of films."""
        data = Dataset(name, digest[:36], "local", json.dumps({"uri": name}), profile=json.dumps(films))
        inputs = [DatasetInput(data, [InputTag("mlflow.data.context", "training")])]
        self.do(lambda client, run: client.log_inputs(run, inputs))

    def log(self, row: dict[str, float]) -> None:
        """The values of one epoch, whose number is `row["epoch"]`, in one call, since ten take ten times longer."""
        now, step = int(time.time() * 1000), int(row["epoch"])
        metrics = [Metric(name, float(value), now, step) for name, value in row.items() if name != "epoch"]
        self.do(lambda client, run: client.log_batch(run, metrics=metrics))

    def log_files(self, folder: Path, name: str) -> None:
        self.do(lambda client, run: client.log_artifacts(run, str(folder), name))

    def tag(self, tags: dict[str, str]) -> None:
        """Tags that later stages search for."""
        self.do(lambda client, run: client.log_batch(run, tags=[RunTag(key, value) for key, value in tags.items()]))

    def end(self, status: str) -> None:
        if self.run_id:
            self.monitor.finish()
        self.do(lambda client, run: client.set_terminated(run, status))


def parent_tag(client: mlflow.MlflowClient, experiment: str) -> dict[str, str]:
    """What puts a run below its sweep's, which whoever comes first makes; nothing outside experiments."""
    if "DVC_EXP_NAME" not in os.environ:
        return {}
    name = os.environ.get("SWEEP") or f"experiments on {os.environ.get('DVC_EXP_BASELINE_REV', '')[:7]}"
    with FileLock(root() / "mlflow.db.lock"):
        parents = client.search_runs([experiment], f"tags.sweep = '{name}'")
        parent = parents[0] if parents else client.create_run(experiment, tags={"mlflow.runName": name, "sweep": name})
        if not parents:  # it only holds others: it has nothing to wait for
            client.set_terminated(parent.info.run_id)
    return {"mlflow.parentRunId": parent.info.run_id}


@contextmanager
def training_run(name: str, tags: dict[str, str]) -> Iterator[Tracker]:
    """A run that ends FINISHED, FAILED or, on Ctrl-C and SIGTERM, KILLED."""
    from_dvc = {"dvc.stage": "DVC_STAGE", "dvc.experiment": "DVC_EXP_NAME", "dvc.baseline": "DVC_EXP_BASELINE_REV"}
    title = f"{os.environ.get('DVC_EXP_NAME', '')} {name}".strip()
    code_tags = {"mlflow.runName": title, "git.commit": git_commit()}
    tracker = Tracker(code_tags | {tag: os.environ.get(variable, "") for tag, variable in from_dvc.items()} | tags)
    status = RunStatus.KILLED
    try:
        yield tracker
        status = RunStatus.FINISHED
    except Exception:
        status = RunStatus.FAILED
        raise
    finally:
        tracker.end(RunStatus.to_string(status))


def log_test_metrics(weights_sha256: str, metrics: dict[str, float]) -> int:
    """Add test metrics to every run that made these weights; returns how many runs there are (0 after a cache hit).

    Looks in the chosen store and in the local one, where runs lie whose server was down.
    """
    runs = 0
    for uri in sorted({chosen_uri(), local_uri()}):
        try:
            client, experiment = open_client(uri)
            for run in client.search_runs([experiment], f"tags.`weights.sha256` = '{weights_sha256}'"):
                values = [Metric(f"test_{name}", value, run.info.start_time, 0) for name, value in metrics.items()]
                client.log_batch(run.info.run_id, metrics=values)
                runs += 1
        except (UserError, MlflowException) as error:
            if not uri.startswith("http"):
                raise
            print(f"mlflow: {uri} cannot be reached; the test metrics are in metrics.json: {error}", file=sys.stderr)
    return runs


def send(run_id: str) -> str:
    """Copy a run from the local store to the one that MLFLOW_TRACKING_URI names; returns its id there.

    Raises:
        UserError: no server is named, or there is no such run.
    """
    if chosen_uri() == local_uri():
        raise UserError("MLFLOW_TRACKING_URI: expected the address of a server to send to, found none; set it")
    source, _ = open_client(local_uri())
    try:
        run = source.get_run(run_id)
    except MlflowException:
        raise UserError(
            f"{run_id}: expected the id of a run in {local_uri()}, found none; see `mlflow runs list`"
        ) from None
    target, experiment = open_client()
    tags = {key: value for key, value in run.data.tags.items() if key == "mlflow.runName" or key[:7] != "mlflow."}
    new = target.create_run(experiment, run.info.start_time, tags).info.run_id
    target.log_batch(new, params=[Param(key, value) for key, value in run.data.params.items()])
    metrics = history(source, run)
    for start in range(0, len(metrics), BATCH):
        target.log_batch(new, metrics=metrics[start : start + BATCH])
    target.log_inputs(new, run.inputs.dataset_inputs if run.inputs else [])
    with tempfile.TemporaryDirectory() as folder:
        for item in source.list_artifacts(run_id):
            source.download_artifacts(run_id, item.path, folder)
        target.log_artifacts(new, folder)
    target.set_terminated(new, run.info.status, run.info.end_time)
    return str(new)


def monitor(run_id: str, uri: str) -> Any:
    """A thread that adds processor, memory and GPU use to a run."""
    return SystemMetricsMonitor(run_id, sampling_interval=SAMPLING, tracking_uri=uri)  # type: ignore[no-untyped-call]


def history(client: mlflow.MlflowClient, run: Run) -> list[Metric]:
    """Every value of every metric of a run."""
    names = sorted(run.data.metrics)
    return [metric for name in names for metric in client.get_metric_history(run.info.run_id, name)]


def flat(params: Mapping[str, object], prefix: str = "") -> dict[str, object]:
    """Nested params as `section.key`."""
    out: dict[str, object] = {}
    for key, value in params.items():
        out |= flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return out
