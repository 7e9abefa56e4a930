"""data/dataset in memory: the images and masks of one side of the split."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from stages.common.artifacts import read_png, read_table
from stages.common.errors import Fault
from stages.common.parallel import count_workers

Input = Literal["image", "levels", "both"]


@dataclass(frozen=True)
class Films:
    """In the order of `ids`: what a network sees, uint8 (N, C, H, W), and masks, bool (N, H, W)."""

    ids: list[str]
    inputs: np.ndarray
    masks: np.ndarray


def load_films(folder: Path, split: str, what: Input = "image") -> Films:
    """The films that split.csv marks as `split` (train, validation or test), sorted by id.

    Pictures are read by WORKERS threads (in the environment, default the usable cores), which changes no result.

    Args:
        what: the prepared films, their multilevel maps, or both as two channels.
    Raises:
        Fault: none is marked so, or a picture is missing or unreadable.
    """
    index = read_table(folder / "split.csv")
    chosen = index[index["split"] == split].sort_values("image_id")
    if chosen.empty:
        raise Fault(f"{folder / 'split.csv'}: expected films marked {split}, found none; run `dvc repro annotate`")
    side = "test" if split == "test" else "train"
    ids = list(chosen["image_id"])
    kinds = {"image": ("",), "levels": ("_levels",), "both": ("", "_levels")}[what]
    with ThreadPoolExecutor(count_workers()) as pool:

        def read(kind: str) -> np.ndarray:
            return np.stack(list(pool.map(read_png, [folder / f"{side}{kind}" / f"{name}.png" for name in ids])))

        return Films(ids, np.stack([read(kind) for kind in kinds], axis=1), read("_mask") > 0)
