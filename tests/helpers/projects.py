"""Projects in temporary folders: copies of this repository with their own params, git history and DVC cache."""

import os
import shutil
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from stages import section_model
from tests.helpers.params import write_yaml
from tests.helpers.paths import ROOT
from tests.helpers.processes import run


def make_project(folder: Path, params: dict[str, Any]) -> Path:
    """A git repository with the files of this one as they are now, and `params` as its params.yaml."""
    names = run(ROOT, "git", "ls-files", "-co", "--exclude-standard", "-z").split("\0")
    for name in filter(None, names):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    (folder / "dvc.lock").unlink(missing_ok=True)
    write_yaml(folder / "params.yaml", params)
    use_own_site_cache(folder)
    run(folder, "git", "init", "-q")
    run(folder, "git", "config", "user.name", "t")
    run(folder, "git", "config", "user.email", "t@example.org")
    run(folder, "git", "add", "-A")
    run(folder, "git", "commit", "-qm", "toy")
    return folder


def copy_project(finished: Path, target: Path) -> Path:
    """A project of its own with all that `finished` has.

    Nothing is a hard link: a withdrawal empties the files of the cache, and with them whatever is linked to them.
    """
    shutil.copytree(finished, target, symlinks=True, dirs_exist_ok=True)
    use_own_site_cache(target)
    return target


def shared_folder(factory: pytest.TempPathFactory) -> Path:
    """A temporary folder of all processes of this test session."""
    own = factory.getbasetemp()
    return own.parent if "PYTEST_XDIST_WORKER" in os.environ else own


def built_once(factory: pytest.TempPathFactory, name: str, build: Callable[[Path], str]) -> Path:
    """A folder that the first test process to ask for it builds for all of them; what `build` returns is its record."""
    shared = shared_folder(factory)
    folder, record = shared / name, shared / f"{name}.record"
    with FileLock(shared / f"{name}.lock"):
        if not record.exists():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            record.write_text(build(folder))
    return folder


def use_own_site_cache(project: Path) -> None:
    """DVC writes paths of dependencies into a cache folder that all users of a machine share, unless it has its own."""
    (project / ".dvc/config.local").write_text(f"[core]\n    site_cache_dir = {project / '.dvc/site-cache'}\n")


def run_stages(folder: Path, params: dict[str, Any], stages: list[tuple[str, ...]]) -> None:
    """Run stages, each its name and its words, in a folder that gets `params` as its params.yaml."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        write_yaml(Path("params.yaml"), params)
        for stage, *words in stages:
            settings = section_model(stage).model_validate(params[stage])
            import_module(f"stages.{stage}.main").main(settings, *words)


def stages_run(output: str) -> set[str]:
    """The stages that DVC ran, by what it printed."""
    return {line.split("'")[1] for line in output.splitlines() if line.startswith("Running stage")}
