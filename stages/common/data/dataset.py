"""data/dataset in memory: the images and masks of one side of the split."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from stages.common.core.errors import UserError
from stages.common.core.files import read_png, read_table
from stages.common.core.parallel import count_workers

Input = Literal["image", "levels", "both"]


@dataclass(frozen=True)
class Films:
    """In the order of `ids`: what a network sees, uint8 (N, C, H, W), and masks, bool (N, H, W)."""

    ids: list[str]
    inputs: np.ndarray
    masks: np.ndarray


def load_films(folder: Path, split: str, what: Input = "image", fold: int = 1) -> Films:
    """The films that split.csv marks as `split` (train, validation or test) in a fold, sorted by id.

    Pictures are read by WORKERS threads (in the environment, default the usable cores), which changes no result.

    Args:
        what: the prepared films, their multilevel maps, or both as two channels.
        fold: 1 is the column `split`, which also says in whose folder a film lies; n is the column `fold_n`.
    Raises:
        UserError: there is no such fold, none is marked so, or a picture is missing or unreadable.
    """
    place = folder / "split.csv"
    index = read_table(place)
    column = "split" if fold == 1 else f"fold_{fold}"
    if column not in index:
        known = ["1", *(name[5:] for name in map(str, index) if name.startswith("fold_"))]
        raise UserError(
            f"{place}: expected fold {fold}, found {', '.join(known)}; correct evaluate.folds in params.yaml"
        )
    chosen = index[index[column] == split].sort_values("image_id")
    if chosen.empty:
        raise UserError(f"{place}: expected films marked {split} in fold {fold}, found none; run `dvc repro annotate`")
    ids = list(chosen["image_id"])
    sides = ["test" if side == "test" else "train" for side in chosen["split"]]
    kinds = {"image": ("",), "levels": ("_levels",), "both": ("", "_levels")}[what]
    with ThreadPoolExecutor(count_workers()) as pool:

        def read(kind: str) -> np.ndarray:
            paths = [folder / f"{side}{kind}" / f"{name}.png" for side, name in zip(sides, ids, strict=True)]
            return np.stack(list(pool.map(read_png, paths)))

        return Films(ids, np.stack([read(kind) for kind in kinds], axis=1), read("_mask") > 0)
