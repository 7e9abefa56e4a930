"""A toy project with trained networks, shared by all tests of predict."""

from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from tests.helpers.params import merge
from tests.helpers.projects import run_stages

SMALL = {
    "train": {"seeds": [1, 2], "loop": {"epochs": 6}, "optimiser": {"learning_rate": 0.01}},
    "evaluate": {"threshold": 0.3},  # networks of six epochs are timid
}
STAGES = [("ingest",), ("preprocess",), ("threshold",), ("annotate",)]
STAGES += [(room, "adaptive", seed) for seed in "12" for room in ("train", "evaluate")]


@pytest.fixture(scope="session")
def built(toy_params: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The outputs of a toy project with the part of dvc.lock that predict reads."""
    folder = tmp_path_factory.mktemp("predict")
    params = merge(toy_params, SMALL)
    run_stages(folder, params, STAGES)
    lock = {room: {"params": {"params.yaml": {room: params[room]}}} for room in ("ingest", "preprocess", "threshold")}
    with (folder / "dvc.lock").open("w") as file:
        YAML(typ="safe").dump({"stages": lock}, file)
    return folder


@pytest.fixture
def project(built: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The toy project as the current folder; it is shared, so outputs go elsewhere."""
    monkeypatch.chdir(built)
    return built
