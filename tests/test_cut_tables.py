"""A table that lost rows at the end of a line is no smaller data set: the stage that reads it says so."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from stages.common.core.errors import UserError
from tests.helpers.projects import run_stages


@pytest.fixture
def outputs(finished: Path, here: Path) -> Path:
    """What a toy project wrote, in the current folder."""
    for name in ("data", "models", "reports"):
        shutil.copytree(finished / name, here / name)
    return here


@pytest.mark.parametrize(
    ("tables", "stage"),
    [
        ("data/raw/manifest.csv", "preprocess"),
        ("data/preprocessed/index.csv", "threshold"),
        ("data/raw/manifest.csv", "annotate"),
        ("data/raw/annotations.csv", "annotate"),
        ("data/dataset/split.csv", "train baseline 1 1"),
        ("data/dataset/split.csv", "evaluate adaptive 1 1"),
        ("reports/evaluation/**/per_image.csv", "report"),
        ("models/**/history.csv", "report"),
    ],
)
def test_a_table_that_was_cut_between_two_lines_is_refused(
    tables: str, stage: str, toy_params: dict[str, Any], outputs: Path
) -> None:
    name, *words = stage.split()
    for path in outputs.glob(tables):
        lines = path.read_text().splitlines(keepends=True)
        path.write_text("".join(lines[:-1]))
    with pytest.raises(UserError, match=rf"^{Path(tables).parts[0]}\S*/{Path(tables).name}: expected .* found \d+"):
        run_stages(outputs, toy_params, [(name, *words)])
