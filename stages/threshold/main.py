"""Threshold: every preprocessed film is split into grey levels (the paper's multilevel thresholding).

Run: python -m stages.threshold     (dvc repro threshold)
"""

from functools import partial
from pathlib import Path

import pandas as pd

from stages.common.core.files import new_folder, read_table, write_table
from stages.common.core.parallel import executor, track
from stages.threshold.params import Params
from stages.threshold.process_film import legend, split_file


def main(settings: Params, source: Path = Path("data/preprocessed"), target: Path = Path("data/levels")) -> str:
    index = read_table(source / "index.csv")
    with new_folder(target) as out, executor() as pool:
        work = partial(split_file, settings=settings, source=source.resolve(), out=out)
        rows = track(pool, work, index.to_dict("records"), "threshold")
        write_table(out / "index.csv", pd.DataFrame(rows))
        write_table(out / "legend.csv", legend(settings.classes))
    return f"{len(index)} films in {settings.classes} levels by {settings.criterion} -> {target}"
