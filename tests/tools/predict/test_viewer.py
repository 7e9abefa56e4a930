"""What the viewer is given of a prediction lies where the prediction's mask lies, however the film is stored."""

import base64
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from stages.common.data.geometry import Affine
from tools.predict.films import DecodedFilm
from tools.predict.model import Prediction, to_film
from tools.predict.outputs import ModelFacts, viewed

SHAPE, SIZE = (90, 60), 32
MODEL: ModelFacts = {"name": "adaptive", "weights_sha256": "", "params_sha256": "", "threshold": 0.5}

FLIPS = [(False, False), (True, False), (False, True), (True, True)]


@pytest.mark.parametrize("flips", FLIPS)
def test_layers_lie_where_the_mask_does(flips: tuple[bool, bool]) -> None:
    affine = Affine(0.4, 0.4, 3.0, -2.0)
    grid = np.zeros((SIZE, SIZE), np.float32)
    grid[5:11, 8:12] = 0.9
    probability = to_film(grid, affine, SHAPE)
    prediction = Prediction(probability, probability >= 0.5, [], grid, affine, None, 0.0, None, 0.0, 1.0)
    film = DecodedFilm(np.zeros(SHAPE, np.uint8), flips=flips)
    found = viewed(film, prediction, MODEL)
    assert found["label"] is None
    content = base64.b64decode(found["models"][0]["probability"].removeprefix("data:image/png;base64,"))
    rows, columns = np.nonzero(np.asarray(Image.open(BytesIO(content))) >= 255 * 0.5)
    left, top, width, height = found["grid"]
    stored = np.nonzero(film.as_stored(prediction.mask))
    assert top + height / SIZE * (rows.mean() + 0.5) == pytest.approx(stored[0].mean() + 0.5, abs=1)
    assert left + width / SIZE * (columns.mean() + 0.5) == pytest.approx(stored[1].mean() + 0.5, abs=1)


@pytest.mark.parametrize("flips", FLIPS)
def test_a_box_is_mirrored_as_its_film_is(flips: tuple[bool, bool]) -> None:
    mask = np.zeros(SHAPE, bool)
    mask[10:25, 30:33] = True
    film = DecodedFilm(mask.astype(np.uint8), flips=flips)
    left, top, right, bottom = film.box_as_stored((30, 10, 33, 25))
    stored = np.zeros(SHAPE, bool)
    stored[top:bottom, left:right] = True
    np.testing.assert_array_equal(stored, film.as_stored(mask))
