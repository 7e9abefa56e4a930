import base64
from io import BytesIO

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from PIL import Image
from scipy.ndimage import binary_erosion

from stages.common.analysis.colours import FOUND, LABELLED, MARKED, MISSED
from stages.common.analysis.overlays import (
    TILE,
    errors,
    outline,
    outlined,
    overlay,
    png_uri,
    stretched,
    tiles,
)

PRED, REF = np.array([[True, True, False, False]]), np.array([[True, False, True, False]])


def test_each_kind_of_error_has_its_colour_and_the_rest_stays_grey() -> None:
    painted = overlay(np.full((1, 4), 100, np.uint8), errors(mask_pred=PRED, mask_ref=REF))
    for column, colour in enumerate((FOUND, MARKED, MISSED)):
        np.testing.assert_allclose(painted[0, column], 45 + 0.55 * np.array(colour), atol=0.51)
    assert painted[0, 3].tolist() == [100, 100, 100]


def test_tiles_are_squares_in_a_row_with_the_whole_film_first() -> None:
    film = np.zeros((30, 20), np.uint8)
    film[:, 10:] = 255
    row = tiles(film, [np.full((16, 16), 50, np.uint8), np.full((16, 16, 3), (1, 2, 3), np.uint8)])
    assert row.shape == (16, 48, 3)
    assert row[8, [1, 4, 12, 14]].max(axis=1).tolist() == [0, 0, 255, 0]  # padding, dark half, bright half, padding
    assert row[8, 20].tolist() == [50, 50, 50]
    assert row[8, 40].tolist() == [1, 2, 3]
    assert tiles(film, [np.zeros((512, 512), np.uint8)]).shape == (TILE, 2 * TILE, 3)


def test_a_picture_in_a_page_is_lossless_as_png() -> None:
    pixels = np.arange(256, dtype=np.uint8).reshape(16, 16)
    content = base64.b64decode(png_uri(pixels).removeprefix("data:image/png;base64,"))
    np.testing.assert_array_equal(np.asarray(Image.open(BytesIO(content))), pixels)


def test_outline_draws_the_border_only() -> None:
    mask = np.zeros((9, 9), bool)
    mask[2:7, 2:7] = True
    assert outline(mask, 1).sum() == 16
    assert outline(mask).sum() == 24
    assert not outline(mask)[4, 4]
    film = outlined(np.full((9, 9), 100, np.uint8), mask)
    assert (film[outline(mask)] == LABELLED).all()
    assert (film[~outline(mask)] == 100).all()


@given(arrays(bool, array_shapes(min_dims=2, max_dims=2, max_side=12)), st.integers(1, 3))
def test_an_outline_is_what_scipys_erosion_removes(mask: np.ndarray, width: int) -> None:
    np.testing.assert_array_equal(outline(mask, width), mask & ~binary_erosion(mask, iterations=width))


def test_a_film_is_shown_over_its_own_range_whatever_bits_it_leaves_unused() -> None:
    grey = np.arange(256, dtype=np.uint8).reshape(16, 16)
    np.testing.assert_array_equal(stretched(grey), grey)
    for scale, offset in ((1, 0), (4, 100), (16, 0), (257, 0)):
        np.testing.assert_array_equal(stretched((grey.astype(np.uint16) * scale + offset).astype(np.uint16)), grey)
    assert (stretched(np.full((4, 4), 900, np.uint16)) == 0).all()
