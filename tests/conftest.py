"""What tests share: a toy project that takes seconds, and real data where it is at hand."""

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock
from hypothesis import settings
from playwright.sync_api import Browser, Page, sync_playwright

from tests.helpers.params import TOY, merge, read_yaml
from tests.helpers.paths import ROOT
from tests.helpers.processes import run
from tests.helpers.projects import make_project

# Machines are shared: an example that is slow once is no failure.
settings.register_profile("shared machine", deadline=None)
settings.load_profile("shared machine")

# No test talks to a tracking server, or writes into a cache that other users of the machine share.
os.environ.pop("MLFLOW_TRACKING_URI", None)
os.environ |= {"DVC_NO_ANALYTICS": "1", "MLFLOW_DISABLE_TELEMETRY": "true", "GX_ANALYTICS_ENABLED": "false"}
for name in ("DVC_STAGE", "DVC_ROOT", "DVC_EXP_NAME"):
    os.environ.pop(name, None)


@pytest.fixture(scope="session")
def toy_params() -> dict[str, Any]:
    return merge(read_yaml(ROOT / "params.yaml"), TOY)


@pytest.fixture(scope="session")
def finished(toy_params: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A toy project after `dvc repro`, made once for all test processes; tests work on copies."""
    place = tmp_path_factory.getbasetemp()
    place = place.parent if "PYTEST_XDIST_WORKER" in os.environ else place
    folder, built = place / "finished", place / "finished.built"
    with FileLock(place / "finished.lock"):
        if not built.exists():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            make_project(folder, toy_params)
            built.write_text(run(folder, "dvc", "repro"))
            run(folder, "git", "add", "dvc.lock")
            run(folder, "git", "commit", "-qm", "lock")
    return folder


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Headless Chromium."""
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("no chromium on this machine; Debian's package chromium brings it")
    with sync_playwright() as player:
        found = player.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        yield found
        found.close()


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
