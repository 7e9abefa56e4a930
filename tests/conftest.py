"""What tests share: a toy project that takes seconds, and real data where it is at hand."""

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock
from hypothesis import settings
from playwright.sync_api import Browser, Page, sync_playwright
from ruamel.yaml import YAML

from stages import section_model

# Machines are shared: an example that is slow once is no failure.
settings.register_profile("shared machine", deadline=None)
settings.load_profile("shared machine")

ROOT = Path(__file__).parents[1]
SHARED = ROOT.parent / "shared" / "data"
# No test talks to a tracking server, or writes into a cache that other users of the machine share.
os.environ.pop("MLFLOW_TRACKING_URI", None)
os.environ |= {"DVC_NO_ANALYTICS": "1", "MLFLOW_DISABLE_TELEMETRY": "true", "GX_ANALYTICS_ENABLED": "false"}
for name in ("DVC_STAGE", "DVC_ROOT", "DVC_EXP_NAME"):
    os.environ.pop(name, None)

TOY: dict[str, Any] = {
    "ingest": {"sample": {"films": 24, "width": 96}},
    "preprocess": {"size": 64},
    "annotate": {"split": {"train": 16, "test": 8, "validation": 4}},
    "train": {"unet": {"channels": [16, 8, 8]}, "loop": {"epochs": 2, "batch": 4, "threads": 1}},
}


def merge(base: dict[str, Any], change: dict[str, Any]) -> dict[str, Any]:
    """`base` with the leaves of `change`, as new dictionaries."""
    out = dict(base)
    for key, value in change.items():
        out[key] = merge(out[key], value) if isinstance(value, dict) else value
    return out


def read_yaml(path: Path) -> Any:
    return YAML(typ="safe").load(path.read_text())


def tree_hash(folder: Path) -> str:
    """One hash over names and bytes of a folder, or of one file."""
    total = hashlib.sha256()
    for path in [folder] if folder.is_file() else sorted(p for p in folder.rglob("*") if p.is_file()):
        total.update(str(path.relative_to(folder)).encode() + b"\0" + path.read_bytes())
    return total.hexdigest()


@pytest.fixture(scope="session")
def toy_params() -> dict[str, Any]:
    return merge(read_yaml(ROOT / "params.yaml"), TOY)


def make_project(folder: Path, params: dict[str, Any]) -> Path:
    """A git repository with the files of this one as they are now, and `params` as its params.yaml."""
    names = run(ROOT, "git", "ls-files", "-co", "--exclude-standard", "-z").split("\0")
    for name in filter(None, names):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    (folder / "dvc.lock").unlink(missing_ok=True)
    with (folder / "params.yaml").open("w") as file:
        YAML(typ="safe").dump(params, file)
    (folder / ".dvc/config.local").write_text(f"[core]\n    site_cache_dir = {folder / '.dvc/site-cache'}\n")
    run(folder, "git", "init", "-q")
    run(folder, "git", "add", "-A")
    run(folder, "git", "-c", "user.name=t", "-c", "user.email=t@example.org", "commit", "-qm", "toy")
    return folder


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
            run(folder, "git", "config", "user.name", "t")
            run(folder, "git", "config", "user.email", "t@example.org")
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


def copy_project(finished: Path, target: Path) -> Path:
    """A project of its own with all that `finished` has."""
    shutil.copytree(finished, target, symlinks=True, dirs_exist_ok=True)
    (target / ".dvc/config.local").write_text(f"[core]\n    site_cache_dir = {target / '.dvc/site-cache'}\n")
    return target


def on_small_disk(folder: Path, size: str, script: str, code: int = 0) -> str:
    """What a bash script says that finds in `folder`, where it starts, an empty disk of that size."""
    shell = ["unshare", "--map-root-user", "--mount", "bash", "-euo", "pipefail", "-c"]
    if subprocess.run([*shell, f"mount -t tmpfs none {folder}"], capture_output=True, check=False).returncode:
        pytest.skip("this machine lets nobody mount a disk of their own (unshare)")
    return run(folder, *shell, f"mount -t tmpfs -o size={size} none {folder}\ncd {folder}\n{script}", code=code)


def run_stages(folder: Path, params: dict[str, Any], stages: list[tuple[str, ...]]) -> None:
    """Run stages, each a room and its words, in a folder that gets `params` as its params.yaml."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        with Path("params.yaml").open("w") as file:
            YAML(typ="safe").dump(params, file)
        for room, *words in stages:
            settings = section_model(room).model_validate(params[room])
            import_module(f"stages.{room}.main").main(settings, *words)


def environment() -> dict[str, str]:
    """The environment of a user who has activated the project's virtual environment."""
    return os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}


def run(folder: Path, *words: str, code: int = 0) -> str:
    """Run a command that must end with `code`; returns stdout followed by stderr."""
    done = subprocess.run(words, cwd=folder, env=environment(), capture_output=True, text=True, check=False)
    assert done.returncode == code, f"{words} ended with {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout + done.stderr


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder as the current one."""
    monkeypatch.chdir(tmp_path)
    return tmp_path
