"""The two losses that the paper weighs: soft Dice (equation 1) and binary cross entropy (equation 2)."""

from collections.abc import Callable
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor


def alone(sums: Tensor) -> Tensor:
    """The sum over processes where there is only one."""
    return sums


def dice_loss(
    logits: Tensor,
    target: Tensor,
    over: Literal["batch", "image"],
    smooth: float,
    over_processes: Callable[[Tensor], Tensor] = alone,
) -> Tensor:
    """1 - (2 sum(p y) + smooth) / (sum(p) + sum(y) + smooth), with p = sigmoid(logits).

    Equation 1 with probabilities in place of counts, since counts have no gradient. Without foreground the loss is
    1 - smooth / (sum(p) + smooth): it still pulls false alarms down, and is 0 for a prediction of nothing.

    Args:
        logits: (N, 1, H, W), any floating type; sums are taken in float32 or better.
        target: (N, 1, H, W) of 0 and 1.
        over: one ratio over the whole batch, or the mean of one ratio per image.
        smooth: > 0, in pixels.
        over_processes: differentiable sum over the processes that share the batch; for `over="batch"` alone.
    Returns:
        scalar in 0..1.
    """
    wide = torch.float64 if logits.dtype == torch.float64 else torch.float32
    p, y = logits.to(wide).sigmoid(), target.to(wide)
    dims = (0, 1, 2, 3) if over == "batch" else (1, 2, 3)
    sums = torch.stack([(p * y).sum(dims), p.sum(dims) + y.sum(dims)])
    overlap, total = (over_processes(sums) if over == "batch" else sums).unbind()
    return (1 - (2 * overlap + smooth) / (total + smooth)).mean()


def bce_loss(logits: Tensor, target: Tensor) -> Tensor:
    """Mean binary cross entropy over all pixels, from logits, so that it stays finite for any of them; scalar >= 0."""
    wide = torch.float64 if logits.dtype == torch.float64 else torch.float32
    return F.binary_cross_entropy_with_logits(logits.to(wide), target.to(wide))
