"""The whole pipeline through DVC in a temporary repository: cold, warm, forced, swept."""

import json
import re
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from mlflow import MlflowClient
from mlflow.entities import Run
from playwright.sync_api import Browser

from scripts import plots_page
from stages.common.analysis.trivial_baselines import TRIVIAL_BASELINES
from stages.common.data.run_id import VARIANTS
from tests.helpers.commands import wrist
from tests.helpers.files import tree_hash
from tests.helpers.pages import asked_for
from tests.helpers.params import SAMPLE, change_params, merge, read_yaml
from tests.helpers.paths import FRACATLAS, needs
from tests.helpers.processes import run
from tests.helpers.projects import copy_project, make_project, stages_run

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
    assert "<strong>The films are synthetic: these scores say nothing about patients.</strong>" in page
    assert page.count("<li data-film=") == 8
    assert {path.stem for path in (project / "reports/films/original").iterdir()} == {
        path.stem for path in (project / "data/dataset/test").iterdir()
    }
    assert len((project / "reports/to_mail.html").read_bytes()) < 10_000_000
    said = (project / "reports/comparison.md").read_text()
    assert "synthetic" in said
    for text in (said, page):
        assert "One seed: training variance is not estimated; train from several seeds." in text


def offline_plots(project: Path, browser: Browser, *words: str) -> str:
    """The page of `dvc plots`, which a browser draws without a network."""
    plots_page.main(project)
    run(project, "dvc", "plots", *words, "--out", "plots")
    assert asked_for(browser, project / "plots/index.html") == []
    return (project / "plots/index.html").read_text()


def test_dvc_shows_metrics_plots_and_the_graph(project: Path, browser: Browser) -> None:
    shown = json.loads(run(project, "dvc", "metrics", "show", "--json"))[""]["data"]
    assert set(shown) == {"reports/metrics.json", *(f"reports/validation/{v}-1-1.json" for v in VARIANTS)}
    assert set(shown["reports/metrics.json"]["data"]) == {"baseline", "adaptive", "difference"}
    page = offline_plots(project, browser, "show")
    for title in ("Training and validation loss", "Weights of the two losses", "Precision and recall"):
        assert title in page
    assert "F1 of all test pixels" in page
    assert "everything is fracture" in page
    assert "paper, fixed weights" not in page, "its films do not compare with ours"
    assert "predictions.png" in page
    assert "train@adaptive-1-1" in run(project, "dvc", "dag", "--mermaid")


def mlflow_runs(project: Path) -> tuple[MlflowClient, list[Run]]:
    client = MlflowClient(f"sqlite:///{project}/mlflow.db")
    experiment = client.get_experiment_by_name("wrist-fracture")
    assert experiment
    return client, list(client.search_runs([experiment.experiment_id]))


def test_mlflow_holds_one_run_per_training_with_the_kept_score_and_the_test_scores(project: Path) -> None:
    found = mlflow_runs(project)[1]
    runs = [[run.info.run_name, run.info.status, run.data.metrics, run.data.tags] for run in found]
    assert {name for name, *_ in runs} == {"baseline-1-1", "adaptive-1-1"}
    for name, status, metrics, tags in runs:
        assert status == "FINISHED"
        assert {"alpha", "beta", "train_loss", "validation_loss"} <= set(metrics)
        run_folder = f"{name.partition('-')[0]}/seed-1-fold-1"
        tested = json.loads((project / "reports/evaluation" / run_folder / "metrics.json").read_text())["pooled"]
        assert metrics["test_f1"] == tested["f1"]
        kept = json.loads((project / f"reports/validation/{name}.json").read_text())
        assert metrics["kept_validation_dice"] == kept["dice"]
        model = json.loads((project / "models" / run_folder / "model.json").read_text())
        assert metrics["kept_epoch"] == model["epoch"]
        assert tags["dvc.stage"] == f"train@{name}"
        assert len(tags["data.sha256"]) == 64
        assert tags["git.commit"]


def test_the_page_of_a_run_shows_the_comparison_and_counts_epochs_from_one(project: Path) -> None:
    client, runs = mlflow_runs(project)
    assert {training.info.run_name for training in runs} == {f"{variant}-1-1" for variant in VARIANTS}
    for training in runs:
        names = {file.path for file in client.list_artifacts(training.info.run_id, "reports")}
        assert names == {f"reports/{name}" for name in ("comparison.md", "comparison.csv", "predictions.png")}
        history = client.get_metric_history(training.info.run_id, "validation_dice")
        assert [metric.step for metric in history] == [1, 2]


def test_only_the_command_registers_a_model_and_calls_it_champion(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    client, runs = mlflow_runs(project)
    assert client.search_registered_models() == []
    monkeypatch.chdir(project)
    for name in VARIANTS:
        assert wrist("register", f"models/{name}/seed-1-fold-1") == 0
        assert capsys.readouterr().out == "registered as models:/wrist-fracture@champion\n"
        champion = client.get_model_version_by_alias("wrist-fracture", "champion")
        assert champion.run_id in {run.info.run_id for run in runs if run.info.run_name == f"{name}-1-1"}
    assert len(client.search_model_versions("name = 'wrist-fracture'")) == 2


def test_another_seed_or_fold_trains_only_itself_and_goes_without_a_trace(project: Path) -> None:
    lock = (project / "dvc.lock").read_bytes()
    change_params(project, {"train": {"seeds": [1, 2]}})
    new = {f"train@{variant}-2-1" for variant in VARIANTS}
    assert stages_run(run(project, "dvc", "repro", "--dry", "train")) == new
    run(project, "git", "checkout", "params.yaml")
    change_params(project, {"evaluate": {"folds": [1, 3]}})
    new = {f"{stage}@{variant}-1-3" for stage in ("train", "evaluate") for variant in VARIANTS}
    # annotate refuses folds that cannot be evaluated; what it writes is the same, so that nothing else runs.
    assert stages_run(run(project, "dvc", "repro")) == new | {"annotate", "report"}
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


def test_an_experiment_with_another_weight_runs_only_what_follows_from_it(project: Path, browser: Browser) -> None:
    said = run(project, "dvc", "exp", "run", "-n", "steep", "-S", "train.adaptive.alpha.start=0.1")
    assert stages_run(said) == {"train@adaptive-1-1", "evaluate@adaptive-1-1", "report"}
    assert "steep" in run(project, "dvc", "exp", "show", "--csv")
    assert "adaptive.alpha.start" in run(project, "dvc", "params", "diff")
    said = json.loads(run(project, "dvc", "metrics", "diff", "--json").splitlines()[0])  # what follows is a hint
    assert "adaptive.f1" in json.dumps(said)
    page = offline_plots(project, browser, "diff", "HEAD")
    assert "Weights of the two losses" in page
    assert {'"rev": "HEAD"', '"rev": "workspace"'} <= set(re.findall(r'"rev": "\w+"', page))
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
