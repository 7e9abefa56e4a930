"""The loss: soft Dice (the paper's equation 1) and binary cross entropy (equation 2), weighted by alpha and beta.

To add a term, add it to LOSSES: the sum that is trained, the columns of history.csv, validation and MLflow follow.
"""

import operator
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import reduce
from typing import Any, Literal, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor

from stages.train.params import Loss

OverProcesses = Callable[[Tensor], Tensor]  # a differentiable sum over the processes that share a batch
Value = TypeVar("Value", float, Tensor)


def alone(sums: Tensor) -> Tensor:
    """The sum over processes where there is only one."""
    return sums


def dice_loss(
    logits: Tensor,
    target: Tensor,
    over: Literal["batch", "image"],
    smooth: float,
    over_processes: OverProcesses = alone,
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


@dataclass(frozen=True)
class Term:
    """One term of the loss.

    weight: alpha or beta, which the weighting moves, or a constant of the term's own.
    function: of logits and masks, (N, 1, H, W) each, the section `train.loss`, and a sum over processes for a loss that
    pools the films of a batch; it gives a scalar, which is the mean over films where it does not pool them.
    """

    weight: Literal["alpha", "beta"] | float
    function: Callable[[Tensor, Tensor, Loss, OverProcesses], Tensor]


LOSSES = {
    "dice": Term("alpha", lambda z, y, settings, pooled: dice_loss(z, y, settings.dice_over, settings.smooth, pooled)),
    "bce": Term("beta", lambda z, y, settings, pooled: bce_loss(z, y)),
}


def all_losses(
    logits: Tensor, masks: Tensor, settings: Loss, over_processes: OverProcesses = alone
) -> dict[str, Tensor]:
    """The value of each term, a scalar, before it is weighted.

    Args:
        logits: (N, 1, H, W), any floating type.
        masks: (N, 1, H, W) of 0 and 1.
        settings: the section `train.loss`.
        over_processes: differentiable sum over the processes that share the batch.
    """
    return {name: term.function(logits, masks, settings, over_processes) for name, term in LOSSES.items()}


def weighted_sum(values: Mapping[str, Value], alpha: float | Tensor, beta: float | Tensor) -> Value:
    """The loss that is trained: the sum of all terms, each times its weight; tensors have no shape."""
    named = {"alpha": alpha, "beta": beta}
    weights = {
        name: named[term.weight] if isinstance(term.weight, str) else term.weight for name, term in LOSSES.items()
    }
    weighted: list[Any] = [weights[name] * value for name, value in values.items()]
    total: Value = add(weighted)
    return total


def by_weight(values: Mapping[str, Value]) -> tuple[Value, Value]:
    """What alpha weighs and what beta weighs: the two losses that a weighting compares."""
    first, second = (
        add(value for name, value in values.items() if LOSSES[name].weight == weight) for weight in ("alpha", "beta")
    )
    return first, second


def add(values: Iterable[Value]) -> Value:
    return reduce(operator.add, values)
