import subprocess
import sys
from pathlib import Path

import pytest

from stages.common.errors import Fault
from stages.common.tracking import flat, log_test_metrics, open_client, training_run
from tests.conftest import ROOT


def test_a_run_holds_params_metrics_tags_and_files(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DVC_STAGE", "train@adaptive")
    monkeypatch.setenv("DVC_EXP_NAME", "bold-wrist")
    (here / "model").mkdir()
    (here / "model/weights").write_text("w")
    with training_run("adaptive", {"loop": {"epochs": 2}}, "abc") as run:
        run.log({"epoch": 0, "train_loss": 0.5})
        run.log({"epoch": 1, "train_loss": 0.25})
        run.finish(here / "model", {"weights.sha256": "123"})
    assert log_test_metrics("123", {"f1": 0.75}) == 1
    assert log_test_metrics("other", {"f1": 0.75}) == 0
    client, experiment = open_client()
    (found,) = client.search_runs([experiment])
    assert found.info.status == "FINISHED"
    assert found.data.params == {"loop.epochs": "2"}
    assert found.data.metrics == {"train_loss": 0.25, "test_f1": 0.75}
    assert [m.value for m in client.get_metric_history(found.info.run_id, "train_loss")] == [0.5, 0.25]
    assert found.data.tags["data.sha256"] == "abc"
    assert found.data.tags["dvc.stage"] == "train@adaptive"
    assert found.data.tags["dvc.experiment"] == "bold-wrist"
    assert [f.path for f in client.list_artifacts(found.info.run_id, "model")] == ["model/weights"]
    assert (here / "mlflow.db").exists()


@pytest.mark.parametrize(("error", "status"), [(RuntimeError, "FAILED"), (KeyboardInterrupt, "KILLED")])
def test_a_run_that_ends_badly_says_so(error: type[BaseException], status: str, here: Path) -> None:
    with pytest.raises(error), training_run("x", {}, ""):
        raise error
    client, experiment = open_client()
    assert [run.info.status for run in client.search_runs([experiment])] == [status]


def test_the_store_lies_at_the_dvc_root(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (here / "root").mkdir()
    monkeypatch.setenv("DVC_ROOT", str(here / "root"))
    open_client()
    assert (here / "root/mlflow.db").exists()
    assert not (here / "mlflow.db").exists()


def test_an_unusable_store_is_one_sentence(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "nonsense://x")
    with pytest.raises(Fault, match="MLFLOW_TRACKING_URI"):
        open_client()


@pytest.mark.slow
def test_four_processes_may_open_a_fresh_store_at_once(tmp_path: Path) -> None:
    script = (
        f"import sys; sys.path.insert(0, {str(ROOT)!r})\nfrom stages.common.tracking import open_client\nopen_client()"
    )
    started = [
        subprocess.Popen([sys.executable, "-c", script], cwd=tmp_path, stderr=subprocess.PIPE, text=True)
        for _ in range(4)
    ]
    ends = [(process.communicate()[1], process.returncode) for process in started]
    assert [code for _, code in ends] == [0] * 4, ends


def test_nested_params_become_dotted() -> None:
    assert flat({"a": {"b": 1, "c": {"d": 2}}, "e": [3]}) == {"a.b": 1, "a.c.d": 2, "e": [3]}
