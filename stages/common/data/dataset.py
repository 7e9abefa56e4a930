"""data/dataset in memory: the images and masks of one side of the split."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from stages.common.core.errors import UserError
from stages.common.core.files import read_png
from stages.common.core.parallel import count_workers
from stages.common.data.layout import CHANNELS, Input, Picture, Side, dataset_file, fold_column, fold_columns
from stages.common.data.tables import SPLIT


@dataclass(frozen=True)
class Films:
    """In the order of `ids`: what a network sees, uint8 (N, C, H, W), and masks, bool (N, H, W)."""

    ids: list[str]
    inputs: np.ndarray
    masks: np.ndarray


def load_films(folder: Path, side: Side, what: Input = "image", fold: int = 1) -> Films:
    """The films that stand on a side of a fold, sorted by id.

    Pictures are read by WORKERS threads (in the environment, default the usable cores), which changes no result.

    Args:
        folder: data/dataset.
        side: train, validation or test.
        what: the prepared films, their multilevel maps, or both as two channels.
        fold: counted from 1.
    Raises:
        UserError: there is no such fold, no film stands there, or a picture is missing or unreadable.
    """
    table, films = folder / SPLIT.name, SPLIT.read(folder)
    known = fold_columns(films)
    if fold not in known:
        raise UserError(
            f"{table}: expected fold {fold}, found {', '.join(map(str, known))}; correct evaluate.folds in params.yaml"
        )
    chosen = films[films[fold_column(fold)] == side].sort_values("image_id")
    if chosen.empty:
        raise UserError(f"{table}: expected films marked {side} in fold {fold}, found none; run `dvc repro annotate`")
    ids = list(chosen["image_id"])
    with ThreadPoolExecutor(count_workers()) as pool:

        def read(picture: Picture) -> np.ndarray:
            paths = [dataset_file(folder, *film, picture) for film in zip(chosen["split"], ids, strict=True)]
            return np.stack(list(pool.map(read_png, paths)))

        return Films(ids, np.stack([read(kind) for kind in CHANNELS[what]], axis=1), read("mask") > 0)
