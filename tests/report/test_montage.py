"""The picture of four test films."""

from typing import cast

import numpy as np
import pandas as pd
import pytest

from stages.common.analysis.colours import FOUND, LABELLED, MARKED
from stages.report import films
from stages.report.montage import montage

SIDE = 32


class Films:
    """Nine films, whose grey is their place by F1; a label in the middle, and all of each film predicted."""

    def __init__(self, fractured: bool) -> None:
        order = [4, 0, 8, 2, 6, 1, 3, 5, 7]
        f1 = [1 - place / 10 for place in order]
        table = pd.DataFrame({"image_id": [str(place) for place in order], "f1": f1, "tp": 9 * fractured, "fn": 0})
        none = pd.DataFrame({"image_id": ["no fracture"], "f1": [2.0], "tp": [0], "fn": [0]})
        self.scores = {"baseline": pd.concat([none, table]) if fractured else table}

    def maps(self, name: str) -> films.FilmMaps:
        image, full = np.full((SIDE, SIDE), 10 * int(name), np.uint8), np.full((SIDE, SIDE), 255, np.uint8)
        mask = np.zeros((SIDE, SIDE), np.uint8)
        mask[8:24, 8:24] = 255
        both = {"baseline": full, "adaptive": full}
        return films.FilmMaps(image, image, mask, predicted=both, probability=both)


@pytest.mark.parametrize("fractured", [True, False])
def test_four_films_at_the_quartiles_with_the_errors_of_both_models(fractured: bool) -> None:
    picture = montage(cast("films.TestFilms", Films(fractured)))
    assert picture.shape == (3 * SIDE, 4 * SIDE, 3)
    for column, place in enumerate((0, 2, 4, 6)):  # of nine films
        tiles = picture[:, column * SIDE : (column + 1) * SIDE]
        np.testing.assert_array_equal(tiles[0, 0], [10 * place] * 3)
        np.testing.assert_array_equal(tiles[8, 8], LABELLED)
        for row in (1, 2):
            inside, outside = tiles[row * SIDE + 16, 16], tiles[row * SIDE, 0]
            for seen, colour in ((inside, FOUND), (outside, MARKED)):
                np.testing.assert_allclose(seen, 0.45 * 10 * place + 0.55 * np.array(colour), atol=1)
