import http.server
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any, ClassVar

import pytest

from stages.common.core.errors import UserError
from stages.common.core.process import process_name
from stages.common.model.tracking import (
    HOST,
    PROCESS,
    Tracker,
    flat,
    how_to_log_again,
    local_uri,
    log_report,
    log_test_metrics,
    open_client,
    shown,
    sweep_run,
    training_run,
)
from tests.helpers.mlflow_store import TAGS, check_all, model_files, record_all
from tests.helpers.paths import ROOT
from tests.helpers.servers import answering
from tools.doctor.services import tracking


@pytest.fixture
def here(here: Path, mlflow_store: Path) -> Path:
    """An empty folder as the current one, with an empty store, whose making takes two seconds."""
    shutil.copy(mlflow_store, here)
    return here


def test_a_run_holds_params_metrics_tags_and_files(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DVC_STAGE", "train@adaptive")
    monkeypatch.setenv("DVC_EXP_NAME", "bold-wrist")
    with training_run("adaptive", TAGS) as run:
        record_all(run)
    assert log_test_metrics("123", {"f1": 0.75}) == 1
    assert log_test_metrics("other", {"f1": 0.75}) == 0
    for words in ("first", "second"):
        Path("comparison.md").write_text(words)
        assert log_report(["123", "other"], [Path("comparison.md")]) == 1
    client, experiment = open_client()
    (training,) = client.search_runs([experiment], "tags.training = 't1'")  # beside it is the run of its sweep
    check_all(client, training)
    assert training.data.metrics["test_f1"] == 0.75
    assert Path(client.download_artifacts(training.info.run_id, "reports/comparison.md")).read_text() == "second"
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
    alive = process_name(os.getpid())
    dead = alive.replace(" ", "0 ", 1)  # a number beyond all
    killed = Tracker(TAGS | {HOST: socket.gethostname(), PROCESS: dead})
    living = Tracker(TAGS | {HOST: socket.gethostname(), PROCESS: alive})  # in another clone
    other = Tracker({"training": "t2"})
    with training_run("x", TAGS, resumes=True) as resumed:
        pass
    client, experiment = open_client()
    statuses = {run.info.run_id: run.info.status for run in client.search_runs([experiment])}
    assert statuses[living.run_id] == statuses[other.run_id] == "RUNNING"
    assert resumed.run_id == killed.run_id
    for run in (killed, living, other):
        run.end("FINISHED")


@pytest.mark.parametrize(
    ("address", "bare"),
    [
        ("postgresql://me:a/b@host:5/studies", "postgresql://host:5/studies"),
        ("https://me:p@ss/w?rd@host/path", "https://host/path"),
        ("https://token@host", "https://host"),
        ("postgresql://host/db?user=me&password=secret", "postgresql://host/db"),
        ("http://host:5000", "http://host:5000"),
        ("sqlite:////tmp/a b/mlflow.db", "sqlite:////tmp/a b/mlflow.db"),
    ],
)
def test_an_address_is_shown_without_secrets(address: str, bare: str) -> None:
    assert shown(address) == bare
    assert shown(f"{address} and {address} fail for me@example.org") == f"{bare} and {bare} fail for me@example.org"


def test_a_server_that_was_never_there_costs_nothing(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://user:secret@127.0.0.1:9")
    with training_run("adaptive", TAGS) as run:
        record_all(run)
    output = capsys.readouterr().err
    assert "mlflow: http://127.0.0.1:9 failed" in output
    assert "the run is kept in sqlite:///" in output
    assert "secret" not in output
    client, experiment = open_client(local_uri())
    (training,) = client.search_runs([experiment])
    check_all(client, training)


def test_a_store_that_breaks_midway_ends_no_training(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with training_run("adaptive", TAGS) as run:
        run.log({"epoch": 0, "train_loss": 0.5})
        Path("mlflow.db").write_bytes(b"no database" * 1000)
        record_all(run)
    assert capsys.readouterr().err.count("training goes on without a record") == 1


def test_the_store_lies_at_the_dvc_root(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (here / "root").mkdir()
    monkeypatch.setenv("DVC_ROOT", str(here / "root"))
    open_client()
    assert (here / "root/mlflow.db").exists()
    assert not (here / "mlflow.db.lock").exists()


def test_a_copied_project_keeps_its_artifacts_to_itself(
    here: Path, mlflow_store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Spaces and umlauts are quoted in the addresses; `100%_` would be a pattern of SQL."""
    original, copied = here / "100%_", here / "a ü b"
    original.mkdir()
    shutil.copy(mlflow_store, original)
    for folder in (original, copied):
        monkeypatch.setenv("DVC_ROOT", str(folder))
        with training_run("adaptive", TAGS) as run:
            run.log_files(model_files(), folder.name)
        if folder == original:
            shutil.copytree(original, copied)
    client, experiment = open_client()
    runs = client.search_runs([experiment])
    assert all(run.info.artifact_uri.startswith(f"{(copied / 'mlruns').as_uri()}/") for run in runs)
    assert [file.path for run in runs for file in client.list_artifacts(run.info.run_id)] == ["a ü b", "100%_"]
    assert len(list((original / "mlruns").iterdir())) == 1
    assert len(list((copied / "mlruns").iterdir())) == 2


def test_an_unusable_store_is_one_sentence(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "nonsense://x")
    with pytest.raises(UserError, match="MLFLOW_TRACKING_URI"):
        open_client()


def test_a_training_that_resumes_stays_one_run_with_its_whole_history(here: Path) -> None:
    with pytest.raises(KeyboardInterrupt), training_run("first", TAGS) as cut:
        for epoch in (0, 1, 2):  # the last one after the checkpoint, from which it is trained again
            cut.log({"epoch": epoch, "train_loss": 1.0 - epoch / 10})
        raise KeyboardInterrupt
    with training_run("second", TAGS, resumes=True) as resumed:
        for epoch in range(4):
            resumed.log({"epoch": epoch, "train_loss": 1.0 - epoch / 10})
    client, experiment = open_client()
    (run,) = client.search_runs([experiment])
    assert (run.info.run_id, run.info.run_name, run.info.status) == (cut.run_id, "second", "FINISHED")
    assert run.data.tags["record"] == cut.tags["record"]
    history = client.get_metric_history(cut.run_id, "train_loss")
    assert [(metric.step, metric.value) for metric in history] == [(n, 1.0 - n / 10) for n in range(4)]
    with training_run("third", TAGS) as again:  # the same training from its beginning, as when it is forced
        pass
    assert again.run_id != cut.run_id


def test_a_deleted_experiment_costs_the_record_and_no_training(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for uri in (local_uri(), f"sqlite:///{here}/other.db"):
        monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
        client, experiment = open_client()
        client.delete_experiment(experiment)
        with training_run("adaptive", TAGS) as run:
            record_all(run)
        assert log_test_metrics("123", {"f1": 0.75}) == 0
        assert log_report(["123"], [here / "mlflow.db"]) == 0
        output = capsys.readouterr().err
        assert output.count("training goes on without a record") == 1
        assert f"is deleted; restore it with `mlflow experiments restore --experiment-id {experiment}`" in output
        assert "the test metrics are in metrics.json only; to write them to MLflow: `dvc repro --force" in output
        assert "its runs lack the report; to write them to MLflow: `dvc repro --force --single-item report`" in output


def test_who_has_a_stage_of_an_experiment_written_again_applies_the_experiment_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("DVC_EXP_NAME", "alpha-2")
    assert "`dvc exp apply alpha-2`, then `dvc repro --force --single-item evaluate`" in how_to_log_again("evaluate")
    monkeypatch.setenv("SWEEP", "repro")  # whose experiments do not stay
    assert "apply" not in how_to_log_again("evaluate")


def test_an_experiment_that_is_deleted_on_a_server_leaves_the_run_here(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copy("mlflow.db", "server.db")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{here}/server.db")
    client, experiment = open_client()
    client.delete_experiment(experiment)
    with training_run("adaptive", TAGS) as run:
        record_all(run)
    assert capsys.readouterr().err.count("the run is kept in sqlite:///") == 1
    local, _ = open_client(local_uri())
    check_all(local, local.get_run(run.run_id))
    (checked,) = tracking()  # of the environment check
    assert "server.db cannot be used: runs will be kept in mlflow.db and can be sent later (the exp" in checked.message


class Refusing(http.server.BaseHTTPRequestHandler):
    """An MLflow server in front of which something refuses every request but those in `answers`, by their address."""

    code = 403
    answers: ClassVar[dict[str, bytes]] = {}

    def do_POST(self) -> None:
        answer = self.answers.get(self.path.partition("?")[0].rpartition("mlflow/")[2])
        body = answer or b'{"error_code": "PERMISSION_DENIED", "message": "not yours"}'
        self.send_response(200 if answer else self.code)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST  # noqa: N815

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's name
        pass


QUESTIONS = {
    "experiments/get-by-name": b'{"experiment": {"experiment_id": "1", "lifecycle_stage": "active"}}',
    "runs/search": b"{}",
}
"""What somebody is told who may read only."""


@pytest.mark.parametrize(("code", "answers"), [(403, {}), (500, {}), (403, QUESTIONS)])
def test_a_server_that_refuses_costs_no_training(
    code: int,
    answers: dict[str, bytes],
    here: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setattr(Refusing, "code", code)
    monkeypatch.setattr(Refusing, "answers", answers)
    with answering(http.server.HTTPServer(("127.0.0.1", 0), Refusing)) as server:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{server.server_port}")
        with training_run("adaptive", TAGS) as run:
            record_all(run)
        (checked,) = tracking()
    assert "the run is kept in sqlite:///" in capsys.readouterr().err
    client, experiment = open_client(local_uri())
    (kept,) = client.search_runs([experiment])
    check_all(client, kept)
    assert "cannot be used: runs will be kept in mlflow.db" in checked.message


def test_results_that_no_training_here_made_leave_no_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert log_test_metrics("123", {"f1": 0.75}) == 0
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["it's", 'a "quoted" one', 'it\'s "both"'])
def test_a_sweep_may_have_any_name(name: str, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SWEEP", name)
    for experiment_name in ("one", "two"):
        monkeypatch.setenv("DVC_EXP_NAME", experiment_name)
        with training_run("adaptive", {"training": experiment_name}):
            pass
    client, experiment = open_client()
    runs = {run.info.run_name: run for run in client.search_runs([experiment])}
    assert set(runs) == {name, "one adaptive", "two adaptive"}
    assert runs["one adaptive"].data.tags["mlflow.parentRunId"] == runs[name].info.run_id


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
    for name, sweep in (("grid-1", ""), ("grid-2", "grid"), ("puffy-daks", "")):
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


def test_machines_that_begin_a_sweep_at_the_same_moment_agree_on_one_parent(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another machine, with a lock of its own, makes its run after this one has looked, and before this one's."""
    client, experiment = open_client()
    create_run, others = client.create_run, list[str]()

    def late(*args: Any, **kwargs: Any) -> Any:
        others.append(create_run(*args, **kwargs, start_time=1).info.run_id)
        return create_run(*args, **kwargs)

    monkeypatch.setattr(client, "create_run", late)
    assert sweep_run(client, experiment, "alpha") == others[0]
    assert sweep_run(client, experiment, "alpha") == others[0]
    (run,) = client.search_runs([experiment], "tags.sweep != ''")
    assert run.info.run_id == others[0]


def test_nested_params_become_dotted() -> None:
    assert flat({"a": {"b": 1, "c": {"d": 2}}, "e": [3]}) == {"a.b": 1, "a.c.d": 2, "e": [3]}
