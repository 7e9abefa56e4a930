import math

import numpy as np
import pytest
from scipy import ndimage

from stages.evaluate.detection import LOWEST, Marks, detection, froc, marks_of


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


NONE = np.zeros((0, 4))


def test_froc_of_a_case_by_hand() -> None:
    """Two boxes on the first film, marked at 0.9 and 0.6; false marks at 0.8 (first film) and 0.6 (second)."""
    first, second = np.zeros((60, 80)), np.zeros((60, 80))
    first[12:18, 15:25], first[15, 20] = 0.7, 0.9
    first[40:50, 60:70], first[40:50, 10:20] = 0.6, 0.8
    second[5:15, 5:15], second[30:40, 30:40] = 0.6, LOWEST / 2
    boxes = np.array([[10.0, 10, 30, 20], [60.0, 40, 70, 50]])
    curve = froc([marks_of(first, boxes), marks_of(second, NONE)])
    assert curve.to_numpy().tolist() == [[0.9, 0.0, 0.5], [0.8, 0.5, 0.5], [0.6, 1.0, 1.0]]


def brute_force(films: list[tuple[np.ndarray, np.ndarray]], least: float) -> tuple[float, float]:
    """False marks per film and share of found boxes when regions that stay below `least` are erased from the maps."""
    false, found, boxes = 0, 0, 0
    for probabilities, those in films:
        marked, count = ndimage.label(probabilities >= LOWEST, structure=np.ones((3, 3)))
        summits = []
        for number in range(1, count + 1):
            inside = np.where(marked == number, probabilities, -1)
            if inside.max() >= least:
                summits.append(np.argwhere(inside == inside.max())[0][::-1] + 0.5)
        hits = [[box[0] <= x < box[2] and box[1] <= y < box[3] for box in those] for x, y in summits]
        false += sum(not any(hit) for hit in hits)
        found += sum(any(hit[number] for hit in hits) for number in range(len(those)))
        boxes += len(those)
    return false / len(films), found / boxes


def test_froc_is_what_counting_at_every_probability_gives() -> None:
    rng = np.random.default_rng(3)
    films = []
    for number in range(12):
        hills = ndimage.gaussian_filter(rng.random((40, 50)), 2)
        probabilities = np.clip((hills - np.quantile(hills, 0.7)) / np.ptp(hills) * 2, 0, 1)
        corner = rng.integers(0, 30, (number % 3, 2))
        films.append((probabilities, np.hstack([corner, corner + rng.integers(4, 15, corner.shape)]).astype(float)))
    curve = froc([marks_of(*film) for film in films])
    assert len(curve) > 50
    assert 0 < curve["sensitivity"].iloc[-1] < 1
    for row in curve.itertuples():
        assert (row.false_regions, row.sensitivity) == pytest.approx(brute_force(films, row.probability))


def test_froc_without_marks_or_boxes() -> None:
    nothing = Marks(np.zeros(0), np.zeros((2, 0), bool))
    assert froc([nothing]).empty
    assert froc([marks_of(np.zeros((9, 9)), BOX)]).empty
    assert math.isnan(froc([marks_of(chances((10, 10, 20, 20)), NONE)])["sensitivity"].iloc[0])
