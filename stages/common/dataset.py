"""data/dataset in memory: the images and masks of one side of the split."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from stages.common.artifacts import read_png, read_table
from stages.common.errors import Fault


@dataclass(frozen=True)
class Films:
    """Images uint8 (N, H, W) and masks bool (N, H, W) in the order of `ids`."""

    ids: list[str]
    images: np.ndarray
    masks: np.ndarray


def load_films(folder: Path, split: str) -> Films:
    """The films that split.csv marks as `split` (train, validation or test), sorted by id.

    Raises:
        Fault: none is marked so, or a picture is missing or unreadable.
    """
    index = read_table(folder / "split.csv")
    chosen = index[index["split"] == split].sort_values("image_id")
    if chosen.empty:
        raise Fault(f"{folder / 'split.csv'}: expected films marked {split}, found none; run `dvc repro annotate`")
    side = "test" if split == "test" else "train"
    ids = list(chosen["image_id"])
    images = np.stack([read_png(folder / side / f"{name}.png") for name in ids])
    masks = np.stack([read_png(folder / f"{side}_mask" / f"{name}.png") > 0 for name in ids])
    return Films(ids, images, masks)
