"""Training from films to weights: one epoch after the other, in the order in which things happen."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from stages.train.devices import all_reduce, any_process
from stages.train.loss import LOSSES, all_losses, by_weight, weighted_sum
from stages.train.params import Loss, Params
from stages.train.state import DeviceFilms, Row, StepValues, TrainingState, mean
from stages.train.step import fit_step, learning_rate, read_values
from stages.train.step_graph import READ_EVERY
from stages.train.weighting import Losses

EVALUATION_BATCH = 8


class Preempted(BaseException):
    """Training was asked to stop; its state is whole, between two steps."""


def never() -> bool:
    return False


@dataclass(frozen=True)
class ValidationValues:
    """Over the validation films: the terms of the loss by name, unweighted, and the mean Dice of the masks at 0.5."""

    losses: dict[str, float]
    dice: float


def epochs(
    fabric: Fabric,
    state: TrainingState,
    train: DeviceFilms,
    validation: DeviceFilms,
    settings: Params,
    stop: Callable[[], bool] = never,
) -> Iterator[Row]:
    """Train the epochs that `state` still lacks and yield the row of history.csv after each.

    The weights in `state.kept` are those of the epoch with the highest validation Dice, the first of equals (losses of
    different epochs do not compare, since the weights of their terms differ), or of the last epoch (`select: last`).

    Args:
        fabric: of `make_fabric`, launched.
        state: of `init_state`, or restored.
        train: films to train on.
        validation: films to choose the epoch by.
        settings: the section `train`.
        stop: asked before each step whether to stop there.
    Raises:
        UserError: a loss or a gradient is no longer a finite number.
        Preempted: `stop()` said so; the state is that after a whole step.
    """
    while state.epoch < settings.loop.epochs:
        in_training = fit_epoch(fabric, state, train, settings, stop)
        in_validation = validate(fabric, state.eval_network(), validation, settings.loss)
        rate = learning_rate(state.epoch * state.steps, state.steps * settings.loop.epochs, settings.optimiser)
        row = history_row(state.epoch + 1, rate, in_training, in_validation)
        best = max((earlier["validation_dice"] for earlier in state.history), default=-1.0)
        last = state.epoch == settings.loop.epochs - 1
        if last if settings.loop.select == "last" else row["validation_dice"] > best:
            weights = state.eval_network().state_dict()
            state.kept = {name: tensor.detach().cpu().clone() for name, tensor in weights.items()}
            state.kept_epoch = state.epoch + 1
        state.history.append(row)
        state.epoch, state.measured = state.epoch + 1, []
        yield row


def history_row(epoch: int, rate: float, train: StepValues, validation: ValidationValues) -> Row:
    """A row of history.csv.

    Args:
        epoch: counted from 1.
        rate: learning rate of its first step.
        train: means over its steps.
        validation: after it.
    """
    row = {"epoch": epoch, "alpha": train.alpha, "beta": train.beta, "ratio": train.ratio}
    row |= {"learning_rate": rate, "gradient_norm": train.gradient_norm, "train_loss": train.loss}
    row |= {f"train_{name}_loss": value for name, value in train.losses.items()}
    row["validation_loss"] = weighted_sum(validation.losses, train.alpha, train.beta)
    row |= {f"validation_{name}_loss": value for name, value in validation.losses.items()}
    return row | {"validation_dice": validation.dice}


def fit_epoch(
    fabric: Fabric, state: TrainingState, films: DeviceFilms, settings: Params, stop: Callable[[], bool] = never
) -> StepValues:
    """The steps that this epoch still lacks, in an order that follows from (seed, epoch).

    Args:
        fabric: of `make_fabric`, launched.
        state: changed by each step.
        films: to train on.
        settings: the section `train`.
        stop: asked before each step whether to stop there.
    Returns:
        Means over all steps of the epoch.
    """
    state.model.train()
    order = np.random.default_rng([state.seed, state.epoch]).permutation(len(films.inputs))
    batches = np.array_split(order, state.steps)
    while state.step < state.steps:
        if any_process(fabric, stop()):
            read_values(state)
            raise Preempted
        if state.by_iteration or state.step == 0:
            tick(state)
        fit_step(fabric, state, films, batches[state.step], settings)
        if state.by_iteration or state.graphs is None or len(state.unread) == READ_EVERY:
            read_values(state)
        if state.by_iteration:
            state.since_tick = state.measured[-1]
    read_values(state)
    means = mean(state.measured)
    if not state.by_iteration:
        state.since_tick = means
    return means


def tick(state: TrainingState) -> None:
    """Ask the weighting for alpha and beta from now on."""
    t = state.epoch + state.step / state.steps if state.by_iteration else float(state.epoch)
    values = state.since_tick
    losses = None if values is None else Losses(by_weight(values.losses), (values.alpha_norm, values.beta_norm))
    state.alpha, state.beta = state.weighting.in_force(t, losses)


@torch.no_grad()
def validate(fabric: Fabric, network: nn.Module, films: DeviceFilms, settings: Loss) -> ValidationValues:
    """Mean losses over the films, and the mean Dice of their masks at 0.5 (1 where both are empty).

    Args:
        fabric: of `make_fabric`, launched; its processes share the films.
        network: put into evaluation mode.
        films: at least one.
        settings: the section `train.loss`.
    """
    network.eval()
    count = len(films.inputs)
    batches = np.array_split(np.arange(count), -(-count // EVALUATION_BATCH))
    sums = torch.zeros(len(LOSSES) + 1, dtype=torch.float64)
    for chosen in batches[fabric.global_rank :: fabric.world_size]:
        images, masks = films.batch(chosen)
        with fabric.autocast():
            logits = network(images)
        losses = all_losses(logits, masks, settings)
        parts = torch.stack([*losses.values(), mask_dice(logits > 0, masks).mean()]).double().cpu()
        sums += parts * (len(chosen) / count)
    *values, dice = all_reduce(fabric, sums.to(fabric.device), "sum").tolist()
    return ValidationValues(dict(zip(LOSSES, values, strict=True)), dice)


def mask_dice(predicted: Tensor, masks: Tensor) -> Tensor:
    """Dice of each film, float32 (n,), 1 where both masks are empty; bool and float32 (n, 1, H, W) of 0 and 1."""
    marked = predicted.float()
    overlap, total = (marked * masks).sum((1, 2, 3)), marked.sum((1, 2, 3)) + masks.sum((1, 2, 3))
    return torch.where(total > 0, 2 * overlap / total.clamp(min=1), 1.0)
