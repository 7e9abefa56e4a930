import math

import numpy as np
import pytest
import torch
from monai.metrics.hausdorff_distance import compute_hausdorff_distance
from monai.metrics.surface_dice import compute_surface_dice
from monai.metrics.utils import get_mask_edges, get_surface_distance
from scipy.ndimage import binary_erosion, distance_transform_edt

from stages.evaluate.boundary import boundary


def square(top: int, left: int, side: int = 20, size: int = 64) -> np.ndarray:
    mask = np.zeros((size, size), bool)
    mask[top : top + side, left : left + side] = True
    return mask


def blob(seed: int) -> np.ndarray:
    noise = np.random.default_rng(seed).random((48, 40))
    return np.asarray(distance_transform_edt(noise < 0.98) < 4)


def brute(a: np.ndarray, b: np.ndarray, tolerance: float, spacing: tuple[float, float]) -> tuple[float, float]:
    """Both measures from the distances of all pairs of outline pixels (masks that touch no border)."""
    edges = [np.argwhere(mask & ~binary_erosion(mask)) * np.array(spacing) for mask in (a, b)]
    far = np.linalg.norm(edges[0][:, None] - edges[1][None], axis=2)
    there, back = far.min(axis=1), far.min(axis=0)
    nsd = ((there <= tolerance).sum() + (back <= tolerance).sum()) / (len(there) + len(back))
    return nsd, max(np.percentile(there, 95), np.percentile(back, 95))


@pytest.mark.parametrize("seed", range(5))
def test_against_all_pairs_of_outline_pixels(seed: int) -> None:
    a, b = np.pad(blob(seed), 3), np.pad(blob(seed + 50), 3)
    found = boundary(mask_pred=a, mask_ref=b, tolerance=2.0, spacing=(0.5, 0.25))
    nsd, hd95 = brute(a, b, 2.0, (1.0, 1.0))
    assert found["nsd"] == pytest.approx(nsd, abs=1e-6)
    assert found["hd95_px"] == pytest.approx(hd95, rel=1e-5)
    assert found["hd95_mm"] == pytest.approx(brute(a, b, 2.0, (0.5, 0.25))[1], rel=1e-5)


@pytest.mark.parametrize("spacing", [(1.0, 1.0), (0.143, 0.143), (0.3, 0.17)])
@pytest.mark.parametrize("seed", range(5))
def test_distances_have_the_bits_of_monais(spacing: tuple[float, float], seed: int) -> None:
    masks = blob(seed), blob(seed + 50)
    pred, ref = get_mask_edges(*masks)
    there = get_surface_distance(pred, ref, spacing=spacing)
    back = get_surface_distance(ref, pred, spacing=spacing)
    found = boundary(mask_pred=masks[0], mask_ref=masks[1], tolerance=2.0, spacing=spacing)
    assert found["hd95_mm"] == max(np.quantile(there, 0.95), np.quantile(back, 0.95))
    if spacing == (1.0, 1.0):
        assert found["nsd"] == (np.concatenate([there, back]) <= 2.0).mean()


@pytest.mark.parametrize("place", [(0, 0), (0, 20), (44, 44), (10, 44)])
def test_at_the_rim_of_the_image_it_is_monais_own(place: tuple[int, int]) -> None:
    a, b = square(*place), square(12, 20, 30)
    pair = [torch.from_numpy(mask[None, None]) for mask in (a, b)]
    far = compute_hausdorff_distance(*pair, include_background=True, percentile=95)
    close = compute_surface_dice(*pair, class_thresholds=[2.0], include_background=True)
    found = boundary(mask_pred=a, mask_ref=b, tolerance=2.0)
    assert (found["hd95_px"], found["nsd"]) == pytest.approx((far.item(), close.item()))


def test_a_square_that_is_moved_by_hand() -> None:
    found = boundary(mask_pred=square(10, 10), mask_ref=square(10, 15), tolerance=5.0)
    assert found["hd95_px"] == 5
    assert found["nsd"] == 1
    assert math.isnan(found["hd95_mm"])  # no spacing, no millimetres
    assert boundary(mask_pred=square(10, 10), mask_ref=square(10, 15), tolerance=4.9)["nsd"] < 1


def test_empty_masks_are_defined() -> None:
    empty, full = np.zeros((30, 40), bool), np.zeros((30, 40), bool)
    full[5:9, 5:9] = True
    nothing = {"nsd": 1.0, "hd95_px": 0.0, "hd95_mm": 0.0}
    assert boundary(mask_pred=empty, mask_ref=empty, tolerance=2.0, spacing=(2.0, 1.0)) == nothing
    for pred, ref in ((empty, full), (full, empty)):
        found = boundary(mask_pred=pred, mask_ref=ref, tolerance=2.0, spacing=(2.0, 1.0))
        assert found == {"nsd": 0.0, "hd95_px": 50.0, "hd95_mm": pytest.approx(math.hypot(60, 40))}
