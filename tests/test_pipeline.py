"""The whole pipeline through DVC in a temporary repository: cold, warm, forced, swept, killed."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import psutil
import pytest

from stages.common.analysis.trivial_baselines import TRIVIAL_BASELINES
from stages.common.data.run_id import VARIANTS
from tests.helpers.files import tree_hash
from tests.helpers.params import SAMPLE, change_params, merge, read_yaml
from tests.helpers.paths import FRACATLAS, needs
from tests.helpers.processes import environment, read_until, run, wait_for
from tests.helpers.projects import copy_project, make_project, run_stages, stages_run

pytestmark = pytest.mark.slow
STAGES = ["ingest", "preprocess", "threshold", "annotate"]
STAGES += [f"{stage}@{variant}-1-1" for stage in ("train", "evaluate") for variant in ("baseline", "adaptive")] + [
    "report"
]


def outputs(project: Path) -> dict[str, str]:
    listed = read_yaml(project / "dvc.lock")["stages"]
    return {out["path"]: tree_hash(project / out["path"]) for stage in listed.values() for out in stage["outs"]}


@pytest.fixture(scope="module")
def project(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    assert stages_run(finished.with_suffix(".record").read_text()) == set(STAGES)
    return copy_project(finished, tmp_path_factory.mktemp("project"))


def test_a_second_call_runs_nothing(project: Path) -> None:
    assert stages_run(run(project, "dvc", "repro")) == set()
    assert "up to date" in run(project, "dvc", "status")


def test_every_output_is_the_same_byte_for_byte_when_forced(project: Path) -> None:
    lock, before = (project / "dvc.lock").read_bytes(), outputs(project)
    assert stages_run(run(project, "dvc", "repro", "--force")) == set(STAGES)
    assert outputs(project) == before
    assert (project / "dvc.lock").read_bytes() == lock


def test_the_report_sets_all_rows_side_by_side(project: Path) -> None:
    table = pd.read_csv(project / "reports/comparison.csv")
    assert list(table["row"]) == [
        *("baseline", "adaptive", "adaptive - baseline", *TRIVIAL_BASELINES),
        *("paper, fixed weights", "paper, adaptive weights"),
    ]
    page = (project / "reports/index.html").read_text()
    assert "Synthetic films." in page
    assert page.count('<img src="data:image') == 3 + 6 * 8
    assert len(page) < 10_000_000 / 40 * 8
    assert "synthetic" in (project / "reports/comparison.md").read_text()


def test_dvc_shows_metrics_plots_and_the_graph(project: Path) -> None:
    shown = json.loads(run(project, "dvc", "metrics", "show", "--json"))[""]["data"]
    assert set(shown) == {"reports/metrics.json", *(f"reports/validation/{v}-1-1.json" for v in VARIANTS)}
    assert set(shown["reports/metrics.json"]["data"]) == {"baseline", "adaptive", "difference"}
    run(project, "dvc", "plots", "show", "--out", "plots")
    page = (project / "plots/index.html").read_text()
    for title in ("Training and validation loss", "Weights of the two losses", "Precision and recall"):
        assert title in page
    assert "train@adaptive-1-1" in run(project, "dvc", "dag", "--mermaid")


def test_mlflow_holds_one_run_per_training_with_test_metrics(project: Path) -> None:
    script = (
        "import json, mlflow; c = mlflow.MlflowClient('sqlite:///mlflow.db');"
        "e = c.get_experiment_by_name('wrist-fracture').experiment_id;"
        "rows = [[r.info.run_name, r.info.status, sorted(r.data.metrics), r.data.tags] for r in c.search_runs([e])];"
        "print(json.dumps(rows))"
    )
    runs = json.loads(run(project, sys.executable, "-c", script).splitlines()[0])
    assert {name for name, *_ in runs} == {"baseline-1-1", "adaptive-1-1"}
    for name, status, metrics, tags in runs:
        assert status == "FINISHED"
        assert {"alpha", "beta", "train_loss", "validation_loss", "test_f1"} <= set(metrics)
        assert tags["dvc.stage"] == f"train@{name}"
        assert len(tags["data.sha256"]) == 64
        assert tags["git.commit"]


def test_another_seed_or_fold_trains_only_itself_and_goes_without_a_trace(project: Path) -> None:
    lock = (project / "dvc.lock").read_bytes()
    change_params(project, {"train": {"seeds": [1, 2]}})
    new = {f"{stage}@{variant}-2-1" for stage in ("train", "evaluate") for variant in VARIANTS}
    assert stages_run(run(project, "dvc", "repro", "--dry")) == new
    run(project, "git", "checkout", "params.yaml")
    change_params(project, {"evaluate": {"folds": [1, 3]}})
    new = {f"{stage}@{variant}-1-3" for stage in ("train", "evaluate") for variant in VARIANTS}
    assert stages_run(run(project, "dvc", "repro")) == new | {"report"}
    assert len(pd.read_csv(project / "reports/runs.csv")) == 4
    run(project, "git", "checkout", "params.yaml")
    tested = pd.read_csv(project / "data/dataset/split.csv")
    films = pd.read_csv(project / "reports/evaluation/adaptive/seed-1-fold-3/per_image.csv")["image_id"]
    assert set(films) == set(tested.loc[tested["fold_3"] == "test", "image_id"])
    assert stages_run(run(project, "dvc", "repro")) <= {"report"}
    assert not (project / "models/adaptive/seed-1-fold-3").exists()
    kept = {name: entry for name, entry in read_yaml(project / "dvc.lock")["stages"].items() if name in STAGES}
    (project / "before.lock").write_bytes(lock)
    assert kept == read_yaml(project / "before.lock")["stages"]


def test_an_experiment_with_another_weight_runs_only_what_follows_from_it(project: Path) -> None:
    said = run(project, "dvc", "exp", "run", "-n", "steep", "-S", "train.adaptive.alpha.start=0.1")
    assert stages_run(said) == {"train@adaptive-1-1", "evaluate@adaptive-1-1", "report"}
    assert "steep" in run(project, "dvc", "exp", "show", "--csv")
    assert "adaptive.alpha.start" in run(project, "dvc", "params", "diff")
    said = json.loads(run(project, "dvc", "metrics", "diff", "--json").splitlines()[0])  # what follows is a hint
    assert "adaptive.f1" in json.dumps(said)
    run(project, "git", "checkout", "params.yaml")
    # The run cache knows the old weights: nothing is trained again.
    assert "train@adaptive-1-1" not in stages_run(run(project, "dvc", "repro"))


def test_a_wrong_param_of_a_late_stage_stops_the_first_one_in_a_sentence(project: Path) -> None:
    change_params(project, {"train": {"loop": {"epochs": -1}}, "ingest": {"sources": [SAMPLE | {"seed": 99}]}})
    said = run(project, "dvc", "repro", code=255)
    assert "train.loop.epochs: Input should be greater than or equal to 1 (found -1)" in said
    assert "Traceback" not in said
    run(project, "git", "checkout", "params.yaml")
    run(project, "dvc", "checkout", "data/raw")


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@pytest.mark.parametrize("sign", [signal.SIGKILL, signal.SIGTERM])
def test_a_killed_stage_leaves_the_last_good_output_or_none(
    sign: signal.Signals, toy_params: dict[str, Any], tmp_path: Path
) -> None:
    params = merge(toy_params, {"ingest": {"sources": [SAMPLE | {"films": 400}]}})
    project = make_project(tmp_path, params)
    (project / "data/raw").mkdir()
    (project / "data/raw/good").write_text("good")
    stage = subprocess.Popen(
        [sys.executable, "-m", "stages.ingest"], cwd=project, env=environment(), stderr=subprocess.PIPE
    )
    wait_for(lambda: len(list((project / "data").glob(".raw-partial-*/images/*"))) > 5)
    stage.send_signal(sign)
    stage.wait()
    assert [p.name for p in (project / "data/raw").iterdir()] == ["good"]
    if sign == signal.SIGTERM:
        assert stage.returncode == 143
        assert not list((project / "data").glob(".raw-partial-*"))
    wait_for(lambda: not living_in(project))  # workers write nothing more


def living_in(folder: Path) -> list[int]:
    """Ids of the processes that were started there."""
    return [process.pid for process in psutil.process_iter(["cwd"]) if process.info["cwd"] == str(folder)]


LONG = {"train": {"loop": {"epochs": 20}}}


@pytest.mark.skipif(sys.platform != "linux", reason="parent-death signals are Linux's")
def test_a_training_whose_dvc_was_killed_writes_its_state_and_goes_on(
    finished: Path, toy_params: dict[str, Any], tmp_path: Path
) -> None:
    twin = copy_project(finished, tmp_path)
    model = twin / "models/adaptive/seed-1-fold-1"
    run_stages(twin, merge(toy_params, LONG), [("train", "adaptive")])  # nothing interrupts this one
    expected = tree_hash(model)
    command = ["dvc", "repro", "--single-item", "--force", "train@adaptive-1-1"]
    for sign, line in ((signal.SIGKILL, "epoch 3/20"), (signal.SIGTERM, "resumes in epoch")):
        dvc = subprocess.Popen(
            command, cwd=twin, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        )
        read_until(dvc.stderr, line)
        (stage,) = children(dvc.pid)
        os.kill(dvc.pid, sign)
        dvc.communicate()
        wait_for(lambda stage=stage: not alive(stage))
        assert not model.exists()  # DVC removes an output before its stage runs
        assert list((twin / ".checkpoints").glob("*.safetensors"))
        (twin / ".dvc/tmp/rwlock").unlink(missing_ok=True)
    assert "resumes in epoch" in run(twin, *command)
    assert tree_hash(model) == expected


@pytest.mark.skipif(sys.platform != "linux", reason="parent-death signals are Linux's")
@pytest.mark.parametrize("shell", ["/bin/sh", "/bin/bash", ""])
def test_a_killed_dvc_takes_its_stage_down_with_it(shell: str, toy_params: dict[str, Any], tmp_path: Path) -> None:
    project = make_project(tmp_path, merge(toy_params, {"ingest": {"sources": [SAMPLE | {"films": 400}]}}))
    command = ["dvc", "repro", "ingest"]
    variables = {name: value for name, value in environment().items() if name != "SHELL"}
    variables |= {"SHELL": shell} if shell else {}  # DVC runs a stage in $SHELL, or in /bin/sh where it is not set
    dvc = subprocess.Popen(command, cwd=project, env=variables, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wait_for(lambda: bool(list((project / "data").glob(".raw-partial-*"))))
    (stage,) = children(dvc.pid)
    os.kill(dvc.pid, signal.SIGKILL)
    dvc.wait()
    wait_for(lambda: not alive(stage))
    assert not (project / "data/raw").exists()


@needs(FRACATLAS)
def test_real_films_go_through_the_data_stages_without_an_edited_file(
    toy_params: dict[str, Any], tmp_path: Path
) -> None:
    project = make_project(
        tmp_path, merge(toy_params, {"annotate": {"split": {"train": 120, "test": 40, "validation": 20}}})
    )
    said = run(
        project, "dvc", "exp", "run", "annotate",
        "-S", "ingest.sources=[{source:folder,annotations:coco}]", "-S", f"ingest.inbox={FRACATLAS}",
        "-S", "annotate.split=given", "-S", "annotate.mask=polygon",
    )  # fmt: skip
    assert stages_run(said) == {"ingest", "preprocess", "threshold", "annotate"}
    manifest, split = pd.read_csv(project / "data/raw/manifest.csv"), pd.read_csv(project / "data/dataset/split.csv")
    assert len(manifest) == 196
    assert manifest["fractures"].sum() == 192
    assert split["split"].value_counts().to_dict() == {"train": 100, "validation": 20, "test": 40, "unused": 36}
    assert split.loc[split["split"] == "test", "prevalence"].mean() < 0.02
