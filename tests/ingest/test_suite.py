from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from stages.common.artifacts import sha256, write_png
from stages.common.errors import Fault
from stages.common.validation import validate
from stages.ingest.records import Record, row
from stages.ingest.suite import manifest_facts, manifest_suite


@pytest.fixture
def manifest(here: Path) -> pd.DataFrame:
    """A sound manifest of two films of 40 x 30 pixels, one with a box."""
    rows = []
    for name, boxes in (("a", [[10.0, 5.0, 20.0, 15.0]]), ("b", [])):
        pixels = np.zeros((30, 40), np.uint8)
        write_png(here / f"{name}.png", pixels)
        places = np.array(boxes).reshape(-1, 4)
        film = Record(name, "folder", "f", "s", "p", "OT", None, "MONOCHROME2", "CC BY 4.0", pixels, places)
        rows.append(row(film, f"{name}.png", sha256(here / f"{name}.png")))
    return pd.DataFrame(rows)


def check(manifest: pd.DataFrame) -> int:
    return len(validate("raw manifest", manifest_facts(manifest, Path()), manifest_suite(), "image_id"))


def test_a_sound_manifest_passes(manifest: pd.DataFrame) -> None:
    assert check(manifest) == 7


def put(column: str, value: object) -> Callable[[pd.DataFrame], None]:
    def change(manifest: pd.DataFrame) -> None:
        manifest[column] = [value, *manifest[column][1:]]

    return change


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (put("image_id", "b"), "image ids are unique; failed rows: b, b"),
        (put("file_sha256", "0"), "stated hash; failed rows: a"),
        (put("file", "gone.png"), "stated hash; failed rows: a"),
        (put("boxes", "10 5 41 15"), "every box lies on its film; failed rows: a"),
        (put("boxes", "20 5 10 15"), "every box lies on its film; failed rows: a"),
        (put("patient_id", ""), "every film has a patient; failed rows: a"),
        (put("licence", ""), "every film has a licence; failed rows: a"),
        (put("bits", 12), "films have 8 or 16 bits; failed rows: a"),
        (put("modality", "MR"), "modalities are known; failed rows: a"),
    ],
)
def test_a_violation_names_rule_and_row(
    change: Callable[[pd.DataFrame], None], said: str, manifest: pd.DataFrame
) -> None:
    change(manifest)
    with pytest.raises(Fault, match=said):
        check(manifest)
