"""Preprocess: every raw film becomes a small square 8-bit image, with the affine that took it there.

Run: python -m stages.preprocess     (dvc repro preprocess)
"""

from functools import partial

from stages.common.core.files import new_folder
from stages.common.core.parallel import executor, track
from stages.common.data.layout import PREPROCESSED, RAW
from stages.common.data.tables import MANIFEST, PREPARED
from stages.preprocess.params import Params
from stages.preprocess.process_film import prepare_file


def main(settings: Params) -> str:
    films = MANIFEST.rows(MANIFEST.read_films(RAW))
    with new_folder(PREPROCESSED) as out, executor() as pool:
        work = partial(prepare_file, settings=settings, source=RAW.resolve(), out=out)
        index = PREPARED.frame(track(pool, work, films, "preprocess"))
        PREPARED.write(out, index)
    kept = index["kept_share"].mean()
    crop = f"crop keeps {100 * kept:.0f} % of a film"
    return f"{len(index)} films at {settings.size} x {settings.size}, {crop} -> {PREPROCESSED}"
