"""Training from films to weights: one epoch after the other, in the order in which things happen."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from lightning_fabric import Fabric
from torch import Tensor, nn

from stages.common.core.errors import UserError
from stages.common.model.network import logit_layer
from stages.train.augment import augment, draw
from stages.train.devices import all_reduce, any_process, sum_over_processes
from stages.train.loss import LOSSES, all_losses, by_weight, weighted_sum
from stages.train.params import Loss, Optimiser, Params
from stages.train.state import DeviceFilms, Row, StepValues, TrainingState, mean
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
            raise Preempted
        if state.by_iteration or state.step == 0:
            tick(state)
        values = fit_step(fabric, state, films, batches[state.step], settings)
        state.measured.append(values)
        if state.by_iteration:
            state.since_tick = values
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


def fit_step(
    fabric: Fabric, state: TrainingState, films: DeviceFilms, chosen: np.ndarray, settings: Params
) -> StepValues:
    """Forward, backward, step on the films `chosen`, which processes share.

    Args:
        fabric: of `make_fabric`, launched.
        state: its weights, optimiser and moving average change.
        films: to train on.
        chosen: int (n,), the batch of all processes.
        settings: the section `train`.
    """
    rank, world = fabric.global_rank, fabric.world_size
    # Encoders with dropout draw from torch's own generator: what it gives follows from the step, too.
    torch.manual_seed(int(np.random.SeedSequence([state.seed, state.epoch, state.step, rank]).generate_state(1)[0]))
    mine = chosen[rank::world]
    images, masks = films.batch(mine)
    images, masks = augment(images, masks, draw(state.seed, state.epoch, mine), settings.augment)
    # Means over unequal shares: weigh them, so that their mean over the processes is that over the batch.
    share = len(mine) * world / len(chosen)
    losses = losses_of_share(state.model(images), masks, settings.loss, share)
    total = weighted_sum(losses, state.alpha, state.beta)
    norms = gradient_norms(fabric, state, masks, settings.loss, share)
    state.optimiser.zero_grad(set_to_none=True)
    fabric.backward(total)
    norm = fabric.clip_gradients(
        state.model, state.optimiser, max_norm=settings.optimiser.clip, error_if_nonfinite=False
    )
    measured = torch.stack([total.detach(), torch.as_tensor(norm).to(total), *norms, *losses.values()]).detach()
    loss, gradient_norm, alpha_norm, beta_norm, *values = all_reduce(fabric, measured, "mean").tolist()
    step = StepValues(
        alpha=state.alpha,
        beta=state.beta,
        ratio=state.alpha / (state.alpha + state.beta),
        loss=loss,
        losses=dict(zip(losses, values, strict=True)),
        gradient_norm=gradient_norm,
        alpha_norm=alpha_norm,
        beta_norm=beta_norm,
    )
    check_finite(step, state)
    done = state.epoch * state.steps + state.step
    rate = learning_rate(done, settings.loop.epochs * state.steps, settings.optimiser)
    for group, factor in zip(state.optimiser.param_groups, rate_factors(state.epoch, settings.optimiser), strict=True):
        group["lr"] = rate * factor
    state.optimiser.step()
    if state.average is not None:
        state.average.update_parameters(state.network)
    return step


def losses_of_share(logits: Tensor, masks: Tensor, settings: Loss, share: float) -> dict[str, Tensor]:
    """The terms of the loss on this process's part of a batch, whose means over the processes are those of the batch.

    Args:
        logits: (n, 1, H, W).
        masks: float32 (n, 1, H, W) of 0 and 1.
        settings: the section `train.loss`.
        share: films of this process, divided by the mean over the processes.
    """
    return {name: loss * share for name, loss in all_losses(logits, masks, settings, sum_over_processes).items()}


def gradient_norms(fabric: Fabric, state: TrainingState, masks: Tensor, settings: Loss, share: float) -> Tensor:
    """Norms of the gradients of what alpha and beta weigh in the layer that makes the logits, float (2,); else zeros.

    That layer is run once more by itself, apart from the graph whose gradients processes exchange.

    Args:
        fabric: of `make_fabric`, launched.
        state: whose network has just seen the batch.
        masks: float32 (n, 1, H, W) of 0 and 1.
        settings: the section `train.loss`.
        share: as in `losses_of_share`.
    """
    if state.logit_inputs is None:
        return torch.zeros(2, device=masks.device)
    layer = logit_layer(state.network)
    with fabric.autocast():
        logits = layer(state.logit_inputs)
        if logits.shape != masks.shape:
            logits = F.interpolate(logits, masks.shape[2:], mode="bilinear", align_corners=True)  # as every head does
    losses = by_weight(losses_of_share(logits, masks, settings, share))
    gradients = [torch.autograd.grad(loss, layer.weight, retain_graph=True)[0].float() for loss in losses]
    return torch.stack([torch.linalg.vector_norm(all_reduce(fabric, gradient, "mean")) for gradient in gradients])


def check_finite(step: StepValues, state: TrainingState) -> None:
    """Stop before a step that would spoil the weights.

    Raises:
        UserError: the loss or the norm of its gradient is infinite or no number.
    """
    where = f"in epoch {state.epoch + 1}, step {state.step + 1}"
    if not math.isfinite(step.loss):
        terms = ", ".join(f"{name} {value:.4g}" for name, value in step.losses.items())
        raise UserError(
            f"train: the loss is not finite {where} ({terms}); lower train.optimiser.learning_rate or "
            "train.optimiser.clip"
        )
    if not math.isfinite(step.gradient_norm):
        raise UserError(
            f"train: the gradient is not finite {where} (loss {step.loss:.4g}); "
            "lower train.optimiser.learning_rate, or train in fp32 (train.loop.precision)"
        )


def learning_rate(step: int, total: int, settings: Optimiser) -> float:
    """The rate of one step: rising in a line over the first `warmup` of all, then half a cosine to 0, or constant."""
    warm = round(settings.warmup * total)
    if step < warm:
        return settings.learning_rate * (step + 1) / warm
    if settings.schedule == "constant":
        return settings.learning_rate
    return settings.learning_rate * (1 + math.cos(math.pi * (step - warm) / (total - warm))) / 2


def rate_factors(epoch: int, settings: Optimiser) -> tuple[float, float]:
    """What the learning rate is multiplied by for the encoder and for the rest; AdamW moves nothing at a rate of 0."""
    return (0.0 if epoch < settings.frozen_epochs else settings.encoder_factor), 1.0


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
