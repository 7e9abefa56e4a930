"""What a worker process does with one film."""

from pathlib import Path
from typing import Any

import numpy as np

from stages.common.artifacts import read_png, write_png
from stages.common.errors import Fault
from stages.threshold.multilevel import multilevel_thresholds, split_levels
from stages.threshold.params import Params


def split_file(film: dict[str, Any], settings: Params, source: Path, out: Path) -> dict[str, object]:
    """Split one film, padding left out of its histogram, and return its row of index.csv: the thresholds."""
    image_id = film["image_id"]
    image = read_png(source / "images" / f"{image_id}.png")
    shown = image[int(film["top"]) : int(film["bottom"]), int(film["left"]) : int(film["right"])]
    try:
        thresholds = multilevel_thresholds(
            np.bincount(shown.ravel(), minlength=256), settings.classes, settings.criterion
        )
    except ValueError as error:
        raise Fault(f"{image_id}: {error}; the film is nearly blank: remove it, or lower threshold.classes") from None
    levels = split_levels(image, thresholds)
    # Spread over 0..255, so that the picture shows its levels to a person.
    write_png(out / "images" / f"{image_id}.png", (levels * (255 // (settings.classes - 1))).astype(np.uint8))
    return {"image_id": image_id, "thresholds": " ".join(map(str, thresholds))}
