"""What a worker process does with one film."""

from pathlib import Path

import numpy as np

from stages.common.core.errors import UserError
from stages.common.core.files import read_png, write_png
from stages.common.data.layout import image_file
from stages.common.data.rows import LevelsRow, PreparedRow
from stages.threshold.multilevel import multilevel_thresholds, objective, split_levels
from stages.threshold.params import Params


def split_file(film: PreparedRow, settings: Params, source: Path, out: Path) -> LevelsRow:
    """Split one film, padding left out of its histogram, write its map, and return its row of index.csv.

    Args:
        source: the folder data/preprocessed.
        out: the folder that becomes data/levels.
    Raises:
        UserError: the film has fewer grey levels than classes.
    """
    image_id = film["image_id"]
    image = read_png(image_file(source, image_id))
    shown = (slice(film["top"], film["bottom"]), slice(film["left"], film["right"]))
    try:
        levels, thresholds = level_map(image, shown, settings)
    except ValueError as error:
        raise UserError(
            f"{image_id}: {error}; the film is nearly blank: remove it, or lower threshold.classes"
        ) from None
    write_png(image_file(out, image_id), levels)
    reached = objective(np.bincount(image[shown].ravel(), minlength=256), thresholds, settings.criterion)
    return {"image_id": image_id, "thresholds": " ".join(map(str, thresholds)), "objective": reached}


def level_map(image: np.ndarray, shown: tuple[slice, slice], settings: Params) -> tuple[np.ndarray, np.ndarray]:
    """The multilevel map of a prepared film, in the greys of `level_greys`, and its thresholds.

    Args:
        image: uint8 (H, W).
        shown: the part that is film; the padding does not count.
    Raises:
        ValueError: fewer grey levels than classes.
    """
    histogram = np.bincount(image[shown].ravel(), minlength=256)
    thresholds = multilevel_thresholds(histogram, settings.classes, settings.criterion)
    return level_greys(settings.classes)[split_levels(image, thresholds)], thresholds


def level_greys(classes: int) -> np.ndarray:
    """The grey of each level of a map, uint8 (classes,), the darkest first; spread out, so that a person sees them."""
    return (np.arange(classes) * (255 // (classes - 1))).astype(np.uint8)
