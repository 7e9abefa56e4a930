from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy.signal import medfilt2d

from stages.common.geometry import Affine
from stages.ingest.formats_json import read_coco
from stages.preprocess.chain import STEPS, Frame, limb_box, prepare
from stages.preprocess.params import Crop, Params, Stretch
from tests.conftest import SHARED

DEFAULT = Params(
    steps=["crop", "normalise", "resize", "stretch", "filter", "equalise"],
    size=64,
    crop=Crop(level=0.12, margin=0.04),
    stretch=Stretch(low=0.01, high=0.99),
    filter_px=3,
    equalise_bins=64,
)


def change(**values: object) -> Params:
    return DEFAULT.model_copy(update=values)


def apply(step: str, image: np.ndarray, settings_: Params = DEFAULT) -> np.ndarray:
    whole = (slice(0, image.shape[0]), slice(0, image.shape[1]))
    return STEPS[step](Frame(image.astype(np.float32), Affine(), whole), settings_).image


def test_normalise_is_mat2gray() -> None:
    np.testing.assert_allclose(apply("normalise", np.array([[0.2, 0.4, 0.6]])), [[0, 0.5, 1]], atol=1e-6)
    assert not apply("normalise", np.full((3, 3), 0.7)).any()


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_stretch_sends_the_quantiles_to_black_and_white(dtype: type) -> None:
    ramp = np.linspace(0, 1, 10_000).reshape(100, 100)
    out = apply("stretch", ramp)
    assert (out.min(), out.max()) == (0, 1)
    assert np.isclose((out == 0).mean(), 0.01, atol=2e-3)
    assert np.isclose((out == 1).mean(), 0.01, atol=2e-3)


def test_filter_is_medfilt2_with_zeros_beyond_the_border() -> None:
    image = np.random.default_rng(0).random((12, 15)).astype(np.float32)
    np.testing.assert_array_equal(apply("filter", image), medfilt2d(image, 3))
    assert apply("filter", np.full((5, 5), 0.5))[0, 0] == 0
    np.testing.assert_array_equal(apply("filter", image, change(filter_px=1)), image)


def test_equalise_makes_levels_equally_frequent() -> None:
    image = np.random.default_rng(0).beta(2, 6, (200, 200))
    counts = np.histogram(apply("equalise", image, change(equalise_bins=256)), bins=8, range=(0, 1))[0]
    assert counts.min() > 0.85 * counts.mean()


def test_resize_interior_equals_matlabs_published_upsampling_rule_of_thumb() -> None:
    # A linear ramp stays linear under any cubic kernel, up to the border.
    ramp = np.tile(np.arange(128, dtype=np.float32) / 128, (128, 1))
    out = apply("resize", ramp)
    expected = (np.arange(64) * 2 + 0.5) / 128
    np.testing.assert_allclose(out[32, 4:-4], expected[4:-4], atol=1e-3)


@pytest.mark.parametrize("shape", [(50, 20), (20, 50), (64, 64), (1, 300), (2000, 3)])
def test_resize_keeps_the_aspect_and_pads_with_zeros(shape: tuple[int, int]) -> None:
    frame = STEPS["resize"](
        Frame(np.ones(shape, np.float32), Affine(), (slice(0, shape[0]), slice(0, shape[1]))), DEFAULT
    )
    assert frame.image.shape == (64, 64)
    rows, columns = frame.film
    assert max(rows.stop - rows.start, columns.stop - columns.start) == 64
    inside = np.zeros((64, 64), bool)
    inside[frame.film] = True
    np.testing.assert_allclose(frame.image[inside], 1, atol=1e-5)
    assert not frame.image[~inside].any()


spots = st.tuples(st.integers(20, 70), st.integers(20, 90))


@given(spots, st.sampled_from([np.uint8, np.uint16]), st.integers(60, 200), st.integers(60, 200))
@settings(max_examples=40, deadline=None)
def test_the_affine_takes_a_spot_where_its_pixels_went(
    spot: tuple[int, int], dtype: type, height: int, width: int
) -> None:
    top, left = min(spot[0], height - 30), min(spot[1], width - 30)
    raw = np.zeros((height, width), dtype)
    raw[top : top + 12, left : left + 12] = np.iinfo(dtype).max
    out, frame = prepare(raw, change(steps=["crop", "normalise", "resize"]))
    box = frame.affine.boxes(np.array([[left, top, left + 12, top + 12]]))[0]
    mass = out / out.sum()
    centre = (mass.sum(0) @ (np.arange(64) + 0.5), mass.sum(1) @ (np.arange(64) + 0.5))
    np.testing.assert_allclose(centre, [(box[0] + box[2]) / 2, (box[1] + box[3]) / 2], atol=0.3)


def test_order_of_crop_and_resize_does_not_break_the_map() -> None:
    raw = np.zeros((90, 120), np.uint8)
    raw[40:60, 70:100] = 255
    for steps in (["resize", "crop", "normalise"], ["normalise", "resize"]):
        out, frame = prepare(raw, change(steps=steps))
        left, top, right, bottom = np.round(frame.affine.boxes(np.array([[70, 40, 100, 60]]))[0]).astype(int)
        assert out[top + 1 : bottom - 1, left + 1 : right - 1].min() > 200


def test_crop_keeps_every_piece_of_limb_and_drops_background() -> None:
    image = np.full((200, 300), 0.02, np.float32)
    image[50:150, 30:80] = 0.5
    image[80:120, 200:240] = 0.3
    left, top, right, bottom = limb_box(image, 0.12, 0.0)
    assert left <= 30
    assert top <= 50
    assert right >= 240
    assert bottom >= 150
    assert (right - left) * (bottom - top) < 0.5 * image.size


def test_a_blank_film_is_kept_whole() -> None:
    assert limb_box(np.zeros((40, 60), np.float32), 0.12, 0.04) == (0, 0, 60, 40)
    out, _ = prepare(np.zeros((40, 60), np.uint16), DEFAULT)
    assert out.shape == (64, 64)
    assert out.dtype == np.uint8


def test_sixteen_bits_are_not_cut_to_eight_before_the_end() -> None:
    # All of the contrast lies within one 8-bit level; quantised early, the film would be flat.
    raw = (30_000 + np.arange(64 * 64).reshape(64, 64) % 256).astype(np.uint16)
    out, _ = prepare(raw, change(steps=["normalise", "resize"]))
    assert len(np.unique(out)) > 200


@pytest.mark.skipif(not SHARED.exists(), reason="real films are not at hand")
@pytest.mark.slow
def test_no_real_fracture_is_cropped_away() -> None:
    folder = SHARED / "fracatlas-wrist"
    kept = []
    for name, film in read_coco((folder / "coco.json").read_bytes()).films.items():
        image = np.asarray(Image.open(Path(folder / "images" / name)).convert("L")).astype(np.float32) / 255
        left, top, right, bottom = limb_box(image, DEFAULT.crop.level, DEFAULT.crop.margin)
        kept += [
            left <= b[0] and top <= b[1] and right >= b[2] and bottom >= b[3]
            for b in (shape.box for shape in film.shapes)
        ]
    assert (sum(kept), len(kept)) == (192, 192)
