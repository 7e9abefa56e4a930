"""A bounded number of damaged inputs: each is accepted or cleanly refused, in bounded memory, and none hangs."""

import json
import sys
from pathlib import Path

import pytest

from tests.helpers.damaged_films import MUTATIONS
from tests.helpers.paths import ROOT
from tests.helpers.processes import run

MOST_MB = 700


@pytest.mark.slow
def test_damaged_files_are_taken_or_refused_in_bounded_memory(tmp_path: Path) -> None:
    script = (
        f"from tests.helpers.damaged_films import report; from pathlib import Path; report(Path({str(tmp_path)!r}))"
    )
    said = json.loads(run(ROOT, sys.executable, "-c", script).splitlines()[-1])
    assert said["taken"] + said["refused"] == MUTATIONS
    assert said["refused"] > MUTATIONS // 5
    assert said["taken"] > MUTATIONS // 20
    assert said["peak_mb"] < MOST_MB
