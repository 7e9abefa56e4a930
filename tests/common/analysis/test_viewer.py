"""What the viewer is given of a film."""

import hashlib
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages.common.analysis.templates import SHARED, VIEWER_LIBRARY, page_templates
from stages.common.analysis.viewer import ViewedFilm, as_script, probability_map, square_on_film
from stages.common.data.geometry import Affine
from tests.helpers.paths import ROOT


@given(st.lists(st.floats(0, 1, width=32), min_size=1, max_size=50), st.floats(0, 1))
def test_pixels_that_reach_the_threshold_reach_it_in_255ths_as_well(values: list[float], threshold: float) -> None:
    exact = np.array([values])
    mask = exact >= threshold
    found = probability_map(np.round(exact * 255).astype(np.uint8), mask, threshold)
    np.testing.assert_array_equal(found >= 255 * threshold, mask)  # as viewer.js compares
    assert (np.abs(found - exact * 255) <= 1.0).all()


def test_the_square_lies_on_the_film_where_its_corners_come_from() -> None:
    affine = Affine(0.5, 0.25, 10, -3)
    left, top, width, height = square_on_film(affine, 64)
    np.testing.assert_allclose(affine.points(np.array([[left, top]])), [[0, 0]])
    np.testing.assert_allclose(affine.points(np.array([[left + width, top + height]])), [[64, 64]])


def test_a_name_cannot_end_the_script_of_a_page() -> None:
    film: ViewedFilm = {"film": "a.jpg", "grid": (0, 0, 1, 1), "label": None, "models": []}
    script = as_script(film, "</script><b>")
    assert "<" not in script
    found = json.loads(f"[{script.removeprefix('viewer.add(').removesuffix(');' + chr(10))}]")
    assert found == [film | {"grid": [0, 0, 1, 1]}, "</script><b>"]


def test_the_library_is_the_one_of_the_notice_and_its_licence_stands_in_the_page() -> None:
    notice = (ROOT / "THIRD_PARTY.md").read_text()
    digest = hashlib.sha256(VIEWER_LIBRARY.read_bytes()).hexdigest()
    assert digest in notice
    page = page_templates(SHARED).get_template("viewer.html").render()
    licence = (SHARED / "openseadragon.LICENSE.txt").read_text()
    assert licence in page


@pytest.mark.parametrize("name", ["openseadragon.min.js", "viewer.js"])
def test_a_script_in_a_page_does_not_end_early(name: str) -> None:
    assert "</script" not in (SHARED / name).read_text().lower()
