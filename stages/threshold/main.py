"""Threshold: every preprocessed film is split into grey levels (the paper's multilevel thresholding).

Run: python -m stages.threshold     (dvc repro threshold)
"""

from functools import partial

from stages.common.core.files import new_folder
from stages.common.core.parallel import executor, track
from stages.common.data.layout import LEVELS, PREPROCESSED
from stages.common.data.tables import LEGEND, PREPARED, THRESHOLDS
from stages.threshold.params import Params
from stages.threshold.process_film import level_greys, split_file


def main(settings: Params) -> str:
    films = PREPARED.rows(PREPARED.read_films(PREPROCESSED))
    with new_folder(LEVELS) as out, executor() as pool:
        work = partial(split_file, settings=settings, source=PREPROCESSED.resolve(), out=out)
        THRESHOLDS.write(out, THRESHOLDS.frame(track(pool, work, films, "threshold")))
        greys = level_greys(settings.classes).tolist()
        LEGEND.write(out, LEGEND.frame([{"level": level, "grey": grey} for level, grey in enumerate(greys)]))
    return f"{len(films)} films in {settings.classes} levels by {settings.criterion} -> {LEVELS}"
