from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from stages.annotate.expectations import dataset_facts, dataset_suite
from stages.annotate.params import Drawn
from stages.common.core.errors import UserError
from stages.common.core.files import write_png
from stages.common.core.validation import validate

SPLIT = Drawn(seed=0, train=3, test=1, validation=1)


@pytest.fixture
def index(here: Path) -> pd.DataFrame:
    """A sound data set of three train films (one for validation) and one test film."""
    rows = []
    for i, split in enumerate(["train", "train", "validation", "test"]):
        side, mask = ("test" if split == "test" else "train"), np.zeros((8, 8), bool)
        mask[2:4, 2:4] = i > 0
        write_png(here / side / f"f{i}.png", np.zeros((8, 8), np.uint8))
        write_png(here / f"{side}_levels" / f"f{i}.png", np.zeros((8, 8), np.uint8))
        write_png(here / f"{side}_mask" / f"f{i}.png", mask)
        rows.append({"image_id": f"f{i}", "split": split, "group": f"p{i}", "fracture": i > 0})
        rows[-1] |= {f"fold_{n + 2}": "test" if n == i else "train" for n in range(3)}
    return pd.DataFrame(rows)


def check(index: pd.DataFrame) -> list[dict[str, object]]:
    return validate("dataset", dataset_facts(index, Path(), SPLIT), dataset_suite(SPLIT), "image_id", Path("docs"))


def test_a_sound_data_set_passes(index: pd.DataFrame) -> None:
    assert len(check(index)) == 8


def test_a_grey_mask_is_named(index: pd.DataFrame) -> None:
    write_png(Path("train_mask/f1.png"), np.full((8, 8), 128, np.uint8))
    with pytest.raises(UserError, match="masks hold 0 and 255 only; failed rows: f1"):
        check(index)


def test_a_mask_of_another_shape_is_named(index: pd.DataFrame) -> None:
    write_png(Path("test_mask/f3.png"), np.full((8, 9), 255, np.uint8))
    with pytest.raises(UserError, match="one shape; failed rows: f3"):
        check(index)


def test_an_empty_mask_of_a_fracture_is_named(index: pd.DataFrame) -> None:
    write_png(Path("train_mask/f2.png"), np.zeros((8, 8), bool))
    with pytest.raises(UserError, match="marked where there are boxes; failed rows: f2"):
        check(index)


def test_a_patient_on_both_sides_is_named(index: pd.DataFrame) -> None:
    index.loc[3, "group"] = "p0"
    with pytest.raises(UserError, match="no patient and no copy of a film stands on both sides; failed rows: f0, f3"):
        check(index)


def test_a_patient_whom_a_fold_tears_apart_is_named(index: pd.DataFrame) -> None:
    index.loc[1, "group"] = "p0"
    with pytest.raises(UserError, match="tested and trained on in one fold; failed rows: f0, f1"):
        check(index)


def test_a_film_that_no_fold_tests_is_named(index: pd.DataFrame) -> None:
    index.loc[2, "fold_4"] = "train"
    with pytest.raises(UserError, match="each film is tested in one fold; failed rows: f2"):
        check(index)


def test_wrong_sizes_are_named(index: pd.DataFrame) -> None:
    index.loc[0, "split"] = "unused"
    with pytest.raises(UserError, match="3 train and 1 test films; failed rows: f1, f2"):
        check(index)
