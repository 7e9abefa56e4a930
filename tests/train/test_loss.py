import math
from typing import Literal

import numpy as np
import pytest
import torch
from monai.losses import DiceLoss as MonaiDice
from segmentation_models_pytorch.losses import DiceLoss, SoftBCEWithLogitsLoss
from sklearn.metrics import log_loss
from torch import Tensor

from stages.train.loss import bce_loss, dice_loss

OVER: list[Literal["batch", "image"]] = ["batch", "image"]


def example(seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(3, 1, 6, 5, generator=generator)
    return logits, (torch.rand(3, 1, 6, 5, generator=generator) < 0.3).float()


def certain(mask: Tensor) -> Tensor:
    return (2 * mask - 1) * 50


def test_dice_by_hand() -> None:
    # p = .5 everywhere, 2 of 4 marked: 1 - (2 * 1 + 1) / (2 + 2 + 1)
    target = torch.tensor([1.0, 1, 0, 0]).reshape(1, 1, 2, 2)
    assert dice_loss(torch.zeros(1, 1, 2, 2), target, "batch", 1.0).item() == pytest.approx(0.4)


@pytest.mark.parametrize("seed", range(4))
def test_dice_over_the_batch_equals_smp(seed: int) -> None:
    logits, target = example(seed)
    theirs = DiceLoss("binary", from_logits=True)(logits, target)
    assert dice_loss(logits, target, "batch", 1e-7).item() == pytest.approx(theirs.item(), abs=2e-6)


@pytest.mark.parametrize("smooth", [1e-5, 1.0])
@pytest.mark.parametrize("over", OVER)
def test_dice_equals_monai(over: Literal["batch", "image"], smooth: float) -> None:
    logits, target = example(3)
    target[1] = 0  # an image without foreground
    theirs = MonaiDice(sigmoid=True, batch=over == "batch", smooth_nr=smooth, smooth_dr=smooth)(logits, target)
    assert dice_loss(logits, target, over, smooth).item() == pytest.approx(theirs.item(), abs=2e-6)


def test_over_the_batch_the_sums_are_those_of_all_processes() -> None:
    (logits, target), (others, more) = example(1), example(2)
    both = dice_loss(torch.cat([logits, others]), torch.cat([target, more]), "batch", 1.0)
    p, y = others.sigmoid(), more
    rest = torch.stack([(p * y).sum(), p.sum() + y.sum()])
    assert dice_loss(logits, target, "batch", 1.0, lambda sums: sums + rest).item() == pytest.approx(both.item())


def test_bce_equals_smp() -> None:
    logits, target = example(4)
    assert bce_loss(logits, target).item() == pytest.approx(SoftBCEWithLogitsLoss()(logits, target).item(), abs=1e-6)


def test_dice_over_images_is_the_mean_of_images() -> None:
    logits, target = example()
    single = [dice_loss(logits[i : i + 1], target[i : i + 1], "batch", 1.0).item() for i in range(3)]
    assert dice_loss(logits, target, "image", 1.0).item() == pytest.approx(np.mean(single))


@pytest.mark.parametrize("over", OVER)
def test_soft_dice_of_a_certain_mask_is_equation_one(over: Literal["batch", "image"]) -> None:
    _, target = example(1)
    guess = torch.roll(target, 1, -1)
    tp, fp, fn = ((guess * target).sum(), (guess * (1 - target)).sum(), ((1 - guess) * target).sum())
    if over == "batch":
        expected = 1 - 2 * tp / (2 * tp + fp + fn)
        assert dice_loss(certain(guess), target, over, 1e-6).item() == pytest.approx(expected.item(), abs=1e-5)
    assert dice_loss(certain(target), target, over, 1e-6).item() == pytest.approx(0, abs=1e-5)


@pytest.mark.parametrize("over", OVER)
def test_empty_masks_are_defined_and_false_alarms_cost(over: Literal["batch", "image"]) -> None:
    empty = torch.zeros(2, 1, 4, 4)
    assert dice_loss(certain(empty), empty, over, 1.0).item() == pytest.approx(0, abs=1e-6)
    logits = torch.zeros(2, 1, 4, 4, requires_grad=True)
    dice_loss(logits, empty, over, 1.0).backward()
    assert logits.grad is not None
    assert (logits.grad > 0).all()


def test_bce_equals_scikit_learn() -> None:
    logits, target = example(2)
    p = logits.double().sigmoid().numpy().ravel()
    assert bce_loss(logits, target).item() == pytest.approx(log_loss(target.numpy().ravel(), p), rel=1e-5)


@pytest.mark.parametrize("size", [1e4, -1e4])
def test_losses_and_gradients_are_finite_for_extreme_logits(size: float) -> None:
    _, target = example()
    logits = torch.full_like(target, size, requires_grad=True)
    (dice_loss(logits, target, "batch", 1.0) + bce_loss(logits, target)).backward()
    assert logits.grad is not None
    assert torch.isfinite(logits.grad).all()


@pytest.mark.parametrize("over", OVER)
def test_gradients_are_exact(over: Literal["batch", "image"]) -> None:
    logits, target = example()
    wide = logits.double().requires_grad_()
    assert torch.autograd.gradcheck(lambda z: dice_loss(z, target, over, 1.0), wide)
    assert torch.autograd.gradcheck(lambda z: bce_loss(z, target), wide)


def test_half_precision_is_summed_in_single() -> None:
    target = torch.zeros(1, 1, 256, 256)
    target[..., :200, :] = 1
    # 51,200 marked pixels: bfloat16 could not even count them.
    loss = dice_loss(certain(target).bfloat16(), target, "batch", 1.0).item()
    assert loss == pytest.approx(0, abs=1e-6)
    assert not math.isnan(loss)
