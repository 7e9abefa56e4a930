import numpy as np
from stages.evaluate.pictures import FALSE_NEGATIVE, FALSE_POSITIVE, TRUE_POSITIVE, outline, overlay


def test_each_kind_of_error_has_its_colour_and_the_rest_stays_grey() -> None:
    image = np.full((1, 4), 100, np.uint8)
    pred, ref = np.array([[True, True, False, False]]), np.array([[True, False, True, False]])
    painted = overlay(image, mask_pred=pred, mask_ref=ref)
    for column, colour in enumerate((TRUE_POSITIVE, FALSE_POSITIVE, FALSE_NEGATIVE)):
        np.testing.assert_allclose(painted[0, column], 45 + 0.55 * np.array(colour), atol=0.51)
    assert painted[0, 3].tolist() == [100, 100, 100]


def test_outline_draws_the_border_only() -> None:
    mask = np.zeros((9, 9), bool)
    mask[2:7, 2:7] = True
    drawn = outline(np.zeros((9, 9), np.uint8), mask).any(axis=2)
    assert drawn.sum() == 16
    assert not drawn[4, 4]
