"""What a worker process does with one film."""

from dataclasses import asdict
from pathlib import Path

import cv2

from stages.common.core.files import read_png, write_png
from stages.preprocess.params import Params
from stages.preprocess.steps import prepare

# A worker has one core. Processes that we start inherit this; a cluster's workers, started by others, do not.
cv2.setNumThreads(1)


def prepare_file(film: tuple[str, str], settings: Params, source: Path, out: Path) -> dict[str, object]:
    """Prepare one film and return its row of index.csv: the affine, the film's place on the square, the share kept."""
    image_id, file = film
    raw = read_png(source / file)
    prepared, frame = prepare(raw, settings)
    write_png(out / "images" / f"{image_id}.png", prepared)
    rows, columns = frame.film
    area = (rows.stop - rows.start) * (columns.stop - columns.start)
    kept = area / (frame.affine.scale_x * frame.affine.scale_y) / raw.size
    place = {"top": rows.start, "bottom": rows.stop, "left": columns.start, "right": columns.stop}
    return {"image_id": image_id, **asdict(frame.affine), **place, "kept_share": kept}
