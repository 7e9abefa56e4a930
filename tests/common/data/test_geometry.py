import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from stages.common.data.geometry import Affine, fill_boxes

scales, shifts = st.floats(0.01, 100), st.floats(-5000, 5000)
affines = st.builds(Affine, scales, scales, shifts, shifts)
boxes = st.tuples(st.floats(0, 3000), st.floats(0, 3000), st.floats(0.1, 500), st.floats(0.1, 500)).map(
    lambda b: np.array([[b[0], b[1], b[0] + b[2], b[1] + b[3]]])
)


@given(affines, boxes)
def test_round_trip_is_exact_to_a_thousandth_of_a_pixel(affine: Affine, box: np.ndarray) -> None:
    np.testing.assert_allclose(affine.inverse().boxes(affine.boxes(box)), box, atol=1e-3)


@given(affines, affines, boxes)
def test_then_applies_the_first_map_first(first: Affine, second: Affine, box: np.ndarray) -> None:
    np.testing.assert_allclose(first.then(second).boxes(box), second.boxes(first.boxes(box)), rtol=1e-9, atol=1e-6)


def test_half_open_box_covers_its_width_times_its_height() -> None:
    mask = fill_boxes(np.array([[10, 20, 15, 22]]), (40, 40))
    assert mask.sum() == 5 * 2
    assert mask[20:22, 10:15].all()


@given(
    st.lists(
        st.tuples(st.floats(-5, 25), st.floats(-5, 25), st.floats(1.01, 20), st.floats(1.01, 20)),
        min_size=0,
        max_size=4,
    )
)
def test_fill_equals_the_pixel_centre_rule_by_brute_force(corners: list[tuple[float, float, float, float]]) -> None:
    wide = [(x, y, x + w, y + h) for x, y, w, h in corners]
    expected = np.zeros((20, 30), bool)
    for row in range(20):
        for column in range(30):
            x, y = column + 0.5, row + 0.5
            expected[row, column] = any(a <= x < c and b <= y < d for a, b, c, d in wide)
    np.testing.assert_array_equal(fill_boxes(np.array(wide).reshape(-1, 4), (20, 30)), expected)


def test_a_box_thinner_than_a_pixel_does_not_vanish() -> None:
    mask = fill_boxes(np.array([[3.6, 2.0, 3.9, 5.0]]), (8, 8))
    assert mask.sum() == 3
    assert mask[2:5, 3].all()


def test_a_box_off_the_image_marks_nothing() -> None:
    assert not fill_boxes(np.array([[50, 50, 60, 60], [-9, -9, -3, -3]]), (8, 8)).any()
