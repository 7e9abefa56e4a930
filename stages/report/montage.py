"""A picture of four test films with the errors of both models, for whoever sees no page."""

import numpy as np

from stages.common.analysis.overlays import errors, outlined, overlay
from stages.report.films import TestFilms

QUARTILES = (0, 0.25, 0.5, 0.75)


def montage(films: TestFilms) -> np.ndarray:
    """Label, baseline and adaptive for the test films at the quartiles of baseline F1, best first; uint8 RGB.

    Quartiles, so that the picture shows a failure with the same right as a success. Films without a fracture are left
    out, unless all are.
    """
    table = films.scores["baseline"].sort_values("f1", ascending=False, kind="stable")
    fractured = table[table["tp"] + table["fn"] > 0]
    names = list((fractured if len(fractured) else table)["image_id"])
    columns = []
    for name in (names[round(share * (len(names) - 1))] for share in QUARTILES):
        maps = films.maps(name)
        label = maps.mask > 0
        tiles = [outlined(maps.image, label)]
        for mask in maps.predicted.values():
            tiles.append(overlay(maps.image, errors(mask_pred=mask > 0, mask_ref=label)))
        columns.append(np.vstack(tiles))
    return np.hstack(columns)
