"""Where files lie."""

from pathlib import Path

import pytest

from stages.common.data.layout import DATASET, DATASET_FOLDERS, Picture, dataset_file, fold_column, fold_columns


@pytest.mark.parametrize(
    ("side", "picture", "path"),
    [
        ("test", "image", "data/dataset/test/f.png"),
        ("test", "mask", "data/dataset/test_mask/f.png"),
        ("train", "levels", "data/dataset/train_levels/f.png"),
        ("validation", "mask", "data/dataset/train_mask/f.png"),
    ],
)
def test_test_films_lie_in_test_and_all_others_in_train(side: str, picture: Picture, path: str) -> None:
    assert dataset_file(DATASET, side, "f", picture) == Path(path)


def test_the_folders_of_the_data_set_are_six() -> None:
    assert sorted(DATASET_FOLDERS) == ["test", "test_levels", "test_mask", "train", "train_levels", "train_mask"]


def test_folds_are_columns() -> None:
    assert [fold_column(fold) for fold in (1, 2, 10)] == ["split", "fold_2", "fold_10"]
    assert fold_columns(["image_id", "split", "fold_2", "fold_10", "group"]) == {
        1: "split",
        2: "fold_2",
        10: "fold_10",
    }
    assert fold_columns(["image_id"]) == {}
