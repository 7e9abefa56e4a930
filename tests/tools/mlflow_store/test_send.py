"""Runs that a server did not get, sent to it: a real MLflow server that dies, or whose artefact store fails."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from stages.common.core.errors import UserError
from stages.common.model.tracking import local_uri, log_test_metrics, open_client, training_run
from tests.helpers.mlflow_store import TAGS, MlflowServer, check_all, model_files, record_all
from tools.mlflow_store.register import register
from tools.mlflow_store.send import send
from tools.mlflow_store.summarise import summarise


@pytest.fixture
def server(here: Path, mlflow_store: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[MlflowServer]:
    # As users have it, without the wait: a kept connection to a server that was restarted is reset once.
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR", "0")
    shutil.copy(mlflow_store, here)
    started = MlflowServer(here)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", started.uri)
    started.start()
    yield started
    if started.process.poll() is None:
        started.stop()


@pytest.mark.parametrize("alias", ["", "a b", "v7", "Latest", "a/b"])
def test_an_alias_that_mlflow_refuses_is_refused_in_our_words(alias: str) -> None:
    with pytest.raises(UserError, match=r"^--alias .*: expected letters, digits"):
        register("0", "adaptive", alias)


@pytest.mark.slow
def test_a_server_gets_runs_and_one_that_dies_midway_gets_the_run_later(
    server: MlflowServer, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    check_a_run()
    check_a_broken_artefact_store(server, capsys, monkeypatch)
    with training_run("adaptive", TAGS) as run:
        begun = run.run_id
        run.log_params({"loop": {"epochs": 2}})
        run.log_data("data/dataset", "abc" * 20, {"train": 9})
        run.log({"epoch": 0, "train_loss": 0.5})
        run.log_files(model_files(), "model")
        server.stop()
        run.log({"epoch": 1, "train_loss": 0.25})
        run.log_kept(1, 0.75)
        run.tag({"weights.sha256": "123"})
    assert log_test_metrics("123", {"f1": 0.75}) == 2  # here: this run and the one of the broken artefact store
    output = capsys.readouterr().err
    assert f"mlflow: {server.uri} failed" in output
    assert f"MLFLOW_TRACKING_URI={server.uri} wrist send-run {run.run_id}" in output
    local, _ = open_client(local_uri())
    kept = local.get_run(run.run_id)
    check_all(local, kept)
    assert kept.data.metrics["test_f1"] == 0.75

    with pytest.raises(UserError, match="expected a usable MLflow store"):
        send(run.run_id)
    server.start()
    remote, experiment = open_client()
    assert remote.get_run(begun).info.status == "RUNNING"  # nobody could tell it
    assert send(run.run_id) == send(run.run_id) == begun
    copy = remote.get_run(begun)
    check_all(remote, copy)
    assert copy.data.metrics["test_f1"] == 0.75
    assert copy.info.end_time == kept.info.end_time
    assert copy.data.tags["mlflow.runName"] == "adaptive"
    named = f"tags.record = '{copy.data.tags['record']}'"
    assert len(remote.search_runs([experiment], named)) == 1


def check_a_run() -> None:
    """While the server answers, it gets the run and its test metrics."""
    with training_run("adaptive", TAGS) as run:
        record_all(run)
    assert log_test_metrics("123", {"f1": 0.75}) == 1
    client, _ = open_client()
    check_all(client, client.get_run(run.run_id))
    assert client.get_run(run.run_id).data.metrics["test_f1"] == 0.75


def check_a_broken_artefact_store(
    server: MlflowServer, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run goes on here and ends there; once the store is mended, the server's own run is completed."""
    artefacts = server.folder / "server/artifacts"
    artefacts.rename(server.folder / "moved")
    artefacts.write_text("a file where the folder was")
    with monkeypatch.context() as patch:
        patch.setenv("DVC_EXP_NAME", "one")
        patch.setenv("SWEEP", "grid")
        with training_run("adaptive", {"training": "t1"}) as run:
            begun = run.run_id
            record_all(run)
    assert f"mlflow: {server.uri} failed" in capsys.readouterr().err
    remote, experiment = open_client()
    assert remote.get_run(begun).info.status == "FAILED"
    local, _ = open_client(local_uri())
    check_all(local, local.get_run(run.run_id))
    with pytest.raises(UserError, match=f"does not take run {run.run_id}"):
        send(run.run_id)
    artefacts.unlink()
    (server.folder / "moved").rename(artefacts)
    with monkeypatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI")
        summarise("grid", {"grid-1": 0.5, "grid-2": 0.25})
    assert send(run.run_id) == begun
    check_all(remote, remote.get_run(begun))
    (sweep,) = remote.search_runs([experiment], "tags.sweep = 'grid'")
    assert sweep.data.metrics == {"experiments": 2, "best_validation_dice": 0.5}
    assert sweep.data.tags["best_experiment"] == "grid-1"
    assert remote.get_run(begun).data.tags["mlflow.parentRunId"] == sweep.info.run_id


def test_sending_asks_for_a_server_and_a_run(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match="expected the address of a server to send to"):
        send("x")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    with pytest.raises(
        UserError, match=r"x: expected the id of a run in sqlite.*; see `mlflow ui --backend-store-uri sqlite"
    ):
        send("x")


def test_a_store_that_takes_no_summary_costs_a_sentence(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR", "0")
    summarise("grid", {"grid-1": 0.5})
    said = capsys.readouterr().err
    assert "its run lacks the summary, which `wrist sweep report grid` writes" in said
