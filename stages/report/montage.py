"""A picture of four test films with the errors of both models, for whoever sees no page."""

from pathlib import Path

import numpy as np

from stages.common.analysis.overlays import errors, outline, overlay
from stages.common.core.files import read_png
from stages.common.data.layout import DATASET, EVALUATION, PREDICTED_MASK, dataset_file, map_file
from stages.common.data.tables import PER_IMAGE
from stages.report.evaluations import Evaluated

QUARTILES = (0, 0.25, 0.5, 0.75)


def montage(root: Path, runs: dict[str, list[Evaluated]]) -> np.ndarray:
    """Label, baseline and adaptive for the test films at the quartiles of baseline F1, best first; uint8 RGB.

    Quartiles, so that the picture shows a failure with the same right as a success. Films without a fracture are left
    out, unless all are.

    Args:
        root: the folder that holds data/ and reports/.
        runs: of each variant, by seed and fold; the first of each is shown.
    """
    folders = {name: root / EVALUATION / evaluated[0].run.folder for name, evaluated in runs.items()}
    table = PER_IMAGE.read(folders["baseline"]).sort_values("f1", ascending=False, kind="stable")
    fractured = table[table["tp"] + table["fn"] > 0]
    names = list((fractured if len(fractured) else table)["image_id"])
    columns = []
    for name in (names[round(share * (len(names) - 1))] for share in QUARTILES):
        film, label = (read_png(dataset_file(root / DATASET, "test", name, kind)) for kind in ("image", "mask"))
        tiles = [overlay(film, np.where(outline(label > 0), 2, 0))]
        for folder in folders.values():
            mask = read_png(map_file(folder, PREDICTED_MASK, name)) > 0
            tiles.append(overlay(film, errors(mask_pred=mask, mask_ref=label > 0)))
        columns.append(np.vstack(tiles))
    return np.hstack(columns)
