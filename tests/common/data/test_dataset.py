from pathlib import Path

import numpy as np
import pytest

from stages.common.core.errors import UserError
from stages.common.core.files import write_png
from stages.common.data.dataset import load_films
from stages.common.data.tables import SPLIT
from tests.helpers.tables import filled

ROLES = {"split": ["train", "test", "validation"], "fold_2": ["test", "train", "validation"]}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three films of one grey level each; the second lies in the folder of the test films."""
    names = ["a", "b", "c"]
    SPLIT.write(tmp_path, filled(SPLIT, {"image_id": names} | ROLES))
    for name, side, level in zip(names, ("train", "test", "train"), (10, 20, 30), strict=True):
        for kind, value in (("", level), ("_levels", level + 1), ("_mask", 255)):
            write_png(tmp_path / f"{side}{kind}" / f"{name}.png", np.full((4, 4), value, np.uint8))
    return tmp_path


@pytest.mark.parametrize(("fold", "level"), [(1, 20), (2, 10)])
def test_each_fold_has_its_own_test_film(fold: int, level: int, folder: Path) -> None:
    films = load_films(folder, "test", "both", fold)
    assert films.inputs[0, :, 0, 0].tolist() == [level, level + 1]
    assert films.masks.all()


def test_the_number_of_reading_threads_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = [f"film{i:02}" for i in range(20)]
    SPLIT.write(tmp_path, filled(SPLIT, {"image_id": names[::-1], "split": "train"}))
    for level, name in enumerate(names):
        write_png(tmp_path / "train" / f"{name}.png", np.full((4, 4), level, np.uint8))
        write_png(tmp_path / "train_mask" / f"{name}.png", np.full((4, 4), 255 * (level % 2), np.uint8))
    for workers in ("1", "2", "7"):
        monkeypatch.setenv("WORKERS", workers)
        films = load_films(tmp_path, "train")
        assert films.ids == names
        assert films.inputs[:, 0, 0, 0].tolist() == list(range(20))
        assert films.masks[:, 0, 0].tolist() == [False, True] * 10


def test_a_fold_that_is_not_there_is_said(folder: Path) -> None:
    with pytest.raises(UserError, match=r"expected fold 3, found 1, 2; correct evaluate\.folds"):
        load_films(folder, "test", fold=3)


def test_mapped_films_are_those_in_memory_and_their_file_has_no_name(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, before = load_films(folder, "train", "both"), sorted(folder.parent.rglob("*"))
    monkeypatch.setattr("stages.common.data.dataset.MAPPED", 0)
    mapped = load_films(folder, "train", "both")
    assert (type(whole.inputs), type(mapped.inputs), type(mapped.masks)) == (np.ndarray, np.memmap, np.memmap)
    assert (mapped.inputs.tobytes(), mapped.masks.tobytes()) == (whole.inputs.tobytes(), whole.masks.tobytes())
    assert mapped.ids == whole.ids
    assert sorted(folder.parent.rglob("*")) == before


def test_a_picture_of_another_size_is_named(folder: Path) -> None:
    write_png(folder / "train_mask/a.png", np.zeros((4, 5), np.uint8))
    with pytest.raises(UserError, match=r"train_mask/a\.png: expected 4 x 4 pixels, found 4 x 5"):
        load_films(folder, "train")
