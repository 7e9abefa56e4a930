"""The picture and the table on the README's first screen, taken from the last run.

Run: make readme
"""

from pathlib import Path

import numpy as np

from stages.common.analysis.overlays import errors, outline, overlay
from stages.common.core.files import read_png, write_png, write_text
from stages.common.data.layout import (
    COMPARISON_MD,
    DATASET,
    EVALUATION,
    PREDICTED_MASK,
    REPORTS,
    dataset_file,
    map_file,
)
from stages.common.data.run_id import VARIANTS, Run
from stages.common.data.tables import PER_IMAGE

START, END = "<!-- comparison.md -->\n", "<!-- end -->"


def main(root: Path = Path()) -> None:
    text = (root / "README.md").read_text()
    before, rest = text.split(START)
    table = (root / COMPARISON_MD).read_text()
    write_text(root / "README.md", before + START + table + END + rest.split(END)[1])
    write_png(root / REPORTS / "example.png", montage(root))


def montage(root: Path) -> np.ndarray:
    """Label, baseline and adaptive for the test films at the quartiles of baseline F1, best first; uint8 RGB.

    Quartiles, so that the README shows a failure with the same right as a success.
    """
    scores = {name: root / EVALUATION / Run(name).folder for name in VARIANTS}
    table = PER_IMAGE.read(scores["baseline"]).sort_values("f1", ascending=False)
    fractured = table[table["tp"] + table["fn"] > 0]["image_id"].to_list()
    columns = []
    for name in (fractured[round(share * (len(fractured) - 1))] for share in (0, 0.25, 0.5, 0.75)):
        film, label = (read_png(dataset_file(root / DATASET, "test", name, kind)) for kind in ("image", "mask"))
        tiles = [overlay(film, np.where(outline(label > 0), 2, 0))]
        for folder in scores.values():
            mask = read_png(map_file(folder, PREDICTED_MASK, name)) > 0
            tiles.append(overlay(film, errors(mask_pred=mask, mask_ref=label > 0)))
        columns.append(np.vstack(tiles))
    return np.hstack(columns)


if __name__ == "__main__":
    main()
