"""What must hold of data/dataset, as a great-expectations suite."""

from pathlib import Path

import numpy as np
import pandas as pd

from stages.annotate.params import Drawn, Split
from stages.common.core.files import read_png
from stages.common.core.validation import Expectation
from stages.common.data.layout import PICTURES, dataset_file, fold_columns


def dataset_facts(index: pd.DataFrame, folder: Path, split: Split) -> pd.DataFrame:
    """The used films with what lies on disk: binary masks, aligned shapes, sides per patient, film counts."""
    used = index[index["split"] != "unused"].copy()
    side = used["split"].replace("validation", "train")
    binary, aligned, marked = [], [], []
    for film in zip(used["split"], used["image_id"], strict=True):
        image, levels, mask = (read_png(dataset_file(folder, *film, picture)) for picture in PICTURES)
        binary.append(bool(np.isin(mask, (0, 255)).all()))
        aligned.append({(p.shape, str(p.dtype)) for p in (image, levels, mask)} == {(mask.shape, "uint8")})
        marked.append(bool(mask.any()))
    used["mask_binary"], used["mask_aligned"], used["mask_marked"] = binary, aligned, marked
    used["sides_of_group"] = side.groupby(used["group"]).transform("nunique")
    folds = used[list(fold_columns(used).values())] == "test"
    used["times_tested"] = folds.sum(axis=1)
    used["groups_split"] = folds.groupby(used["group"]).transform("nunique").max(axis=1)
    used["films_on_side"] = side.groupby(side).transform("size")
    if isinstance(split, Drawn):
        used["films_asked"] = side.map({"train": split.train, "test": split.test})
    return used


def dataset_suite(split: Split) -> list[Expectation]:
    """Masks binary, aligned and where fractures are; no patient on both sides; the sizes that params.yaml asks for."""
    rules: list[Expectation] = [
        ("image ids are unique", "ExpectColumnValuesToBeUnique", {"column": "image_id"}),
        ("masks hold 0 and 255 only", "ExpectColumnValuesToBeInSet", {"column": "mask_binary", "value_set": [True]}),
        (
            "film, levels and mask have one shape",
            "ExpectColumnValuesToBeInSet",
            {"column": "mask_aligned", "value_set": [True]},
        ),
        (
            "a mask is marked where there are boxes",
            "ExpectColumnPairValuesToBeEqual",
            {"column_A": "mask_marked", "column_B": "fracture"},
        ),
        (
            "no patient and no copy of a film stands on both sides",
            "ExpectColumnValuesToBeInSet",
            {"column": "sides_of_group", "value_set": [1]},
        ),
        (
            "no patient and no copy of a film is tested and trained on in one fold",
            "ExpectColumnValuesToBeInSet",
            {"column": "groups_split", "value_set": [1]},
        ),
        (
            "each film is tested in one fold",
            "ExpectColumnValuesToBeInSet",
            {"column": "times_tested", "value_set": [1]},
        ),
    ]
    if isinstance(split, Drawn):
        pair = {"column_A": "films_on_side", "column_B": "films_asked"}
        rules.append((f"{split.train} train and {split.test} test films", "ExpectColumnPairValuesToBeEqual", pair))
    return rules
