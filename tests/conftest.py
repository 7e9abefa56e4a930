"""What tests share: a toy project that takes seconds, and real data where it is at hand."""

# ruff: noqa: E402 - the arithmetic and the waiting of threads are chosen before any library is imported.
import os

from stages.common.core.arithmetic import pin_instructions

pin_instructions(torch=True)
# Several test processes share the cores: threads that spin while they wait for one another slow all of them tenfold.
os.environ["OMP_WAIT_POLICY"] = "PASSIVE"

import stages.common.core.validation  # noqa: F401, I001 - before whatever else loads jsonschema

import gc
import multiprocessing
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, nullcontext
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import settings
from playwright.sync_api import Browser, Page, sync_playwright

from stages.common.core import parallel
from tests.helpers.cpu_time import pytest_runtest_call  # noqa: F401 - a hook
from tests.helpers.once import compute_once
from tests.helpers.params import TOY, TWO_SEEDS, merge, read_yaml
from tests.helpers.paths import ROOT
from tests.helpers.processes import forked_commands, forked_python, run
from tests.helpers.projects import built_once, make_project, run_stages, shared_folder

# Machines are shared: an example that is slow once is no failure.
settings.register_profile("shared machine", deadline=None)
settings.load_profile("shared machine")

compute_once()

# The processes of the tests take the cores; what another number of workers changes, tests of their own ask.
os.environ.setdefault("WORKERS", "1")

# No test talks to a tracking server, or writes into a cache that other users of the machine share.
os.environ.pop("MLFLOW_TRACKING_URI", None)
os.environ |= {"DVC_NO_ANALYTICS": "1", "MLFLOW_DISABLE_TELEMETRY": "true", "GX_ANALYTICS_ENABLED": "false"}
# Copies of the project keep what a first start compiled.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
for name in ("DVC_STAGE", "DVC_ROOT", "DVC_EXP_NAME"):
    os.environ.pop(name, None)


def pytest_configure(config: pytest.Config) -> None:
    """One process forks commands for all test processes of `make test`; to load its libraries takes some seconds.

    Not for fast tests: the CPU time of a forked command would not count.
    """
    chosen = config.option.numprocesses and config.option.markexpr != "not slow" and sys.platform == "linux"
    if chosen and "PYTEST_XDIST_WORKER" not in os.environ:
        stack = ExitStack()
        config.add_cleanup(stack.close)
        stack.enter_context(forked_commands(Path(stack.enter_context(TemporaryDirectory()))))


@pytest.fixture(scope="session", autouse=True)
def own_device_locks(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Trainings of tests wait for one another, and for no other training on this machine, which may take hours."""
    os.environ["DEVICE_LOCK_DIR"] = str(shared_folder(tmp_path_factory) / "device_locks")


@pytest.fixture(scope="session")
def toy_params() -> dict[str, Any]:
    return merge(read_yaml(ROOT / "params.yaml"), TOY)


@pytest.fixture(scope="session")
def finished(toy_params: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A toy project after `dvc repro`; tests work on copies."""

    def build(folder: Path) -> str:
        make_project(folder, toy_params)
        output = run(folder, "dvc", "repro")
        run(folder, "git", "add", "dvc.lock")
        run(folder, "git", "commit", "-qm", "lock")
        return output

    return built_once(tmp_path_factory, "finished", build)


@pytest.fixture(scope="session")
def two_seeds(finished: Path, toy_params: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data of `finished` with networks of two seeds that see something, evaluated and reported."""

    def build(folder: Path) -> str:
        params = merge(toy_params, TWO_SEEDS)
        shutil.copytree(finished / "data", folder / "data")
        (folder / "reports").mkdir()
        shutil.copy(finished / "reports/data_quality.md", folder / "reports")  # of ingest, which the report reads
        shutil.copy(finished / "dvc.lock", folder)  # predict reads the params of the data stages there
        shutil.copy(finished / "mlflow.db", folder)
        stages = [
            (stage, variant, seed)
            for variant in ("baseline", "adaptive")
            for seed in ("1", "2")
            for stage in ("train", "evaluate")
        ]
        run_stages(folder, params, [*stages, ("report",)])
        return ""

    return built_once(tmp_path_factory, "two_seeds", build)


@pytest.fixture(scope="session")
def mlflow_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of an empty MLflow store, to be copied: making one takes two seconds."""

    def build(folder: Path) -> str:
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(folder)
            import_module("stages.common.model.tracking").open_client()
        return ""

    return built_once(tmp_path_factory, "mlflow_store", build) / "mlflow.db"


@pytest.fixture(scope="module")
def shared_workers() -> Iterator[None]:
    """Stages that run in this process share its worker processes, which take seconds to start, or are forked."""
    with parallel.processes() as pool, pytest.MonkeyPatch.context() as patch:
        patch.setattr(parallel, "processes", lambda: nullcontext(pool))
        multiprocessing.set_executable(forked_python())
        yield
        multiprocessing.set_executable(sys.executable)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Headless Chromium."""
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("no chromium on this machine; Debian's package chromium brings it")
    with sync_playwright() as player:
        chrome = player.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        yield chrome
        chrome.close()


@pytest.fixture
def visit(browser: Browser) -> Iterator[Callable[..., Page]]:
    """Opens a file in a page of its own, which must say nothing on the console and, once it has asked for itself, ask
    for nothing beyond `allowed`.
    """
    pages: list[Page] = []
    heard: list[str] = []
    expected: list[str] = []

    def open_page(file: Path, width: int, height: int = 800, allowed: tuple[str, ...] = ("file:", "data:")) -> Page:
        page = browser.new_page(viewport={"width": width, "height": height})
        page.on("request", lambda request: heard.append(request.url) if not request.url.startswith(allowed) else None)
        page.on("console", lambda message: heard.append(message.text))
        page.on("pageerror", lambda error: heard.append(str(error)))
        expected.extend(url for url in [file.as_uri()] if not url.startswith(allowed))
        page.goto(file.as_uri())
        pages.append(page)
        return page

    yield open_page
    for page in pages:
        page.close()
    assert heard == expected


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder as the current one."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def pytest_collection_finish() -> None:
    keep()


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    if nextitem is None or nextitem.path != item.path:
        keep()


def keep() -> None:
    """What is loaded by now stays: collections of garbage need not look through it, which takes half a second each."""
    gc.collect()
    gc.freeze()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with slow tests come first, so that no worker begins one when the others have nothing left to do."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)
