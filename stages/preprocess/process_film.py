"""What a worker process does with one film."""

from pathlib import Path

import cv2

from stages.common.core.files import read_png, write_png
from stages.common.data.layout import image_file
from stages.common.data.rows import ManifestRow, PreparedRow
from stages.preprocess.params import Params
from stages.preprocess.steps import prepare

# A worker has one core. Processes that we start inherit this; a cluster's workers, started by others, do not.
cv2.setNumThreads(1)


def prepare_file(film: ManifestRow, settings: Params, source: Path, out: Path) -> PreparedRow:
    """Prepare one film, write its picture, and return its row of index.csv.

    Args:
        source: the folder data/raw.
        out: the folder that becomes data/preprocessed.
    """
    raw = read_png(source / film["file"])
    prepared, frame = prepare(raw, settings)
    write_png(image_file(out, film["image_id"]), prepared)
    rows, columns = frame.film
    row: PreparedRow = {
        "image_id": film["image_id"],
        "scale_x": frame.affine.scale_x,
        "scale_y": frame.affine.scale_y,
        "shift_x": frame.affine.shift_x,
        "shift_y": frame.affine.shift_y,
        "top": rows.start,
        "bottom": rows.stop,
        "left": columns.start,
        "right": columns.stop,
        "kept_share": 0.0,
    }
    row["kept_share"] = kept_share(row, raw.size)
    return row


def kept_share(row: PreparedRow, pixels: int) -> float:
    """The share of a raw film's area that lies on the square, 0..1.

    Args:
        row: with the film's place there and its scale.
        pixels: of the raw film.
    """
    area = (row["bottom"] - row["top"]) * (row["right"] - row["left"])
    return area / (row["scale_x"] * row["scale_y"]) / pixels
