"""A change of params.yaml reruns the stages that use it and no other, and the report shows it."""

import json
from pathlib import Path
from typing import Any

import pytest
from dvc.repo import Repo

from stages.common.data.run_id import VARIANTS
from tests.helpers.params import change_params, read_yaml
from tests.helpers.processes import run
from tests.helpers.projects import copy_project, stages_run

pytestmark = pytest.mark.slow


def of_both(stage: str) -> set[str]:
    return {f"{stage}@{variant}-1-1" for variant in VARIANTS}


@pytest.fixture(scope="module")
def project(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copy_project(finished, tmp_path_factory.mktemp("reruns"))


@pytest.mark.parametrize(
    ("change", "stages"),
    [
        ({"ingest": {"limits": {"file_mb": 511}}}, {"ingest"}),
        ({"preprocess": {"size": 96}}, {"preprocess"}),
        ({"preprocess": {"steps": ["mat2gray", "imresize"]}}, {"preprocess"}),
        ({"threshold": {"classes": 3}}, {"threshold"}),
        ({"annotate": {"split": {"seed": 12}}}, {"annotate"}),
        ({"train": {"loop": {"epochs": 3}}}, of_both("train")),
        ({"train": {"baseline": {"alpha": 0.4}}}, {"train@baseline-1-1"}),
        ({"train": {"adaptive": {"alpha": {"start": 0.4}}}}, {"train@adaptive-1-1"}),
        ({"train": {"adaptive": "dwa"}}, {"train@adaptive-1-1"}),
        ({"evaluate": {"threshold": 0.4}}, of_both("evaluate")),
        ({"report": {"tolerance": {"score": 0.1}}}, set()),
    ],
    ids=lambda value: json.dumps(value) if isinstance(value, dict) else "",
)
def test_a_change_concerns_the_stages_that_use_it(
    change: dict[str, Any], stages: set[str], project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(project)  # DVC names stages relative to the current folder
    change_params(project, change)
    try:
        with Repo() as repo:
            assert set(repo.status()) == {*stages, "report"}
    finally:
        run(project, "git", "checkout", "params.yaml")


def test_the_page_follows_a_param_that_changes_no_other_output(project: Path) -> None:
    page, old = project / "reports/index.html", read_yaml(project / "params.yaml")["ingest"]["limits"]["file_mb"]
    assert f"file_mb: {old}" in page.read_text()
    change_params(project, {"ingest": {"limits": {"file_mb": old + 1}}})
    assert stages_run(run(project, "dvc", "repro")) == {"ingest", "report"}
    assert f"file_mb: {old + 1}" in page.read_text()
