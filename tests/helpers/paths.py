"""Where the repository and the shared data lie."""

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SHARED_DATA = Path(os.environ.get("WRIST_SHARED_DATA", ROOT.parent / "shared/data")).resolve()
"""Real films and tables that are no part of the repository; the variable WRIST_SHARED_DATA names another folder."""
FRACATLAS = SHARED_DATA / "fracatlas-wrist"
GRAZPEDWRI = SHARED_DATA / "grazpedwri-dx/dataset.csv"


def needs(path: Path) -> pytest.MarkDecorator:
    """Skips a test that reads a file or a folder of the shared data where it is absent."""
    reason = f"{path} is absent; WRIST_SHARED_DATA names the folder of the shared data"
    return pytest.mark.skipif(not path.exists(), reason=reason)
