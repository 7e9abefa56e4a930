"""What the crop keeps of annotated films and removes of their background."""

from functools import cache
from pathlib import Path

import cv2
import numpy as np
from PIL import Image
from skimage.filters import threshold_otsu

from stages.ingest.annotations.coco import read_coco
from stages.preprocess.limb import limb_box

MARGIN = 0.04


def background(image: np.ndarray) -> np.ndarray:
    """What no part of a limb is on: at or below Otsu's threshold of the smoothed film, unexposed edges left out.

    Soft tissue below the threshold counts as background too, so that the share of it that a crop removes is rather
    too low than too high.
    """
    smooth = cv2.GaussianBlur(image, (0, 0), 1.5)
    dark, bright = np.percentile(smooth, [10, 99.5])
    exposed = smooth <= dark + 0.75 * (bright - dark)
    return np.asarray(smooth <= threshold_otsu(smooth[exposed]))


@cache
def annotated_films(folder: Path) -> list[tuple[np.ndarray, list[np.ndarray], np.ndarray]]:
    """Each film of a data set as COCO: grey float32 (H, W) in 0..1, the boxes of its fractures, its background."""
    films = []
    for name, labels in read_coco((folder / "coco.json").read_bytes()).films.items():
        image = np.asarray(Image.open(folder / "images" / name).convert("L")).astype(np.float32) / 255
        films.append((image, [shape.box for shape in labels.shapes], background(image)))
    return films


def removed(folder: Path, level: float, inverted: bool = False) -> tuple[int, int, list[float]]:
    """Fractures kept whole, fractures, and the share of background that the crop removes of each film."""
    kept, total, gone = 0, 0, []
    for image, boxes, ground in annotated_films(folder):
        left, top, right, bottom = limb_box(1 - image if inverted else image, level, MARGIN)
        for box in boxes:
            kept += bool(left <= box[0] and top <= box[1] and right >= box[2] and bottom >= box[3])
            total += 1
        gone.append(1 - float(ground[top:bottom, left:right].sum() / ground.sum()))
    return kept, total, gone
