"""Preprocess: every raw film becomes a small square 8-bit image, with the affine that took it there.

Run: python -m stages.preprocess     (dvc repro preprocess)
"""

from functools import partial
from pathlib import Path

import pandas as pd

from stages.common.core.files import new_folder, read_table, write_table
from stages.common.core.parallel import executor, track
from stages.preprocess.params import Params
from stages.preprocess.process_film import prepare_file


def main(settings: Params, source: Path = Path("data/raw"), target: Path = Path("data/preprocessed")) -> str:
    manifest = read_table(source / "manifest.csv")
    films = list(zip(manifest["image_id"], manifest["file"], strict=True))
    with new_folder(target) as out, executor() as pool:
        work = partial(prepare_file, settings=settings, source=source.resolve(), out=out)
        index = pd.DataFrame(track(pool, work, films, "preprocess"))
        write_table(out / "index.csv", index)
    kept = index["kept_share"].mean()
    return f"{len(index)} films at {settings.size} x {settings.size}, crop keeps {kept:.0%} of a film -> {target}"
