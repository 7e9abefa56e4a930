"""Each step against MATLAB's published behaviour, another library, or a loop that follows the definition."""

import re
from typing import Any, get_args

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from scipy.signal import medfilt2d
from skimage.exposure import equalize_hist

from stages.common.data.geometry import Affine
from stages.preprocess.params import (
    Bilateral,
    Clahe,
    Crop,
    Histeq,
    Imadjust,
    Imresize,
    Mat2gray,
    Medfilt2,
    Params,
    Step,
    Window,
)
from stages.preprocess.steps import Frame, apply_step, bins_of, imresize, prepare, resized
from tests.helpers.paths import ROOT

SIDE = 64


def params(*steps: Any, size: int = SIDE) -> Params:
    return Params.model_validate({"size": size, "steps": list(steps)})


def apply(step: Step, image: np.ndarray) -> np.ndarray:
    whole = (slice(0, image.shape[0]), slice(0, image.shape[1]))
    return apply_step(step, Frame(image.astype(np.float32), Affine(), whole), SIDE).image


def test_mat2gray() -> None:
    np.testing.assert_allclose(apply(Mat2gray(), np.array([[0.2, 0.4, 0.6]])), [[0, 0.5, 1]], atol=1e-6)
    assert not apply(Mat2gray(), np.full((3, 3), 0.7)).any()


# --- imresize ---


def cubic(x: np.ndarray) -> np.ndarray:
    """Keys 1981 with a = -0.5, the kernel that MATLAB's documentation names for `bicubic`."""
    x = np.abs(x)
    near = 1.5 * x**3 - 2.5 * x**2 + 1
    far = -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2
    return np.where(x <= 1, near, np.where(x <= 2, far, 0))


def triangle(x: np.ndarray) -> np.ndarray:
    return np.maximum(1 - np.abs(x), 0)


def by_definition(image: np.ndarray, size: int, axis: int, kernel: Any) -> np.ndarray:
    """One axis of imresize by loops: pixel centres at whole numbers from 1, kernel widened when shrinking, mirrored."""
    image = np.moveaxis(np.asarray(image, dtype=np.float64), axis, 0)
    old, scale = len(image), size / len(image)
    out = np.zeros((size, *image.shape[1:]))
    for k in range(1, size + 1):
        centre = k / scale + 0.5 * (1 - 1 / scale)
        wide = max(1.0, 1 / scale)
        places = np.arange(int(np.floor(centre - 2 * wide)) - 1, int(np.ceil(centre + 2 * wide)) + 2)
        weights = kernel((centre - places) / wide)
        mirrored = (places - 1) % (2 * old)
        mirrored = np.where(mirrored < old, mirrored, 2 * old - 1 - mirrored)
        out[k - 1] = np.tensordot(weights / weights.sum(), image[mirrored], 1)
    return np.moveaxis(out, 0, axis)


def test_the_definition_gives_matlabs_published_array() -> None:
    """`imresize(reshape(0:15, 4, 4)', 0.5, 'bilinear')`, as published beside MATLAB's output."""
    image = np.arange(16.0).reshape(4, 4)
    resized = by_definition(by_definition(image, 2, 0, triangle), 2, 1, triangle)
    np.testing.assert_allclose(resized, [[3.125, 4.875], [10.125, 11.875]])


@pytest.mark.parametrize("size", [(7, 9), (20, 30), (40, 31), (3, 64), (1, 1)])
def test_imresize_is_the_definition_up_to_the_border(size: tuple[int, int]) -> None:
    image = np.random.default_rng(0).random((20, 30)).astype(np.float32)
    expected = by_definition(by_definition(image, size[0], 0, cubic), size[1], 1, cubic)
    np.testing.assert_allclose(resized(image, *size), expected, atol=1e-5)


def test_opencvs_bicubic_is_another() -> None:
    image = np.random.default_rng(0).random((128, 128)).astype(np.float32)
    theirs = cv2.resize(image, (32, 32), interpolation=cv2.INTER_CUBIC)
    assert np.abs(theirs - resized(image, 32, 32)).max() * 255 > 50


@pytest.mark.parametrize("shape", [(50, 20), (20, 50), (64, 64), (1, 300), (2000, 3)])
def test_imresize_keeps_the_aspect_and_pads_with_zeros(shape: tuple[int, int]) -> None:
    whole = (slice(0, shape[0]), slice(0, shape[1]))
    frame = imresize(Frame(np.ones(shape, np.float32), Affine(), whole), SIDE)
    assert frame.image.shape == (64, 64)
    rows, columns = frame.film
    assert max(rows.stop - rows.start, columns.stop - columns.start) == 64
    inside = np.zeros((64, 64), bool)
    inside[frame.film] = True
    np.testing.assert_allclose(frame.image[inside], 1, atol=1e-5)
    assert not frame.image[~inside].any()


# --- contrast ---


def test_imadjust_takes_stretchlims_bins() -> None:
    # 200 pixels: 1 % are 2 pixels. Levels 10 and 20 hold one each, so the share first exceeds 1 % at level 30;
    # it reaches 99 % (198 pixels) at level 200, the two at 250 being the last.
    levels = np.array([10, 20, *[30] * 98, *[200] * 98, 250, 250])
    out = apply(Imadjust(), levels.reshape(10, 20) / 255).ravel()
    np.testing.assert_allclose(out, np.clip((levels - 30) / 170, 0, 1), atol=1e-6)


def test_imadjust_leaves_a_film_of_one_bin_alone() -> None:
    image = np.full((10, 10), 0.4)
    np.testing.assert_allclose(apply(Imadjust(), image), image, atol=1e-7)
    none = Imadjust(low=0.0, high=1.0)
    ramp = np.linspace(0.2, 0.6, 256).reshape(16, 16)
    assert apply(none, ramp).min() == 0
    assert apply(none, ramp).max() == 1


def test_window_is_the_percentile_between_pixels() -> None:
    image = np.random.default_rng(0).random((30, 30)).astype(np.float32)
    low, high = np.percentile(image, [0.5, 99.5])
    np.testing.assert_allclose(apply(Window(), image), np.clip((image - low) / (high - low), 0, 1), atol=1e-5)
    assert (apply(Window(), np.full((4, 4), 0.3)) == np.float32(0.3)).all()


def matching_rule(image: np.ndarray, levels: int) -> np.ndarray:
    """histeq by the rule as it is written: for every level the output level of the smallest allowed error."""
    counts = np.bincount(bins_of(image).ravel(), minlength=256).astype(float)
    cumulative, target = np.cumsum(counts), image.size / levels * np.arange(1, levels + 1)
    table = np.zeros(256)
    for k in range(256):
        slack = 0 if k in (0, 255) else counts[k] / 2
        error = target - cumulative[k] + slack
        error[error < -image.size * np.sqrt(np.finfo(float).eps)] = image.size
        table[k] = error.argmin() / (levels - 1)
    return table[bins_of(image)]


@given(st.integers(0, 2**32 - 1), st.integers(2, 80), st.floats(0.5, 6))
@settings(deadline=None, max_examples=50)
def test_histeq_is_matlabs_matching_rule(seed: int, levels: int, shape: float) -> None:
    image = np.random.default_rng(seed).beta(shape, 3, (20, 25)).astype(np.float32)
    equalised = apply(Histeq(levels=levels), image)
    np.testing.assert_allclose(equalised, matching_rule(image, levels), atol=1e-6)


def test_histeq_has_64_levels_and_is_not_scikit_images() -> None:
    image = np.random.default_rng(0).beta(2, 6, (200, 200)).astype(np.float32)
    equalised = apply(Histeq(), image)
    assert len(np.unique(equalised)) <= 64
    counts = np.histogram(equalised, bins=8, range=(0, 1))[0]
    assert counts.min() > 0.8 * counts.mean()
    assert np.abs(equalised - equalize_hist(image)).max() * 255 > 3


def test_histeq_by_hand() -> None:
    # Two output levels, 4 pixels, target counts 2 and 4. Level 0 holds 1 pixel (no slack at the first bin): 2 >= 1.
    # Level 100 makes 3, half of its 2 is slack: 2 >= 3 - 1. Level 255 makes 4, no slack: only the upper one reaches it.
    image = np.array([[0, 100, 100, 255]]) / 255
    np.testing.assert_array_equal(apply(Histeq(levels=2), image), [[0, 0, 0, 1]])


def test_clahe_is_opencvs_on_eight_bits_where_its_limit_means_something() -> None:
    image = np.random.default_rng(0).beta(2, 6, (64, 64)).astype(np.float32)
    levels = np.round(image * 255).astype(np.uint8)
    expected = cv2.createCLAHE(2.0, (8, 8)).apply(levels) / 255
    np.testing.assert_allclose(apply(Clahe(), image), expected, atol=1e-6)
    wide = Clahe(clip=40.0, tiles=2)
    assert np.abs(apply(wide, image) - apply(Clahe(tiles=2), image)).max() > 0.05
    deep = np.round(image * 65535).astype(np.uint16)
    np.testing.assert_array_equal(*(cv2.createCLAHE(clip, (8, 8)).apply(deep) for clip in (2.0, 40.0)))


# --- filters ---


@pytest.mark.parametrize("side", [3, 5, 7])
def test_medfilt2_has_zeros_beyond_the_border(side: Any) -> None:
    image = np.random.default_rng(0).random((12, 15)).astype(np.float32)
    np.testing.assert_array_equal(apply(Medfilt2(window_px=side), image), medfilt2d(image, side))
    # MATLAB's own example of its padding: the corner of a constant image is 0. OpenCV alone would keep 0.5.
    assert apply(Medfilt2(), np.full((5, 5), 0.5))[0, 0] == 0


def test_bilateral_smooths_and_keeps_an_edge() -> None:
    noise = np.random.default_rng(0).normal(0, 0.02, (40, 40))
    image = (np.arange(40)[None, :] >= 20) * 0.6 + 0.2 + noise
    out = apply(Bilateral(), image)
    assert out[5:-5, 5:15].std() < 0.7 * image[5:-5, 5:15].std()
    assert (out[:, 21] - out[:, 18]).min() > 0.45


# --- the chain ---

spots = st.tuples(st.integers(20, 70), st.integers(20, 90))


@given(spots, st.sampled_from([np.uint8, np.uint16]), st.integers(60, 200), st.integers(60, 200))
@settings(max_examples=40, deadline=None)
def test_the_affine_takes_a_spot_where_its_pixels_went(
    spot: tuple[int, int], dtype: type, height: int, width: int
) -> None:
    top, left = min(spot[0], height - 30), min(spot[1], width - 30)
    raw = np.zeros((height, width), dtype)
    raw[top : top + 12, left : left + 12] = np.iinfo(dtype).max
    out, frame = prepare(raw, params("crop", "mat2gray", "imresize"))
    box = frame.affine.boxes(np.array([[left, top, left + 12, top + 12]]))[0]
    mass = out / out.sum()
    centre = (mass.sum(0) @ (np.arange(64) + 0.5), mass.sum(1) @ (np.arange(64) + 0.5))
    np.testing.assert_allclose(centre, [(box[0] + box[2]) / 2, (box[1] + box[3]) / 2], atol=0.3)


@given(st.integers(40, 3000), st.integers(40, 3000), st.floats(0, 1), st.floats(0, 1))
@settings(max_examples=60, deadline=None)
def test_points_go_forth_and_back_to_a_hundredth_of_a_pixel(height: int, width: int, x: float, y: float) -> None:
    whole = Frame(np.zeros((height, width), np.float32), Affine(), (slice(0, height), slice(0, width)))
    affine = imresize(whole, SIDE).affine
    point = np.array([[x * width, y * height]])
    np.testing.assert_allclose(affine.inverse().points(affine.points(point)), point, atol=0.01)
    assert (affine.points(point) >= -1e-9).all()
    assert (affine.points(point) <= 64 + 1e-9).all()


def test_normalising_after_resizing_leaves_the_map_alone() -> None:
    raw = np.zeros((90, 120), np.uint8)
    raw[40:60, 70:100] = 255
    out, frame = prepare(raw, params("imresize", "mat2gray"))
    left, top, right, bottom = np.round(frame.affine.boxes(np.array([[70, 40, 100, 60]]))[0]).astype(int)
    assert out[top + 1 : bottom - 1, left + 1 : right - 1].min() > 200


def test_the_map_takes_the_films_edges_to_the_edges_of_its_pixels() -> None:
    # 33 of 100 rows: 64 * 0.33 = 21.12, rounded to 21 rows of pixels.
    _, frame = prepare(np.zeros((33, 100), np.uint8), params("imresize"))
    rows, columns = frame.film
    corners = frame.affine.points(np.array([[0.0, 0.0], [100.0, 33.0]]))
    np.testing.assert_allclose(corners, [[columns.start, rows.start], [columns.stop, rows.stop]], atol=1e-9)


def test_levels_are_rounded_to_the_nearest() -> None:
    raw = np.full((SIDE, SIDE), 127 * 257 + 154, np.uint16)  # 127.6 of 255
    assert (prepare(raw, params("imresize"))[0] == 128).all()


def test_a_blank_film_goes_through() -> None:
    out, _ = prepare(np.zeros((40, 60), np.uint16), Params(size=SIDE))
    assert out.shape == (64, 64)
    assert out.dtype == np.uint8


def test_sixteen_bits_are_not_cut_to_eight_before_the_end() -> None:
    # All of the contrast lies within one 8-bit level; quantised early, the film would be flat.
    raw = (30_000 + np.arange(64 * 64).reshape(64, 64) % 256).astype(np.uint16)
    out, _ = prepare(raw, params("mat2gray", "imresize", "window"))
    assert len(np.unique(out)) > 200


@pytest.mark.parametrize(
    ("steps", "why"),
    [
        (["crop", "mat2gray"], "must name `imresize` and no step twice"),
        (["imresize", "imresize"], "must name `imresize` and no step twice"),
        (["imresize", "crop"], "must name `crop` before `imresize`"),
        (["imresize", "sharpen"], "Input tag 'sharpen' found using 'step' does not match"),
        (["imresize", {"step": "imadjust", "low": 0.9, "high": 0.1}], r"imadjust\n.*low must be below high"),
        (["imresize", {"step": "window", "low": 60.0, "high": 40.0}], r"window\n.*low must be below high"),
        (["imresize", {"step": "medfilt2", "window_px": 4}], r"medfilt2\.window_px\n.*should be 3, 5, "),
        (["imresize", {"step": "bilateral", "window_px": 6}], r"bilateral\.window_px\n.*should be 3, 5, "),
        (["imresize", {"step": "histeq", "levels": 1}], r"histeq\.levels\n.*greater than or equal to 2 "),
        (["imresize", {"step": "histeq", "clip": 2.0}], r"histeq\n.*keys of another entry"),
    ],
)
def test_impossible_steps_are_refused(steps: list[Any], why: str) -> None:
    with pytest.raises(ValidationError, match=why):
        params(*steps)


def test_an_impossible_size_is_refused() -> None:
    with pytest.raises(ValidationError, match="should be a multiple of 32 "):
        params("imresize", size=100)


def test_a_name_alone_stands_for_a_step_with_its_defaults() -> None:
    names = ["crop", "mat2gray", "imresize", "imadjust", "medfilt2", "histeq"]
    assert params(*names) == Params(size=SIDE)


CHANGES: list[tuple[Step, Step]] = [
    (Crop(), Crop(level=0.3)),
    (Crop(), Crop(margin=0.0)),
    (Imadjust(), Imadjust(low=0.2)),
    (Imadjust(), Imadjust(high=0.8)),
    (Window(), Window(low=20.0)),
    (Window(), Window(high=80.0)),
    (Medfilt2(), Medfilt2(window_px=5)),
    (Bilateral(), Bilateral(window_px=9)),
    (Bilateral(), Bilateral(sigma_level=0.5)),
    (Bilateral(), Bilateral(sigma_px=0.5)),
    (Histeq(), Histeq(levels=8)),
    (Clahe(tiles=2), Clahe(clip=9.0, tiles=2)),
    (Clahe(), Clahe(tiles=2)),
]


def test_every_key_of_every_step_is_changed_below() -> None:
    steps = [Crop, Mat2gray, Imresize, Imadjust, Window, Medfilt2, Bilateral, Histeq, Clahe]
    assert set(get_args(get_args(Step)[0])) == set(steps)
    changed = {(type(new), key) for _, new in CHANGES for key in new.model_fields_set}
    assert changed == {(kind, key) for kind in steps for key in kind.model_fields if key != "step"}


@pytest.mark.parametrize(("old", "new"), CHANGES, ids=lambda step: str(step))
def test_a_step_has_no_key_that_changes_nothing(old: Step, new: Step) -> None:
    rows, columns = np.mgrid[:80, :60]
    limb = 60 * (np.abs(columns - 30) < 18) + 130 * (np.abs(columns - 30) < 9 + 3 * np.sin(rows / 9))
    raw = (limb + np.random.default_rng(0).integers(5, 30, limb.shape)).astype(np.uint8)
    before, after = (
        prepare(raw, params(*([step, "imresize"] if isinstance(step, Crop) else ["imresize", step])))[0]
        for step in (old, new)
    )
    assert not np.array_equal(before, after)


def test_the_documentation_has_every_step() -> None:
    page = (ROOT / "docs/explanation/image-processing.md").read_text()
    steps = {kind.model_fields["step"].default for kind in get_args(get_args(Step)[0])}
    table = re.search(r"^\| step \|.*?\n\n", page, re.MULTILINE | re.DOTALL)
    assert table is not None
    assert set(re.findall(r"^\| `(\w+)` \|", table.group(0), re.MULTILINE)) == steps
