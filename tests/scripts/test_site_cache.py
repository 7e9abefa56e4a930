"""A project in a folder of any name: DVC's settings, and make."""

import shutil
import subprocess
from pathlib import Path

import pytest
from dvc.config import Config

from scripts.site_cache import main
from tests.helpers.paths import ROOT


@pytest.mark.parametrize("name", ["plain", "with space", "jürgen", "a, b # c"])
def test_dvc_reads_the_folder_and_other_settings_stay(name: str, tmp_path: Path) -> None:
    root = tmp_path / name
    (root / ".dvc").mkdir(parents=True)
    (root / ".dvc/config.local").write_text("[cache]\n    type = hardlink,copy\n")
    for _ in range(2):
        main(root)
        (root / ".dvc/site-cache").chmod(0o777)  # as DVC makes it where it is gone
    main(root)
    config = Config(str(root / ".dvc"))
    assert config["core"]["site_cache_dir"] == str(root / ".dvc/site-cache")
    assert config["cache"]["type"] == ["hardlink", "copy"]
    assert (root / ".dvc/site-cache").stat().st_mode & 0o777 == 0o700


def test_the_makefile_puts_its_own_folder_into_no_command() -> None:
    """Make splits words at spaces."""
    lines = [line for line in (ROOT / "Makefile").read_text().splitlines() if "$(CURDIR)" in line]
    assert lines == ["export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)"]


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
def test_make_sets_up_and_runs_in_a_folder_with_a_space_and_an_umlaut(tmp_path: Path) -> None:
    """The Makefile's own lines, with programs in .venv that write down how they were called."""
    root = tmp_path / "hand röntgen"
    (root / ".venv/bin").mkdir(parents=True)
    shutil.copy(ROOT / "Makefile", root)
    for name in ("requirements.lock", "requirements-dev.lock", "pyproject.toml"):
        (root / name).touch()
    for name in ("python", "uv", "dvc", "wrist"):
        program = root / ".venv/bin" / name
        program.write_text(f'#!/bin/sh\necho "{name} $*" >> calls\n')
        program.chmod(0o755)
    done = subprocess.run(
        ["make", "setup", "repro", "PYTHON=.venv/bin/python"], cwd=root, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    calls = (root / "calls").read_text()
    for call in ("uv pip install", "python -P scripts/site_cache.py", "dvc repro", "wrist report --lineage"):
        assert f"\n{call}" in calls
    assert (root / ".venv/.ready").is_file()
