"""A finished toy project as auditors find it: committed, with its cache."""

import shutil
from pathlib import Path

import pytest
from dvc.utils import serialize

from tests.helpers.once import dumped_once
from tests.helpers.processes import forked_python
from tests.helpers.projects import copy_project


@pytest.fixture(scope="session", autouse=True)
def _dumped_once() -> None:
    """Each audit compares dvc.lock with what DVC would write."""
    serialize.dumps_yaml = dumped_once(serialize.dumps_yaml)


@pytest.fixture(scope="session")
def audited(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One copy for all tests that leave it as it is, or put back what they change."""
    return copy_project(finished, tmp_path_factory.mktemp("audited"))


@pytest.fixture
def project(audited: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(audited)
    return audited


@pytest.fixture
def forked_stages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stages that an audit runs again are forked."""
    monkeypatch.setattr("sys.executable", forked_python())


@pytest.fixture
def own(finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy that a test may spoil."""
    folder = copy_project(finished, tmp_path / "own")
    monkeypatch.chdir(folder)
    shutil.rmtree(folder / "mlruns", ignore_errors=True)
    return folder
