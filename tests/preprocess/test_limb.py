"""The crop: nothing annotated is cut off, and most of the background is."""

import cv2
import numpy as np
import pytest
from PIL import Image

from stages.ingest.params import Sample
from stages.ingest.sources.sample import draw, plan_films
from stages.preprocess.limb import limb_box
from tests.helpers.crop import MARGIN, removed
from tests.helpers.paths import FRACATLAS, needs

LEVEL = 0.15


def film(height: int = 300, width: int = 240) -> np.ndarray:
    """A dark film with a limb from the upper edge down: grey tissue 60 wide, bright bones in it."""
    image = np.full((height, width), 0.05, np.float32)
    image[: height * 2 // 3, 90:150] = 0.3
    image[: height * 2 // 3, 100:112] = image[: height * 2 // 3, 128:140] = 0.75
    return image


def check(image: np.ndarray, left: int = 90, right: int = 150, bottom: int = 200, most: float = 0.5) -> None:
    box = limb_box(image, LEVEL, MARGIN)
    assert box[0] <= left
    assert box[1] == 0
    assert box[2] >= right
    assert box[3] >= bottom
    assert (box[2] - box[0]) * (box[3] - box[1]) < most * image.size, box


def test_a_limb_on_a_dark_film() -> None:
    check(film())


def test_on_a_light_ground() -> None:
    image = 1 - film()
    assert limb_box(image, LEVEL, MARGIN) == limb_box(film(), LEVEL, MARGIN)


@pytest.mark.parametrize("side", ["top", "bottom", "left", "right"])
def test_a_white_strip_along_an_edge(side: str) -> None:
    image = film()
    strip = {"top": np.s_[:12], "bottom": np.s_[-14:], "left": np.s_[:, :10], "right": np.s_[:, -12:]}[side]
    image[strip] = 0.98
    left, _, right, bottom = limb_box(image, LEVEL, MARGIN)
    assert left <= 90
    assert right >= 150
    assert bottom >= 200
    assert (right - left) * bottom < 0.5 * image.size


def test_a_ragged_strip_under_a_dark_line() -> None:
    image = film()
    for column in range(image.shape[1]):
        image[-(10 + column * 7 % 9) :, column] = 0.95
    image[-2:] = 0.02
    check(image)


def test_a_glow_along_an_edge() -> None:
    image = film()
    image[:, -40:] += np.linspace(0, 0.15, 40, dtype=np.float32)
    check(image)


def test_a_side_marker_is_no_limb() -> None:
    marked = np.round(film() * 255).astype(np.uint8)
    cv2.putText(marked, "R", (190, 280), cv2.FONT_HERSHEY_SIMPLEX, 0.8, 240, 2)
    check(marked.astype(np.float32) / 255)


@pytest.mark.parametrize("degrees", [0, 7, 20])
def test_a_collimated_field_is_no_limb(degrees: int) -> None:
    """A grey rectangle, also a rotated one, on black: first the field is found, then the limb in it."""
    inside = film(360, 300)
    field = np.zeros_like(inside)
    box = cv2.boxPoints(((150.0, 180.0), (220.0, 300.0), float(degrees)))
    cv2.fillPoly(field, [np.round(box).astype(np.int32)], 1.0)
    image = np.where(field > 0, inside * 0.8 + 0.15, 0.0).astype(np.float32)
    left, _, right, bottom = limb_box(image, LEVEL, MARGIN)
    assert left <= 95
    assert right >= 145
    assert bottom >= 235
    assert (right - left) * bottom < 0.6 * image.size


def test_two_hands_are_both_kept() -> None:
    image = film()
    image[150:260, 190:230] = 0.3
    image[160:250, 200:215] = 0.5
    assert limb_box(image, LEVEL, MARGIN)[2] >= 230


def test_a_blank_film_is_kept_whole() -> None:
    assert limb_box(np.zeros((40, 60), np.float32), LEVEL, MARGIN) == (0, 0, 60, 40)
    assert limb_box(np.ones((40, 60), np.float32), LEVEL, MARGIN) == (0, 0, 60, 40)
    noise = np.random.default_rng(0).random((300, 200)).astype(np.float32)
    left, top, right, bottom = limb_box(noise, LEVEL, MARGIN)
    assert (left, top) == (0, 0)
    assert right > 190
    assert bottom > 290


@pytest.mark.parametrize("shape", [(1, 1), (1, 300), (300, 1), (17, 16), (5000, 40)])
def test_odd_shapes_give_a_box_inside(shape: tuple[int, int]) -> None:
    image = np.random.default_rng(0).random(shape).astype(np.float32)
    left, top, right, bottom = limb_box(image, LEVEL, MARGIN)
    assert 0 <= left < right <= shape[1]
    assert 0 <= top < bottom <= shape[0]


@pytest.mark.slow
def test_the_samples_fractures_are_kept_at_each_level() -> None:
    total = 0
    for plan in plan_films(160)[::3]:
        drawn = draw(plan, Sample(seed=7, films=160, width=300))
        density = np.clip((drawn.density + 600) / 2000, 0, 1) if plan.modality == "CT" else drawn.density
        for level in (0.12, 0.15, 0.18):
            crop = limb_box(density.astype(np.float32), level, MARGIN)
            for box in drawn.boxes:
                assert ((np.array(box) - crop) * (1, 1, -1, -1) >= 0).all(), (plan, level)
        total += len(drawn.boxes)
    assert total > 40


@pytest.mark.parametrize("bits", [8, 10, 12, 14])
def test_bits_that_a_film_does_not_use_change_nothing(bits: int) -> None:
    """The same film with its values in 16 bits and over the whole scale of 16 bits."""
    values = np.round(film() * (2**bits - 1))
    full = limb_box((np.round(values * 65535 / (2**bits - 1)) / 65535).astype(np.float32), LEVEL, MARGIN)
    assert limb_box((values / 65535).astype(np.float32), LEVEL, MARGIN) == full
    assert limb_box((1 - values / 65535).astype(np.float32), LEVEL, MARGIN) == full


@needs(FRACATLAS)
@pytest.mark.slow
@pytest.mark.parametrize("bits", [10, 12, 14])
def test_real_films_are_cropped_alike_with_unused_bits(bits: int) -> None:
    moved = []
    for path in sorted(FRACATLAS.rglob("*.jpg"))[::4]:
        pixels = np.asarray(Image.open(path).convert("L")).astype(np.float32)
        full, part = (limb_box(pixels / 255 * scale, LEVEL, MARGIN) for scale in (1, (2**bits - 1) / 65535))
        moved.append(np.abs(np.subtract(full, part)).max() / max(pixels.shape))
    assert max(moved) <= 0.03  # a pixel of the small picture, by rounding
    assert np.mean(np.array(moved) == 0) >= 0.9


@needs(FRACATLAS)
@pytest.mark.slow
@pytest.mark.parametrize(("level", "inverted"), [(0.12, False), (0.15, False), (0.15, True), (0.18, False)])
def test_no_real_fracture_is_cropped_away_and_half_of_the_background_is(level: float, inverted: bool) -> None:
    kept, total, gone = removed(FRACATLAS, level, inverted)
    assert (kept, total) == (192, 192)
    assert np.mean(gone) > 0.5
