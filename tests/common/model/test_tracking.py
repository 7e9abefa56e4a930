import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.entities import Run

from stages.common.core.errors import UserError
from stages.common.model.tracking import Tracker, flat, local_uri, log_test_metrics, open_client, send, training_run
from tests.helpers.paths import ROOT

TAGS = {"training": "t1"}


def record(run: Tracker, folder: Path) -> None:
    """Everything that a training says."""
    run.log_params({"loop": {"epochs": 2}})
    run.log_data("data/dataset", "abc" * 20, {"train": 9})
    run.log({"epoch": 0, "train_loss": 0.5})
    run.log({"epoch": 1, "train_loss": 0.25})
    run.tag({"weights.sha256": "123"})
    run.log_files(folder, "model")


def check(client: MlflowClient, run: Run) -> None:
    """All of `record` is there."""
    assert run.info.status == "FINISHED"
    assert run.data.params == {"loop.epochs": "2"}
    assert run.data.metrics["train_loss"] == 0.25
    assert [m.value for m in client.get_metric_history(run.info.run_id, "train_loss")] == [0.5, 0.25]
    assert run.data.tags["training"] == "t1"
    assert run.inputs.dataset_inputs[0].dataset.digest == ("abc" * 20)[:36]
    assert [f.path for f in client.list_artifacts(run.info.run_id, "model")] == ["model/weights"]


@pytest.fixture
def model(here: Path) -> Path:
    (here / "model").mkdir()
    (here / "model/weights").write_text("w")
    return here / "model"


def test_a_run_holds_params_metrics_tags_and_files(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DVC_STAGE", "train@adaptive")
    monkeypatch.setenv("DVC_EXP_NAME", "bold-wrist")
    with training_run("adaptive", TAGS) as run:
        record(run, model)
    assert log_test_metrics("123", {"f1": 0.75}) == 1
    assert log_test_metrics("other", {"f1": 0.75}) == 0
    client, experiment = open_client()
    (training,) = client.search_runs([experiment], "tags.training = 't1'")  # beside it is the run of its sweep
    check(client, training)
    assert training.data.metrics["test_f1"] == 0.75
    assert training.data.tags["dvc.stage"] == "train@adaptive"
    assert training.data.tags["dvc.experiment"] == "bold-wrist"
    assert Path("mlflow.db").exists()


@pytest.mark.parametrize(("error", "status"), [(RuntimeError, "FAILED"), (KeyboardInterrupt, "KILLED")])
def test_a_run_that_ends_badly_says_so(error: type[BaseException], status: str, here: Path) -> None:
    with pytest.raises(error, match="the end"), training_run("x", TAGS):
        raise error("the end")
    client, experiment = open_client()
    assert [run.info.status for run in client.search_runs([experiment])] == [status]


def test_a_run_whose_process_was_killed_is_closed_by_the_next_of_the_same_training(here: Path) -> None:
    Tracker(TAGS).monitor.finish()  # and never ended
    other = Tracker({"training": "t2"})
    with training_run("x", TAGS):
        pass
    client, experiment = open_client()
    statuses = {run.info.run_id: run.info.status for run in client.search_runs([experiment])}
    assert sorted(statuses.values()) == ["FINISHED", "KILLED", "RUNNING"]
    assert statuses[other.run_id] == "RUNNING"
    other.end("FINISHED")


class Server:
    """A real MLflow server on a port of this machine."""

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
        with (self.folder / "server/log").open("w") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "mlflow", *words],
                cwd=self.folder / "server",
                stdout=log,
                stderr=log,
                env={name: value for name, value in os.environ.items() if name != "MLFLOW_TRACKING_URI"},
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


@pytest.fixture
def server(here: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    started = Server(here)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", started.uri)
    started.start()
    yield started
    if started.process.poll() is None:
        started.stop()


@pytest.mark.slow
def test_a_server_gets_runs_and_one_that_dies_midway_gets_the_run_later(
    server: Server, model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    check_a_run(model)
    with training_run("adaptive", TAGS) as run:
        run.log_params({"loop": {"epochs": 2}})
        run.log_data("data/dataset", "abc" * 20, {"train": 9})
        run.log({"epoch": 0, "train_loss": 0.5})
        server.stop()
        run.log({"epoch": 1, "train_loss": 0.25})
        run.tag({"weights.sha256": "123"})
        run.log_files(model, "model")
    assert log_test_metrics("123", {"f1": 0.75}) == 1
    output = capsys.readouterr().err
    assert f"mlflow: {server.uri} cannot be reached" in output
    assert f"MLFLOW_TRACKING_URI={server.uri} wrist send-run {run.run_id}" in output
    local, experiment = open_client(local_uri())
    (kept,) = local.search_runs([experiment])
    check(local, kept)
    assert kept.data.metrics["test_f1"] == 0.75

    server.start()
    sent = send(run.run_id)
    remote, experiment = open_client()
    copy = remote.get_run(sent)
    check(remote, copy)
    assert copy.data.metrics["test_f1"] == 0.75
    assert (copy.info.start_time, copy.info.end_time) == (kept.info.start_time, kept.info.end_time)
    assert copy.data.tags["mlflow.runName"] == "adaptive"


def check_a_run(model: Path) -> None:
    """While the server answers, it gets the run and its test metrics."""
    with training_run("adaptive", TAGS) as run:
        record(run, model)
    assert log_test_metrics("123", {"f1": 0.75}) == 1
    client, _ = open_client()
    check(client, client.get_run(run.run_id))
    assert client.get_run(run.run_id).data.metrics["test_f1"] == 0.75


def test_a_server_that_was_never_there_costs_nothing(
    model: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    with training_run("adaptive", TAGS) as run:
        record(run, model)
    assert "the run is kept in sqlite:///" in capsys.readouterr().err
    client, experiment = open_client(local_uri())
    (training,) = client.search_runs([experiment])
    check(client, training)


def test_a_store_that_breaks_midway_ends_no_training(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with training_run("adaptive", TAGS) as run:
        run.log({"epoch": 0, "train_loss": 0.5})
        Path("mlflow.db").write_bytes(b"no database" * 1000)
        record(run, model)
    assert capsys.readouterr().err.count("training goes on without a record") == 1


def test_sending_asks_for_a_server_and_a_run(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match="expected the address of a server to send to"):
        send("x")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    with pytest.raises(UserError, match="x: expected the id of a run in sqlite"):
        send("x")


def test_the_store_lies_at_the_dvc_root(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (here / "root").mkdir()
    monkeypatch.setenv("DVC_ROOT", str(here / "root"))
    open_client()
    assert (here / "root/mlflow.db").exists()
    assert not (here / "mlflow.db").exists()


def test_an_unusable_store_is_one_sentence(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "nonsense://x")
    with pytest.raises(UserError, match="MLFLOW_TRACKING_URI"):
        open_client()


@pytest.mark.slow
def test_four_processes_may_open_a_fresh_store_at_once(tmp_path: Path) -> None:
    script = (
        f"import sys; sys.path.insert(0, {str(ROOT)!r})\n"
        "from stages.common.model.tracking import open_client\nopen_client()"
    )
    started = [
        subprocess.Popen([sys.executable, "-c", script], cwd=tmp_path, stderr=subprocess.PIPE, text=True)
        for _ in range(4)
    ]
    ends = [(process.communicate()[1], process.returncode) for process in started]
    assert [code for _, code in ends] == [0] * 4, ends


def test_runs_of_experiments_stand_below_one_run_per_sweep(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, sweep in (("grid-1", "grid"), ("grid-2", "grid"), ("puffy-daks", "")):
        monkeypatch.setenv("DVC_EXP_NAME", name)
        monkeypatch.setenv("DVC_EXP_BASELINE_REV", "57059c4aaaa")
        monkeypatch.setenv("SWEEP", sweep)
        with training_run("adaptive-1-1", {"training": name}):
            pass
    monkeypatch.delenv("DVC_EXP_NAME")
    with training_run("adaptive-1-1", TAGS):
        pass
    client, experiment = open_client()
    runs = {run.info.run_name: run for run in client.search_runs([experiment])}
    below = {name: run.data.tags.get("mlflow.parentRunId", "") for name, run in runs.items()}
    assert below == {
        "grid": "",
        "experiments on 57059c4": "",
        "grid-1 adaptive-1-1": runs["grid"].info.run_id,
        "grid-2 adaptive-1-1": runs["grid"].info.run_id,
        "puffy-daks adaptive-1-1": runs["experiments on 57059c4"].info.run_id,
        "adaptive-1-1": "",
    }
    assert {run.info.status for run in runs.values()} == {"FINISHED"}


def test_nested_params_become_dotted() -> None:
    assert flat({"a": {"b": 1, "c": {"d": 2}}, "e": [3]}) == {"a.b": 1, "a.c.d": 2, "e": [3]}
