"""Preprocess: every raw film becomes a small square 8-bit image, with the affine that took it there.

Run: python -m stages.preprocess     (dvc repro preprocess)
"""

from dataclasses import asdict
from functools import partial
from pathlib import Path

import pandas as pd

from stages.common.artifacts import new_folder, read_png, read_table, write_png, write_table
from stages.common.parallel import executor, track
from stages.common.stage import run_stage
from stages.preprocess.chain import prepare
from stages.preprocess.params import Params


def main(settings: Params, source: Path = Path("data/raw"), target: Path = Path("data/preprocessed")) -> str:
    manifest = read_table(source / "manifest.csv")
    films = list(zip(manifest["image_id"], manifest["file"], strict=True))
    with new_folder(target) as out, executor() as pool:
        work = partial(prepare_file, settings=settings, source=source, out=out)
        index = pd.DataFrame(track(pool, work, films, "preprocess"))
        write_table(out / "index.csv", index)
    kept = 1 - (1 - index["kept_share"]).mean()
    return f"{len(index)} films at {settings.size} x {settings.size}, crop keeps {kept:.0%} of a film -> {target}"


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


if __name__ == "__main__":
    run_stage("preprocess", main)
