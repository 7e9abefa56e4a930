from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from stages.common.core.errors import UserError
from stages.common.core.files import write_png
from stages.common.core.hashing import sha256
from stages.common.core.validation import validate
from stages.ingest.quality.expectations import manifest_facts, manifest_suite


@pytest.fixture
def manifest(here: Path) -> pd.DataFrame:
    """A sound manifest of two films of 40 x 30 pixels, the first with a box."""
    rows = []
    for name, fractures in (("a", 1), ("b", 0)):
        write_png(here / f"{name}.png", np.zeros((30, 40), np.uint8))
        facts = {"patient_id": "p", "group": "p", "licence": "CC BY 4.0", "modality": "OT", "bits": 8}
        size = {"width": 40, "height": 30, "file": f"{name}.png", "file_sha256": sha256(here / f"{name}.png")}
        rows.append({"image_id": name, "fractures": fractures} | facts | size)
    return pd.DataFrame(rows)


def check(manifest: pd.DataFrame, points: str = "10 5 20 15") -> int:
    annotations = pd.DataFrame({"image_id": ["a"], "points": [points]})
    facts = manifest_facts(manifest, annotations, Path())
    return len(validate("raw manifest", facts, manifest_suite(), "image_id", Path("docs")))


def test_a_sound_manifest_passes(manifest: pd.DataFrame) -> None:
    assert check(manifest) == 9


@pytest.mark.parametrize("points", ["10 5 41 15", "-1 5 20 15", "1 1 2 2 3 1;5 5 6 6 7 31"])
def test_a_shape_beside_its_film_is_named(points: str, manifest: pd.DataFrame) -> None:
    with pytest.raises(UserError, match="every shape lies on its film; failed rows: a"):
        check(manifest, points)


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
        (put("fractures", 2), "every stated fracture has its shape; failed rows: a"),
        (put("patient_id", ""), "every film has a patient; failed rows: a"),
        (put("group", ""), "every film has a group; failed rows: a"),
        (put("licence", ""), "every film has a licence; failed rows: a"),
        (put("bits", 12), "films have 8 or 16 bits; failed rows: a"),
        (put("modality", "MR"), "modalities are known; failed rows: a"),
    ],
)
def test_a_violation_names_rule_and_row(
    change: Callable[[pd.DataFrame], None], said: str, manifest: pd.DataFrame
) -> None:
    change(manifest)
    with pytest.raises(UserError, match=said):
        check(manifest)
