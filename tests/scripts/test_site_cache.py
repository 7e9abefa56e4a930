"""DVC's settings of a project in any folder."""

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
    config = Config(str(root / ".dvc"))
    assert config["core"]["site_cache_dir"] == str(root / ".dvc/site-cache")
    assert config["cache"]["type"] == ["hardlink", "copy"]
    assert (root / ".dvc/site-cache").stat().st_mode & 0o777 == 0o700


def test_the_makefile_puts_its_own_folder_into_no_command() -> None:
    """Make splits words at spaces."""
    lines = [line for line in (ROOT / "Makefile").read_text().splitlines() if "$(CURDIR)" in line]
    assert lines == ["export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)"]
