import math

import numpy as np
import pytest

from stages.evaluate.detection import detection


def chances(*boxes: tuple[int, int, int, int], height: float = 0.9) -> np.ndarray:
    """Probabilities that are high in boxes (left, top, right, bottom)."""
    found = np.full((60, 80), 0.1)
    for left, top, right, bottom in boxes:
        found[top:bottom, left:right] = height
    return found


BOX = np.array([[10.0, 10, 30, 20]])


@pytest.mark.parametrize(
    ("region", "iou", "centre", "false", "pointing"),
    [
        ((10, 10, 30, 20), 1, 1, 0, 1.0),  # the box itself
        ((10, 10, 20, 20), 1, 1, 0, 1.0),  # its half: IoU 0.5
        ((10, 10, 19, 20), 0, 1, 0, 1.0),  # less than half, but in it
        ((28, 10, 40, 20), 0, 0, 1, 1.0),  # beside it; its first pixel still lies in the box
        ((50, 40, 60, 50), 0, 0, 1, 0.0),  # elsewhere
    ],
)
def test_one_region_and_one_box(
    region: tuple[int, int, int, int], iou: int, centre: int, false: int, pointing: float
) -> None:
    found = detection(chances(region), 0.5, BOX)
    expected = {"fractures": 1, "found_iou": iou, "found_centre": centre, "false_regions": false, "pointing": pointing}
    assert found == expected


def test_each_region_finds_one_box_by_overlap() -> None:
    twice = np.array([[10.0, 10, 30, 20], [12.0, 10, 32, 20]])
    assert detection(chances((10, 10, 30, 20)), 0.5, twice)["found_iou"] == 1
    assert detection(chances((10, 10, 30, 20)), 0.5, twice)["found_centre"] == 2


def test_regions_that_touch_at_a_corner_are_one() -> None:
    assert detection(chances((10, 10, 20, 20), (20, 20, 30, 30)), 0.5, np.zeros((0, 4)))["false_regions"] == 1


def test_without_boxes_nothing_can_be_found() -> None:
    found = detection(chances(), 0.5, np.zeros((0, 4)))
    assert (found["fractures"], found["found_iou"], found["found_centre"], found["false_regions"]) == (0, 0, 0, 0)
    assert math.isnan(found["pointing"])


def test_nothing_predicted_finds_nothing() -> None:
    found = detection(chances(height=0.4), 0.5, BOX)
    assert (found["found_iou"], found["found_centre"], found["false_regions"]) == (0, 0, 0)
