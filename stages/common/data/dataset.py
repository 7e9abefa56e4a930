"""data/dataset as arrays: the images and masks of one side of the split, in memory or mapped from a file."""

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile

import numpy as np
import pandas as pd

from stages.common.core.errors import UserError
from stages.common.core.files import read_png
from stages.common.core.parallel import count_workers
from stages.common.data.layout import CHANNELS, Input, Side, dataset_file, dataset_folder, fold_column, fold_columns
from stages.common.data.tables import SPLIT, pictures_in, require_films

MAPPED = 2**30  # bytes from which films are mapped: the system then keeps those in memory that fit


@dataclass(frozen=True)
class Films:
    """In the order of `ids`: what a network sees, uint8 (N, C, H, W), and masks, bool (N, H, W)."""

    ids: list[str]
    inputs: np.ndarray
    masks: np.ndarray


def load_films(folder: Path, side: Side, what: Input = "image", fold: int = 1) -> Films:
    """The films that stand on a side of a fold, sorted by id.

    Pictures are read by WORKERS threads (in the environment, default the usable cores), which changes no result. More
    than MAPPED bytes are mapped from a file beside `folder`, which has no name and vanishes with the process.

    Args:
        folder: data/dataset.
        side: train, validation or test.
        what: the prepared films, their multilevel maps, or both as two channels.
        fold: counted from 1.
    Raises:
        UserError: there is no such fold, no film stands there, split.csv has not one row for each picture, or a picture
            is missing or unreadable.
    """
    table, films = folder / SPLIT.name, SPLIT.read(folder)
    known = fold_columns(films)
    if fold not in known:
        raise UserError(
            f"{table}: expected fold {fold}, found {', '.join(map(str, known))}; correct evaluate.folds in params.yaml"
        )
    chosen = films[films[fold_column(fold)] == side].sort_values("image_id")
    if chosen.empty:
        raise UserError(
            f"{table}: expected films marked {side} in fold {fold}, found none; change annotate.split in params.yaml, "
            "or leave the fold out of evaluate.folds"
        )
    require_dataset(table, films)
    ids = list(chosen["image_id"])
    paths = [
        [dataset_file(folder, *film, kind) for kind in (*CHANNELS[what], "mask")]
        for film in zip(chosen["split"], ids, strict=True)
    ]
    height, width = read_png(paths[0][0]).shape
    channels = len(CHANNELS[what])
    inputs = new_array(folder.parent, (len(ids), channels, height, width), np.dtype(np.uint8))
    masks = new_array(folder.parent, (len(ids), height, width), np.dtype(bool))

    def read(film: int) -> None:
        for channel, path in enumerate(paths[film]):
            picture = read_png(path)
            if picture.shape != (height, width):
                size = f"{picture.shape[0]} x {picture.shape[1]}"
                raise UserError(f"{path}: expected {height} x {width} pixels, found {size}; run `dvc repro annotate`")
            if channel < channels:
                inputs[film, channel] = picture
            else:
                masks[film] = picture > 0

    with ThreadPoolExecutor(count_workers()) as pool:
        list(pool.map(read, range(len(ids))))
    return Films(ids, inputs, masks)


def require_dataset(table: Path, films: pd.DataFrame) -> None:
    """Refuse a split.csv that was cut or exchanged.

    Args:
        table: its file.
        films: what it holds.
    Raises:
        UserError: the films that it uses are not those with a mask.
    """
    used = films[films["split"] != "unused"]
    own = used["split"].map(lambda side: dataset_folder(side, "mask"))
    for folder in (dataset_folder(side, "mask") for side in ("train", "test")):
        require_films(table, used.loc[own == folder, "image_id"], pictures_in(table.parent / folder))


def new_array(folder: Path, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """An array to be filled, in memory, or from MAPPED bytes on in a file of `folder` that has no name.

    Raises:
        OSError: the file system has no room for it.
    """
    size = int(np.prod(shape)) * dtype.itemsize
    if size < MAPPED:
        return np.empty(shape, dtype)
    with TemporaryFile(dir=folder) as file:
        os.posix_fallocate(file.fileno(), 0, size)  # else a full disk would end the process where the array is filled
        return np.memmap(file, dtype, "r+", shape=shape)
