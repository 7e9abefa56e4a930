import numpy as np
import pytest
import torch

from stages.train.augment import augment, draw
from stages.train.params import Augment

NONE = Augment(flip=0.0, rotate_deg=0.0, scale=0.0, shift=0.0, contrast=0.0)
FULL = Augment(flip=0.5, rotate_deg=15.0, scale=0.15, shift=0.08, contrast=0.2)


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


def test_a_certain_flip_mirrors() -> None:
    images, masks = films()
    found = augment(images, masks, draw(0, 0, np.arange(3)), NONE.model_copy(update={"flip": 1.0}))
    torch.testing.assert_close(found[0], images.flip(-1), atol=1e-5, rtol=0)
    assert torch.equal(found[1], masks.flip(-1))


def test_image_and_mask_move_together_and_masks_stay_binary() -> None:
    _, masks = films()
    settings = FULL.model_copy(update={"contrast": 0.0})
    moved, moved_masks = augment(masks * 2 - 1, masks, draw(1, 2, np.arange(3)), settings)
    assert set(moved_masks.unique().tolist()) == {0.0, 1.0}
    assert not torch.equal(moved_masks, masks)
    assert ((moved > 0).float() - moved_masks).abs().mean() < 0.01


@pytest.mark.parametrize("field", ["flip", "rotate_deg", "scale", "shift", "contrast"])
def test_every_knob_changes_something(field: str) -> None:
    images, masks = films()
    value = 1.0 if field == "flip" else getattr(FULL, field)
    found = augment(images, masks, draw(1, 2, np.arange(3)), NONE.model_copy(update={field: value}))
    assert not torch.allclose(found[0], images, atol=1e-3)


def test_draws_follow_from_seed_epoch_and_film() -> None:
    whole = draw(1, 2, np.array([4, 5, 6]))
    np.testing.assert_array_equal(draw(1, 2, np.array([6, 4])), whole[[2, 0]])
    for other in (draw(2, 2, np.array([4])), draw(1, 3, np.array([4])), draw(1, 2, np.array([7]))):
        assert not np.array_equal(other, whole[:1])
