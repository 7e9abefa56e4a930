import numpy as np
import pytest
import torch
from scipy.stats import kstest
from skimage.exposure import adjust_gamma

from stages.train import augment as module
from stages.train.augment import draw, draw_changes
from stages.train.params import Augment

NONE = Augment(flip=0.0, rotate_deg=0.0, scale=0.0, shift=0.0, contrast=0.0)
FULL = Augment(flip=0.5, rotate_deg=15.0, scale=0.15, shift=0.08, contrast=0.2)


def augment(
    images: torch.Tensor, masks: torch.Tensor, draws: np.ndarray, settings: Augment
) -> tuple[torch.Tensor, torch.Tensor]:
    return module.augment(images, masks, draw_changes(draws, images.shape[1:], settings))


def films(n: int = 3) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    masks = torch.zeros(n, 1, 32, 32)
    masks[:, :, 10:20, 6:12] = 1
    return torch.rand(n, 1, 32, 32, generator=generator) * 2 - 1, masks


def test_nothing_asked_nothing_changed() -> None:
    images, masks = films()
    found = augment(images, masks, draw(0, 0, np.arange(3)), NONE)
    torch.testing.assert_close(found[0], images, atol=1e-5, rtol=0)
    assert torch.equal(found[1], masks)


@pytest.mark.parametrize(("flip", "axis"), [("flip", -1), ("flip_up_down", -2)])
def test_a_certain_flip_mirrors(flip: str, axis: int) -> None:
    images, masks = films()
    found = augment(images, masks, draw(0, 0, np.arange(3)), NONE.model_copy(update={flip: 1.0}))
    torch.testing.assert_close(found[0], images.flip(axis), atol=1e-5, rtol=0)
    assert torch.equal(found[1], masks.flip(axis))


def test_image_and_mask_move_together_and_masks_stay_binary() -> None:
    _, masks = films()
    settings = FULL.model_copy(update={"contrast": 0.0})
    moved, moved_masks = augment(masks * 2 - 1, masks, draw(1, 2, np.arange(3)), settings)
    assert set(moved_masks.unique().tolist()) == {0.0, 1.0}
    assert not torch.equal(moved_masks, masks)
    assert ((moved > 0).float() - moved_masks).abs().mean() < 0.01


def test_gamma_is_that_of_scikit_image() -> None:
    images, masks = films()
    draws = draw(0, 0, np.arange(3))
    found, _ = augment(images, masks, draws, NONE.model_copy(update={"gamma": 0.7}))
    for image, changed, row in zip(images, found, draws, strict=True):
        expected = adjust_gamma((image[0].numpy() + 1) / 2, np.exp(0.7 * (2 * row[8] - 1)))
        np.testing.assert_allclose((changed[0] + 1) / 2, expected, atol=1e-5)


def test_noise_is_gaussian_of_the_drawn_strength_and_another_on_each_film() -> None:
    grey, masks = torch.zeros(4, 1, 256, 256), torch.zeros(4, 1, 256, 256)
    draws = draw(3, 1, np.arange(4))
    found, moved = augment(grey, masks, draws, NONE.model_copy(update={"noise": 0.1}))
    for film, row in zip(found, draws, strict=True):
        assert film.std().item() == pytest.approx(0.2 * row[9], rel=0.02)  # the grey scale is 2 wide
        assert kstest(film.flatten()[::7].numpy() / film.std().item(), "norm").pvalue > 1e-3
    assert torch.equal(moved, masks)
    again, _ = augment(grey[:2], masks[:2], draw(3, 1, np.array([3, 0])), NONE.model_copy(update={"noise": 0.1}))
    assert torch.equal(again, found[[3, 0]])
    assert abs(np.corrcoef(found[0].flatten(), found[1].flatten())[0, 1]) < 0.02


def test_draws_of_later_knobs_leave_the_others_as_they_were() -> None:
    expected = np.random.default_rng([1, 2, 5]).random(7)  # flip, angle, zoom, two shifts, gain, offset
    np.testing.assert_array_equal(draw(1, 2, np.array([5]))[0, :7], expected)
    images, masks = films()
    strong = FULL.model_copy(update={"gamma": 1.0, "noise": 0.3})
    plain, moved = (augment(images, masks, draw(1, 2, np.arange(3)), one)[1] for one in (FULL, strong))
    assert torch.equal(plain, moved)


@pytest.mark.parametrize(
    "field", ["flip", "flip_up_down", "rotate_deg", "scale", "shift", "contrast", "gamma", "noise"]
)
def test_every_knob_changes_something(field: str) -> None:
    images, masks = films()
    value = getattr(FULL, field) if field in FULL.model_fields_set and field != "flip" else 1.0
    found = augment(images, masks, draw(1, 2, np.arange(3)), NONE.model_copy(update={field: value}))
    assert not torch.allclose(found[0], images, atol=1e-3)


def test_draws_follow_from_seed_epoch_and_film() -> None:
    whole = draw(1, 2, np.array([4, 5, 6]))
    np.testing.assert_array_equal(draw(1, 2, np.array([6, 4])), whole[[2, 0]])
    for other in (draw(2, 2, np.array([4])), draw(1, 3, np.array([4])), draw(1, 2, np.array([7]))):
        assert not np.array_equal(other, whole[:1])
