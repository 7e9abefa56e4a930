"""What a worker process does with one film."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from stages.common.artifacts import read_png, write_png
from stages.common.errors import Fault
from stages.threshold.multilevel import multilevel_thresholds, objective, split_levels
from stages.threshold.params import Params


def split_file(film: dict[str, Any], settings: Params, source: Path, out: Path) -> dict[str, object]:
    """Split one film, padding left out of its histogram, and return its row of index.csv: the thresholds."""
    image_id = film["image_id"]
    image = read_png(source / "images" / f"{image_id}.png")
    shown = image[int(film["top"]) : int(film["bottom"]), int(film["left"]) : int(film["right"])]
    histogram = np.bincount(shown.ravel(), minlength=256)
    try:
        thresholds = multilevel_thresholds(histogram, settings.classes, settings.criterion)
    except ValueError as error:
        raise Fault(f"{image_id}: {error}; the film is nearly blank: remove it, or lower threshold.classes") from None
    levels = legend(settings.classes)["grey"].to_numpy(np.uint8)[split_levels(image, thresholds)]
    write_png(out / "images" / f"{image_id}.png", levels)
    worth = objective(histogram, thresholds, settings.criterion)
    return {"image_id": image_id, "thresholds": " ".join(map(str, thresholds)), "objective": worth}


def legend(classes: int) -> pd.DataFrame:
    """Which grey of a level map stands for which level, 0 for the darkest; spread out, so that a person sees them."""
    return pd.DataFrame({"level": range(classes), "grey": [level * (255 // (classes - 1)) for level in range(classes)]})
