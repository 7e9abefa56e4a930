import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from skimage.draw import polygon2mask

from stages.common.data.geometry import Affine, fill_boxes, fill_polygon
from stages.common.data.shapes import Shape, box_shape, fill_shape, read_points, write_points

coordinate = st.floats(-5, 45, allow_nan=False)
rings = st.lists(st.tuples(coordinate, coordinate), min_size=3, max_size=8).map(np.array)


def centres_inside(ring: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Even-odd by crossings of a ray from each pixel's centre to the left, edge by edge."""
    y, x = np.indices(shape) + 0.5
    odd = np.zeros(shape, bool)
    for (x0, y0), (x1, y1) in zip(ring, np.roll(ring, -1, axis=0), strict=True):
        if y0 != y1:
            odd ^= ((y0 <= y) != (y1 <= y)) & (x0 + (y - y0) * (x1 - x0) / (y1 - y0) <= x)
    return odd


@given(rings)
def test_a_pixel_is_marked_where_its_centre_is_inside(ring: np.ndarray) -> None:
    brute = centres_inside(ring, (30, 40))
    found = fill_polygon((ring,), (30, 40))
    if brute.any():
        np.testing.assert_array_equal(found, brute)
    else:
        assert found.sum() <= 1


@given(st.integers(0, 2**32 - 1))
def test_scikit_image_marks_the_same_away_from_edges(seed: int) -> None:
    # Random real corners never pass through a centre, so that both rules for edges agree.
    ring = np.random.default_rng(seed).uniform(1, 29, (5, 2))
    theirs = polygon2mask((30, 30), ring[:, ::-1] - 0.5)
    ours = fill_polygon((ring,), (30, 30))
    if theirs.any():
        np.testing.assert_array_equal(ours, theirs)
    else:
        assert ours.sum() <= 1


@given(st.integers(0, 30), st.integers(0, 30), st.floats(1, 20), st.floats(1, 20))
def test_an_upright_rectangle_is_its_box(left: int, top: int, width: float, height: float) -> None:
    ring = np.array([[left, top], [left + width, top], [left + width, top + height], [left, top + height]])
    box = np.array([[left, top, left + width, top + height]])
    np.testing.assert_array_equal(fill_polygon((ring,), (60, 60)), fill_boxes(box, (60, 60)))


def test_the_box_on_which_libraries_differ_has_100_pixels() -> None:
    ring = np.array([[10, 10], [20, 10], [20, 20], [10, 20]])
    assert fill_polygon((ring,), (40, 40)).sum() == 100
    assert fill_shape(box_shape(10, 10, 20, 20), (40, 40)).sum() == 100


def test_a_ring_in_a_ring_is_a_hole_and_neighbours_share_nothing() -> None:
    outer = np.array([[0, 0], [10, 0], [10, 10], [0, 10]])
    assert fill_polygon((outer, outer * 0.4 + 3), (10, 10)).sum() == 84
    left, right = (np.array([[x, 0], [x + 5, 0], [x + 5, 10], [x, 10]]) for x in (0, 5))
    assert not (fill_polygon((left,), (10, 10)) & fill_polygon((right,), (10, 10))).any()


def test_a_sliver_marks_one_pixel_and_one_beside_the_film_none() -> None:
    sliver = np.array([[3.1, 4.1], [3.2, 4.1], [3.2, 4.2]])
    assert np.argwhere(fill_polygon((sliver,), (8, 8))).tolist() == [[4, 3]]
    assert not fill_polygon((sliver + 50,), (8, 8)).any()


def test_what_was_drawn_is_marked() -> None:
    triangle = Shape("f", "polygon", (np.array([[0.0, 0], [10, 0], [0, 10]]),))
    assert fill_shape(triangle, (10, 10)).sum() == 45
    assert triangle.box.tolist() == [0, 0, 10, 10]


@given(st.lists(rings, min_size=1, max_size=3))
def test_rings_are_read_back(parts: list[np.ndarray]) -> None:
    found = read_points(write_points(parts))
    assert len(found) == len(parts)
    for one, other in zip(found, parts, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-12)


@given(rings)
def test_mirrored_twice_is_the_same(ring: np.ndarray) -> None:
    shape = Shape("f", "polygon", (ring,))
    np.testing.assert_allclose(shape.flipped(40, 30).flipped(40, 30).rings[0], ring, atol=1e-12)
    np.testing.assert_array_equal(shape.transposed().transposed().rings[0], ring)


def test_a_mirrored_box_keeps_its_corners_in_order() -> None:
    np.testing.assert_array_equal(box_shape(1, 2, 5, 9).flipped(width=10, height=20).box, [5, 11, 9, 18])


@pytest.mark.parametrize("kind", ["box", "polygon"])
def test_shapes_go_forth_and_back_to_a_hundredth_of_a_pixel(kind: str) -> None:
    shape = Shape("f", kind, (np.array([[3.0, 4.0], [17.5, 21.25], [9, 30]][: 2 if kind == "box" else 3]),))  # type: ignore[arg-type]
    affine = Affine(0.1234, 0.0567, -7, 9)
    np.testing.assert_allclose(shape.mapped(affine).mapped(affine.inverse()).rings[0], shape.rings[0], atol=0.01)


def test_boxes_are_rings_of_two_points() -> None:
    boxes = [np.array([1, 2, 3.5, 4]), np.array([5, 6, 7, 8.1234567])]
    assert write_points(boxes, digits=6) == "1 2 3.5 4;5 6 7 8.12346"
    np.testing.assert_array_equal(read_points("1 2 3.5 4;5 6 7 8"), [[[1, 2], [3.5, 4]], [[5, 6], [7, 8]]])
    assert read_points(write_points([])) == ()
