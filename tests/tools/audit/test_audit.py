"""Every command of docs/how-to/audit.md, as printed, in one project after the other."""

import re
import subprocess
from pathlib import Path

import pandas as pd
import pytest

from tests.helpers.paths import ROOT
from tests.helpers.processes import environment

pytestmark = pytest.mark.slow
TEXT = (ROOT / "docs/how-to/audit.md").read_text()
COMMANDS = [line for block in re.findall(r"```bash\n(.*?)```", TEXT, re.DOTALL) for line in block.splitlines()]


def test_the_walkthrough_runs_as_printed(own: Path, tmp_path: Path) -> None:
    assert len(COMMANDS) == 14
    assert COMMANDS[0].startswith("make setup && ")  # the virtual environment that runs this test
    films = pd.read_csv(own / "data/dataset/split.csv")
    film = films[films["split"] == "test"].iloc[0]
    variables, said = environment() | {"HOME": str(tmp_path)}, {}
    for command in COMMANDS[1:]:
        here = command.replace("wrist_0093", film["image_id"]).replace("4f4f64c971b7fe56", film["patient_id"])
        words = ["bash", "-euo", "pipefail", "-c", here]
        done = subprocess.run(words, cwd=own, env=variables, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{here}\n{done.stdout}\n{done.stderr}"
        said[command] = done.stdout
    assert all("no discrepancy" in text for command, text in said.items() if "verify" in command)
    (digest,) = (text.split()[0] for command, text in said.items() if command.startswith("md5sum"))
    (record,) = (text for command, text in said.items() if command.startswith("grep"))
    assert f"md5: {digest}" in record
    assert film["image_id"] in next(text for command, text in said.items() if "dry-run" in command)


def test_the_examples_are_of_the_embedded_sample() -> None:
    """A film and a patient that the first `make repro` has."""
    if not (ROOT / "data/raw/manifest.csv").exists():
        pytest.skip("no outputs of `make repro` here")
    manifest = pd.read_csv(ROOT / "data/raw/manifest.csv").set_index("image_id")
    if "sample-kaggle" not in set(manifest["source"]):
        pytest.skip("the outputs here are not those of the embedded sample")
    assert manifest.loc["wrist_0093", "patient_id"] == "4f4f64c971b7fe56"
