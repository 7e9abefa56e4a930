"""MLflow as a mirror of what the stages write: one run per training, identified by its tags.

A store that fails never costs a training: the run goes to the local store, and from there to the server by

    MLFLOW_TRACKING_URI=http://... wrist send-run RUN_ID

A training that is stopped and resumed from its checkpoint stays one run. Its tag `record` is the same in every store,
so that nothing is sent twice. Runs of DVC experiments stand below one parent run per sweep: that which SWEEP in the
environment or the experiment's own name says, or else all experiments on one commit.
"""

import json
import logging
import os
import re
import socket
import sqlite3
import sys
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager, suppress
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
from stages.common.core.process import has_ended, process_name
from stages.common.data.layout import REPORTS
from stages.common.data.run_id import REPRO

# Its database chatter is no news to a user; errors are raised.
logging.getLogger("mlflow").setLevel(logging.ERROR)
logging.getLogger("alembic").setLevel(logging.ERROR)

EXPERIMENT = "wrist-fracture"
HOST, PROCESS = "host", "process"  # the tags of a run that name its machine, and what trains there
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


class UnusableStore(UserError):
    """No MLflow store can be opened at an address."""


def is_mistake(uri: str) -> bool:
    """Whether an address at which no store can be opened is to blame: a server may be down, a named file may not."""
    return not uri.startswith("http") and uri != local_uri()


def shown(text: str) -> str:
    """An address, or a sentence with some, without user, password and options: each may hold a secret.

    A password may hold / and @, so that all up to the last @ goes.
    """
    return re.sub(r"(://)(?:\S*@)?([^\s?]*)(?:\?\S*)?", r"\1\2", text)


def describe(error: Exception) -> str:
    """What a store says, on one line and cut to 200 characters."""
    return shown(" ".join(str(error).split()))[:200] or "no reason given"


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
            if experiment is None:
                return client, client.create_experiment(EXPERIMENT, location)
            if location and experiment.artifact_location != location:
                move_artifacts(experiment.artifact_location, location)
    except MlflowException as error:
        raise UnusableStore(
            f"MLFLOW_TRACKING_URI: expected a usable MLflow store at {shown(uri)}, found {describe(error)}"
        ) from error
    if experiment.lifecycle_stage == "deleted":
        restore = f"`mlflow experiments restore --experiment-id {experiment.experiment_id}`"
        raise UserError(f"the experiment {EXPERIMENT} of {shown(uri)} is deleted; restore it with {restore}")
    return client, experiment.experiment_id


def move_artifacts(old: str, new: str) -> None:
    """Let a store that was copied or moved with its project find its artifacts beside itself.

    MLflow keeps the absolute address of every artifact and has no command that changes one: without this, the copy of a
    project writes into the folder of the original.

    Args:
        old, new: addresses of the artifact folder, file:///...
    """
    with closing(sqlite3.connect(root() / "mlflow.db")) as store, store:
        for table, column in (("experiments", "artifact_location"), ("runs", "artifact_uri")):
            store.execute(
                f"UPDATE {table} SET {column} = ? || substr({column}, ?) WHERE substr({column} || '/', 1, ?) = ?",
                (new, len(old) + 1, len(old) + 1, f"{old}/"),
            )


class Tracker:
    """The MLflow run of one training.

    MLflow has no second store and raises when a server falls silent. Calls are kept here, so that such a run is written
    again, from its beginning, to the local store. Where that fails too, training goes on without a record.
    """

    def __init__(self, tags: dict[str, str], resumes: bool = False) -> None:
        """Open the run in the chosen store.

        Args:
            tags: of the run; `training` is the same in every call for one training.
            resumes: whether the training goes on from a checkpoint, and the run with it.
        """
        self.tags = {"record": uuid.uuid4().hex} | tags
        self.resumes = resumes
        self.calls: list[Call] = []
        self.files = ExitStack()  # temporary files that a call needs, until the run ends
        self.run_id = ""
        self.uri = chosen_uri()
        try:
            self.start(self.uri)
        except UnusableStore as error:
            if is_mistake(self.uri):
                raise  # to be fixed before hours of training, not after
            self.fall_back(error)
        except Exception as error:  # stores fail in the ways of HTTP, SQL, S3 and disks, and none may end a training
            self.fall_back(error)

    def start(self, uri: str) -> None:
        """Take up the run of a training that resumes, or open a new one; others of it that were killed are closed.

        A process of this machine may train the same at this moment, from another clone of the project.
        """
        self.client, experiment = open_client(uri)
        same = f"tags.training = '{self.tags['training']}' and attributes.status != 'FINISHED'"
        earlier = [run for run in self.client.search_runs([experiment], same) if not trains(run)]  # the newest first
        taken_up = earlier[0] if self.resumes and earlier else None
        for run in earlier:
            if run.info.status == "RUNNING" and run is not taken_up:
                self.client.set_terminated(run.info.run_id, RunStatus.to_string(RunStatus.KILLED))
        tags = self.tags | parent_tag(self.client, experiment)
        if taken_up is None:
            run_id = self.client.create_run(experiment, tags=tags).info.run_id
        else:
            run_id = taken_up.info.run_id
            self.tags["record"] = tags["record"] = taken_up.data.tags.get("record", run_id)
            self.client.log_batch(run_id, tags=[RunTag(key, value) for key, value in tags.items()])
            self.client.update_run(run_id, RunStatus.to_string(RunStatus.RUNNING))
        self.logged = {metric.step for metric in self.client.get_metric_history(run_id, "train_loss")}
        self.run_id, self.uri = run_id, uri
        self.monitor: Any = monitor(self.run_id, uri)
        self.monitor.start()

    def do(self, call: Call) -> None:
        """Write to the run, here or where it can be written."""
        self.calls.append(call)
        if not self.run_id:
            return
        try:
            call(self.client, self.run_id)
        except Exception as error:  # as above
            self.monitor.finish()
            with suppress(Exception):  # a server that answers again by now should not call the run running for ever
                self.client.set_terminated(self.run_id, RunStatus.to_string(RunStatus.FAILED))
            self.fall_back(error)

    def fall_back(self, error: Exception) -> None:
        """From a server to the local store, from there to nowhere, and say so."""
        uri, self.run_id = self.uri, ""
        if uri == local_uri():
            print(f"mlflow: {uri} failed ({describe(error)}); training goes on without a record", file=sys.stderr)
            return
        self.uri = local_uri()
        try:
            self.start(self.uri)
            for call in self.calls:
                call(self.client, self.run_id)
        except Exception as second:  # as above
            self.fall_back(second)
            return
        print(
            f"mlflow: {shown(uri)} failed ({describe(error)}); the run is kept in {local_uri()}. Send it later with: "
            f"MLFLOW_TRACKING_URI={shown(uri)} wrist send-run {self.run_id}",
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
        """The values of one epoch, whose number is `row["epoch"]`, in one call, since ten take ten times longer.

        An epoch that the run has already, from before the training was stopped, is not written twice.
        """
        now, step = int(time.time() * 1000), int(row["epoch"])
        metrics = [Metric(name, float(value), now, step) for name, value in row.items() if name != "epoch"]
        self.do(lambda client, run: None if step in self.logged else client.log_batch(run, metrics=metrics))

    def log_kept(self, epoch: int, dice: float) -> None:
        """The epoch whose weights are kept, and their Dice on the validation films."""
        now = int(time.time() * 1000)
        metrics = [Metric("kept_epoch", epoch, now, 0), Metric("kept_validation_dice", dice, now, 0)]
        self.do(lambda client, run: client.log_batch(run, metrics=metrics))

    def log_files(self, folder: AbstractContextManager[Path], name: str) -> None:
        """A folder that is there until the run ends: a later failure of the store writes it again, elsewhere."""
        path = str(self.files.enter_context(folder))
        self.do(lambda client, run: client.log_artifacts(run, path, name))

    def tag(self, tags: dict[str, str]) -> None:
        """Tags that later stages search for."""
        self.do(lambda client, run: client.log_batch(run, tags=[RunTag(key, value) for key, value in tags.items()]))

    def end(self, status: str) -> None:
        with self.files:
            if self.run_id:
                self.monitor.finish()
            self.do(lambda client, run: client.set_terminated(run, status))


def trains(run: Run) -> bool | None:
    """Whether the process of a run is alive, by MLflow and this machine; None where only another machine knows."""
    if run.info.status != "RUNNING":
        return False
    if run.data.tags.get(HOST) != socket.gethostname() or not (process := run.data.tags.get(PROCESS)):
        return None
    ended = has_ended(process)
    return None if ended is None else not ended


def parent_tag(client: mlflow.MlflowClient, experiment: str) -> dict[str, str]:
    """What puts a run below its sweep's; nothing outside experiments."""
    if "DVC_EXP_NAME" not in os.environ:
        return {}
    return {"mlflow.parentRunId": sweep_run(client, experiment, sweep_name())}


def sweep_name() -> str:
    """The sweep that a DVC experiment belongs to: SWEEP, or NAME of one that DVC's queue called NAME-number."""
    numbered = re.fullmatch(r"(.+)-\d+", os.environ["DVC_EXP_NAME"])
    of_commit = f"experiments on {os.environ.get('DVC_EXP_BASELINE_REV', '')[:7]}"
    return os.environ.get("SWEEP") or (numbered[1] if numbered else of_commit)


def sweep_run(client: mlflow.MlflowClient, experiment: str, name: str) -> str:
    """The id of a sweep's own run, which whoever comes first makes.

    Of several machines that make one at the same moment all take the oldest, and each deletes its own other one.
    """
    with FileLock(root() / "mlflow.db.lock"):
        if known := sweep_runs(client, experiment, name):
            return known[0]
        parent = client.create_run(experiment, tags={"mlflow.runName": name, "sweep": name}).info.run_id
        client.set_terminated(parent)  # it only holds others: it has nothing to wait for
        first = sweep_runs(client, experiment, name)[0]
        if first != parent:
            client.delete_run(parent)
        return first


def sweep_runs(client: mlflow.MlflowClient, experiment: str, name: str) -> list[str]:
    """The ids of the runs that stand for a sweep, the oldest first."""
    # Compared here: MLflow's filters cannot quote every name.
    runs = client.search_runs([experiment], "tags.sweep != ''", max_results=50_000)
    same = [run.info for run in runs if run.data.tags["sweep"] == name]
    return [str(info.run_id) for info in sorted(same, key=lambda info: (info.start_time, info.run_id))]


@contextmanager
def training_run(name: str, tags: dict[str, str], resumes: bool = False) -> Iterator[Tracker]:
    """A run that ends FINISHED, FAILED or, on Ctrl-C and SIGTERM, KILLED; arguments as for Tracker."""
    from_dvc = {"dvc.stage": "DVC_STAGE", "dvc.experiment": "DVC_EXP_NAME", "dvc.baseline": "DVC_EXP_BASELINE_REV"}
    title = f"{os.environ.get('DVC_EXP_NAME', '')} {name}".strip()
    code_tags = {"mlflow.runName": title, "git.commit": git_commit()}
    code_tags |= {HOST: socket.gethostname(), PROCESS: process_name(os.getpid())}
    dvc_tags = {tag: os.environ.get(variable, "") for tag, variable in from_dvc.items()}
    tracker = Tracker(code_tags | dvc_tags | tags, resumes)
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
    """Add test metrics to every run that made these weights; returns how many runs there are (0 after a cache hit)."""

    def log(client: mlflow.MlflowClient, run: Run) -> None:
        values = [Metric(f"test_{name}", value, run.info.start_time, 0) for name, value in metrics.items()]
        client.log_batch(run.info.run_id, metrics=values)

    return on_runs([weights_sha256], log, f"the test metrics are in metrics.json only; {how_to_log_again('evaluate')}")


def log_report(weights_sha256: Iterable[str], files: Iterable[Path]) -> int:
    """Add files of the report to every run that made one of these weights; returns how many runs there are.

    Args:
        weights_sha256: of each network that is compared.
        files: tables and pictures; those of an earlier report are replaced.
    """
    paths = [str(file) for file in files]

    def log(client: mlflow.MlflowClient, run: Run) -> None:
        for path in paths:
            client.log_artifact(run.info.run_id, path, REPORTS.name)  # whose pictures a withdrawal removes

    return on_runs(weights_sha256, log, f"its runs lack the report; {how_to_log_again('report')}")


def how_to_log_again(stage: str) -> str:
    """How a user has a stage written to MLflow again, whose files a DVC experiment alone may have."""
    command = f"`dvc repro --force --single-item {stage}`"
    name = os.environ.get("DVC_EXP_NAME")
    apply = f"`dvc exp apply {name}`, then " if name and os.environ.get("SWEEP") != REPRO else ""
    return f"to write them to MLflow: {apply}{command}"


def on_runs(weights_sha256: Iterable[str], work: Callable[[mlflow.MlflowClient, Run], None], consequence: str) -> int:
    """Do something with every run that made some weights; returns how many runs there are.

    Looks in the chosen store and in the local one, where runs lie whose server was down. A store that fails costs a
    sentence.

    Args:
        weights_sha256: of each network.
        work: what is done with a run.
        consequence: of a failure, the end of that sentence.
    """
    runs, digests = 0, list(weights_sha256)
    for uri in sorted({chosen_uri(), local_uri()}):
        if uri == local_uri() and not (root() / "mlflow.db").exists():  # a fresh clone: no training ran here
            continue
        try:
            client, experiment = open_client(uri)
            for digest in digests:
                for run in client.search_runs([experiment], f"tags.`weights.sha256` = '{digest}'"):
                    work(client, run)
                    runs += 1
        except Exception as error:  # as for Tracker
            print(f"mlflow: {shown(uri)} failed ({describe(error)}); {consequence}", file=sys.stderr)
    return runs


def monitor(run_id: str, uri: str) -> Any:
    """A thread that adds processor, memory and GPU use to a run."""
    return SystemMetricsMonitor(run_id, sampling_interval=SAMPLING, tracking_uri=uri)  # type: ignore[no-untyped-call]


def flat(params: Mapping[str, object], prefix: str = "") -> dict[str, object]:
    """Nested params as `section.key`."""
    out: dict[str, object] = {}
    for key, value in params.items():
        out |= flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return out
