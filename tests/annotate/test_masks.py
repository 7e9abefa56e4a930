import numpy as np
import pytest

from stages.annotate.masks import COLUMNS, LINE, SIDE, contact_sheet, draw_mask, rim_of, unlike_bone
from stages.common.analysis.colours import LABELLED
from stages.common.data.shapes import Shape, box_shape


def levels() -> np.ndarray:
    """Background 0, tissue 1, a bone of level 2 from row 10 to 30 with a dark line (1) and a bright edge (3) across."""
    out = np.zeros((40, 40), np.uint8)
    out[5:35] = 1
    out[10:30] = 2
    out[10:30, 20] = 1
    out[10:30, 21] = 3
    return out


BOX = box_shape(16, 14, 26, 26)


def test_box_levels_marks_what_is_unlike_the_bone_around() -> None:
    marked = draw_mask([BOX], (40, 40), "box_levels", levels())
    expected = np.zeros((40, 40), bool)
    expected[14:26, 20:22] = True
    np.testing.assert_array_equal(marked, expected)


@pytest.mark.parametrize("value", [0, 1, 2])
def test_a_box_without_a_difference_or_without_bone_around_is_marked_whole(value: int) -> None:
    flat = np.full((40, 40), value, np.uint8)
    flat[0, 0] = 0
    assert draw_mask([BOX], (40, 40), "box_levels", flat).sum() == 120


def test_of_two_levels_as_frequent_the_higher_is_bone() -> None:
    grid = np.zeros((20, 20), np.uint8)
    grid[:, :10], grid[:, 10:] = 1, 2
    grid[0, 0] = 0
    marked = unlike_bone(np.array([8.0, 8, 12, 12]), grid)
    np.testing.assert_array_equal(np.unique(np.nonzero(marked)[1]), [8, 9])


def test_box_and_polygon() -> None:
    triangle = Shape("f", "polygon", (np.array([[0.0, 0], [10, 0], [0, 10]]),))
    assert draw_mask([triangle], (40, 40), "box", levels()).sum() == 100
    assert draw_mask([triangle], (40, 40), "polygon", levels()).sum() == 45
    assert draw_mask([BOX], (40, 40), "polygon", levels()).sum() == 120
    assert not draw_mask([], (40, 40), "box", levels()).any()


def test_a_rim_is_one_pixel_wide() -> None:
    mask = np.zeros((10, 10), bool)
    mask[2:7, 3:9] = True
    assert rim_of(mask).sum() == 5 * 6 - 3 * 4


def test_the_sheet_shows_every_film_and_its_rim() -> None:
    mask = np.zeros((64, 64), bool)
    mask[16:32, 16:48] = True
    films = [(f"film{i}", np.full((64, 64), 9, np.uint8), mask) for i in range(COLUMNS + 1)]
    sheet = contact_sheet(films)
    assert sheet.shape == (2 * (SIDE + LINE), COLUMNS * SIDE, 3)
    for left, top in ((0, 0), (0, SIDE + LINE)):
        tile = sheet[top : top + SIDE, left : left + SIDE]
        assert (tile[32, 32:96] == LABELLED).all()
        assert (tile[48, 40] == 9).all()
    assert (sheet[SIDE + LINE + 64, 200] == 32).all()
