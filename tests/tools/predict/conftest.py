"""A toy project with trained networks, shared by all tests of predict."""

import shutil
from pathlib import Path

import pytest

from tests.helpers.gpus import hide_gpus


@pytest.fixture(scope="session")
def built(two_seeds: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return shutil.copytree(two_seeds, tmp_path_factory.mktemp("predict"), dirs_exist_ok=True)


@pytest.fixture
def project(built: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The toy project as the current folder; it is shared, so outputs go elsewhere."""
    monkeypatch.chdir(built)
    hide_gpus(monkeypatch)
    return built
