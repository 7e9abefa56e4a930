"""Every command of docs/how-to/audit.md, as printed, in one project after the other."""

import re
import subprocess
from pathlib import Path

import pandas as pd
import pytest

from stages.ingest.dicom.pseudonyms import PUBLIC
from stages.ingest.sources.sample import plan_films
from tests.helpers.params import read_yaml
from tests.helpers.paths import ROOT
from tests.helpers.processes import forked_environment

pytestmark = pytest.mark.slow
TEXT = (ROOT / "docs/how-to/audit.md").read_text()
COMMANDS = [line for block in re.findall(r"```bash\n(.*?)```", TEXT, re.DOTALL) for line in block.splitlines()]
FILM, PATIENT = "wrist_0093", "4f4f64c971b7fe56"


def test_the_walkthrough_runs_as_printed(own: Path, tmp_path: Path) -> None:
    assert len(COMMANDS) == 15
    assert COMMANDS[0].startswith("make setup && ")  # the virtual environment that runs this test
    films = pd.read_csv(own / "data/dataset/split.csv")
    film = films[films["split"] == "test"].iloc[0]
    variables, output = forked_environment() | {"HOME": str(tmp_path)}, {}
    for command in COMMANDS[1:]:
        here = command.replace(FILM, film["image_id"]).replace(PATIENT, film["patient_id"])
        words = ["bash", "-euo", "pipefail", "-c", here]
        done = subprocess.run(words, cwd=own, env=variables, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{here}\n{done.stdout}\n{done.stderr}"
        output[command] = done.stdout
    assert all("no discrepancy" in text for command, text in output.items() if "verify" in command)
    (digest,) = (text.split()[0] for command, text in output.items() if command.startswith("md5sum"))
    (record,) = (text for command, text in output.items() if command.startswith("grep"))
    assert f"md5: {digest}" in record
    assert film["image_id"] in next(text for command, text in output.items() if "dry-run" in command)


def test_the_examples_are_of_the_embedded_sample() -> None:
    """A film and its patient that the first `make repro` has."""
    film = plan_films(read_yaml(ROOT / "params.yaml")["ingest"]["sources"][0]["films"])[93]
    assert f"wrist_{film.film:04d}" == FILM
    assert PUBLIC.name("patient", f"sample-{film.source}/{film.patient}") == PATIENT
