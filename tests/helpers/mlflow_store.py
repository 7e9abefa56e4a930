"""A real MLflow server on a port of this machine, and a run with everything that a training says."""

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mlflow import MlflowClient
from mlflow.entities import Run

from stages.common.model.tracking import Tracker

TAGS = {"training": "t1"}


class MlflowServer:
    """It keeps its runs in SQLite and its artefacts in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.uri = f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        (self.folder / "server").mkdir(exist_ok=True)
        words = ["server", "--host", "127.0.0.1", "--port", str(self.port), "--workers", "1"]
        words += ["--backend-store-uri", "sqlite:///server.db", "--artifacts-destination", "./artifacts"]
        own = {name: value for name, value in os.environ.items() if name != "MLFLOW_TRACKING_URI"}
        own["MLFLOW_SERVER_ENABLE_JOB_EXECUTION"] = "false"  # eight more processes, none of them for runs
        with (self.folder / "server/log").open("w") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "mlflow", *words],
                cwd=self.folder / "server",
                stdout=log,
                stderr=log,
                env=own,
                start_new_session=True,
            )
        end = time.monotonic() + 90
        while not self.answers():
            assert time.monotonic() < end, (self.folder / "server/log").read_text()
            time.sleep(0.2)

    def answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.uri}/health", timeout=2) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def stop(self) -> None:
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


@contextmanager
def model_files() -> Iterator[Path]:
    """A model's folder, there while the block runs."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "weights").write_text("w")
        yield Path(folder)


def record_all(run: Tracker) -> None:
    """Everything that a training says."""
    run.log_params({"loop": {"epochs": 2}})
    run.log_data("data/dataset", "abc" * 20, {"train": 9})
    run.log({"epoch": 0, "train_loss": 0.5})
    run.log({"epoch": 1, "train_loss": 0.25})
    run.log_kept(1, 0.75)
    run.tag({"weights.sha256": "123"})
    run.log_files(model_files(), "model")


def check_all(client: MlflowClient, run: Run) -> None:
    """All of `record_all` is there, once."""
    assert run.info.status == "FINISHED"
    assert run.data.params == {"loop.epochs": "2"}
    metrics = {name: value for name, value in run.data.metrics.items() if not name.startswith(("system/", "test_"))}
    assert metrics == {"train_loss": 0.25, "kept_epoch": 1, "kept_validation_dice": 0.75}
    assert [m.value for m in client.get_metric_history(run.info.run_id, "train_loss")] == [0.5, 0.25]
    assert run.data.tags["training"] == "t1"
    assert [item.dataset.digest for item in run.inputs.dataset_inputs] == [("abc" * 20)[:36]]
    assert [f.path for f in client.list_artifacts(run.info.run_id, "model")] == ["model/weights"]
