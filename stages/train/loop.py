"""Training from films to weights: one epoch after the other, in the order in which things happen."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from stages.common.core.errors import UserError
from stages.common.data.dataset import Films
from stages.common.model.network import build, logit_layer, to_input
from stages.train.augment import augment, draw
from stages.train.devices import all_reduce, sum_over_processes, sync_batch_norm
from stages.train.loss import bce_loss, dice_loss
from stages.train.params import Loss, Method, Optimiser, Params
from stages.train.weighting import Losses, Weighting, make_weighting

EVALUATION_BATCH = 8
COLUMNS = ("alpha", "beta", "ratio", "loss", "dice_loss", "bce_loss", "gradient_norm", "dice_norm", "bce_norm")


class Preempted(BaseException):
    """Training was asked to stop; its state is whole, between two steps."""


def never() -> bool:
    return False


@dataclass
class TrainingState:
    """All that the next step depends on; random numbers are derived, so there is no generator among it."""

    network: nn.Module  # as built; its parameters are those of `model`
    model: nn.Module  # what is called: the network behind Fabric's precision and its processes
    optimiser: torch.optim.Optimizer
    average: AveragedModel | None
    weighting: Weighting[Any]
    by_iteration: bool
    steps: int  # in an epoch
    seed: int
    epoch: int = 0
    step: int = 0  # done in this epoch
    sums: list[float] = field(default_factory=lambda: [0.0] * len(COLUMNS))  # over this epoch's steps
    losses: Losses | None = None  # since the weighting's last tick
    in_force: tuple[float, float] = (0.0, 0.0)  # alpha, beta
    history: list[dict[str, float]] = field(default_factory=list)
    kept: dict[str, Tensor] = field(default_factory=dict)
    kept_epoch: int = 0
    features: list[Tensor] = field(default_factory=list)  # what the last layer saw, where the weighting asks for norms

    def eval_network(self) -> nn.Module:
        """The network that is validated and kept: the moving average where there is one."""
        return self.average.module if self.average is not None else self.network

    def pack(self) -> dict[str, Any]:
        losses = None if self.losses is None else [self.losses.values, self.losses.norms]
        return {
            "network": self.network.state_dict(),
            "optimiser": self.optimiser.state_dict()["state"],
            "average": None if self.average is None else self.average.state_dict(),
            "weighting": self.weighting.state(),
            "losses": losses,
            **{
                name: getattr(self, name)
                for name in ("epoch", "step", "sums", "in_force", "history", "kept", "kept_epoch")
            },
        }

    def unpack(self, content: dict[str, Any]) -> None:
        self.network.load_state_dict(content["network"])
        groups = self.optimiser.state_dict()["param_groups"]
        self.optimiser.load_state_dict({"state": content["optimiser"], "param_groups": groups})
        for parameter, moments in self.optimiser.state.items():
            for name, value in moments.items():
                if value.shape == parameter.shape:  # in the memory order of the parameter, as the fused step needs it
                    moments[name] = torch.empty_like(parameter).copy_(value)
        if self.average is not None:
            self.average.load_state_dict(content["average"])
        self.weighting.restore(content["weighting"])
        self.losses = content["losses"] and Losses(*(tuple(pair) for pair in content["losses"]))
        self.in_force = tuple(content["in_force"])
        for name in ("epoch", "step", "sums", "history", "kept", "kept_epoch"):
            setattr(self, name, content[name])


@dataclass(frozen=True)
class Side:
    """Films on the device: inputs uint8 (N, C, H, W) and masks uint8 (N, 1, H, W) of 0 and 1."""

    inputs: Tensor
    masks: Tensor

    def batch(self, chosen: np.ndarray) -> tuple[Tensor, Tensor]:
        """Inputs float32 (n, C, H, W) in -1..1 and masks float32 (n, 1, H, W)."""
        index = torch.from_numpy(chosen).to(self.inputs.device)
        return to_input(self.inputs[index]), self.masks[index].float()


def to_device(fabric: Fabric, films: Films) -> Side:
    """The films as bytes on the device, once: 160 of 256 x 256 take 20 MB."""
    masks = torch.from_numpy(films.masks)[:, None].to(torch.uint8)
    return Side(fabric.to_device(torch.from_numpy(films.inputs)), fabric.to_device(masks))


def init_state(fabric: Fabric, settings: Params, weights: Method, inputs: tuple[int, ...], seed: int) -> TrainingState:
    """Everything as it stands before the first step; initial weights follow from the seed.

    Args:
        fabric: of `make_fabric`, launched.
        settings: the section `train`.
        weights: of the variant.
        inputs: shape of the training films, (N, C, H, W).
        seed: of the training.
    """
    torch.manual_seed(seed)
    network = build(settings.network).to(fabric.device).to(memory_format=torch.channels_last)
    network = sync_batch_norm(network, inputs[1:], fabric)
    average = None
    if settings.optimiser.ema > 0:
        mean = get_ema_multi_avg_fn(settings.optimiser.ema)  # type: ignore[no-untyped-call]
        average = AveragedModel(network, multi_avg_fn=mean, use_buffers=True)
    if settings.network.compile:
        network.compile()
    optimiser = torch.optim.AdamW(
        network.parameters(),
        settings.optimiser.learning_rate,
        weight_decay=settings.optimiser.weight_decay,
        fused=True,
    )
    model, wrapped = fabric.setup(network, optimiser)
    steps = -(-inputs[0] // settings.loop.batch)
    weighting, by_iteration = make_weighting(weights, settings.loop.epochs, steps, seed)
    state = TrainingState(network, model, wrapped, average, weighting, by_iteration, steps, seed)
    if weighting.asks_norms:
        state.features.append(torch.empty(0))
        layer = logit_layer(network)
        layer.register_forward_pre_hook(lambda _, seen: state.features.__setitem__(0, seen[0].detach()))
    return state


def epochs(
    fabric: Fabric,
    state: TrainingState,
    train: Side,
    validation: Side,
    settings: Params,
    stop: Callable[[], bool] = never,
) -> Iterator[dict[str, float]]:
    """Train the epochs that `state` still lacks and yield the row of history.csv after each.

    The weights in `state.kept` are those of the epoch with the highest validation Dice, the first of equals (losses of
    different epochs do not compare, since the weights of their terms differ), or of the last epoch (`select: last`).

    Raises:
        UserError: a loss or a gradient is no longer a finite number.
        Preempted: `stop()` said so; the state is that after a whole step.
    """
    while state.epoch < settings.loop.epochs:
        rate = learning_rate(state.epoch * state.steps, state.steps * settings.loop.epochs, settings.optimiser)
        fitted = fit_epoch(fabric, state, train, settings, stop)
        checked = validate(fabric, state.eval_network(), validation, settings.loss)
        weighted = fitted["alpha"] * checked["dice_loss"] + fitted["beta"] * checked["bce_loss"]
        row = {"epoch": state.epoch, **{name: fitted[name] for name in ("alpha", "beta", "ratio")}}
        row |= {"learning_rate": rate, "gradient_norm": fitted["gradient_norm"]}
        row |= {f"train_{name}": fitted[name] for name in ("loss", "dice_loss", "bce_loss")}
        row |= {f"validation_{name}": value for name, value in ({"loss": weighted} | checked).items()}
        best = max((old["validation_dice"] for old in state.history), default=-1.0)
        last = state.epoch == settings.loop.epochs - 1
        if last if settings.loop.select == "last" else row["validation_dice"] > best:
            state.kept_epoch = state.epoch
            state.kept = {
                name: tensor.detach().cpu().clone() for name, tensor in state.eval_network().state_dict().items()
            }
        state.history.append(row)
        state.epoch, state.step, state.sums = state.epoch + 1, 0, [0.0] * len(COLUMNS)
        yield row


def fit_epoch(
    fabric: Fabric, state: TrainingState, films: Side, settings: Params, stop: Callable[[], bool] = never
) -> dict[str, float]:
    """The steps that this epoch still lacks, in an order that follows from (seed, epoch); means over all its steps."""
    state.model.train()
    order = np.random.default_rng([state.seed, state.epoch]).permutation(len(films.inputs))
    batches = np.array_split(order, state.steps)
    while state.step < state.steps:
        if agreed(fabric, stop()):
            raise Preempted
        if state.by_iteration or state.step == 0:
            tick(state)
        values = fit_step(fabric, state, films, batches[state.step], settings)
        state.sums = [before + value for before, value in zip(state.sums, values, strict=True)]
        state.step += 1
        if state.by_iteration or state.step == state.steps:
            seen = values if state.by_iteration else [total / state.steps for total in state.sums]
            state.losses = Losses((seen[4], seen[5]), (seen[7], seen[8]))
    return {name: total / state.steps for name, total in zip(COLUMNS, state.sums, strict=True)}


def tick(state: TrainingState) -> None:
    """Ask the weighting for alpha and beta from now on."""
    t = state.epoch + state.step / state.steps if state.by_iteration else float(state.epoch)
    state.in_force = state.weighting.in_force(t, state.losses)


def fit_step(fabric: Fabric, state: TrainingState, films: Side, chosen: np.ndarray, settings: Params) -> list[float]:
    """Forward, backward, step on the chosen films, shared among the processes; the values of COLUMNS."""
    rank, world = fabric.global_rank, fabric.world_size
    # Encoders with dropout draw from torch's own generator: what it gives follows from the step, too.
    torch.manual_seed(int(np.random.SeedSequence([state.seed, state.epoch, state.step, rank]).generate_state(1)[0]))
    mine = chosen[rank::world]
    images, masks = films.batch(mine)
    images, masks = augment(images, masks, draw(state.seed, state.epoch, mine), settings.augment)
    # Means over unequal shares: weigh them, so that their mean over the processes is that over the batch.
    share = len(mine) * world / len(chosen)
    dice, bce = losses(state.model(images), masks, settings.loss, share)
    alpha, beta = state.in_force
    total = alpha * dice + beta * bce
    norms = gradient_norms(fabric, state, masks, settings.loss, share) if state.features else torch.zeros(2).to(total)
    state.optimiser.zero_grad(set_to_none=True)
    fabric.backward(total)
    norm = fabric.clip_gradients(
        state.model, state.optimiser, max_norm=settings.optimiser.clip, error_if_nonfinite=False
    )
    found = torch.stack([total.detach(), dice.detach(), bce.detach(), torch.as_tensor(norm).to(total), *norms])
    values: list[float] = all_reduce(fabric, found, "mean").tolist()
    refuse_what_is_not_finite(values, state)
    done = state.epoch * state.steps + state.step
    for group in state.optimiser.param_groups:
        group["lr"] = learning_rate(done, settings.loop.epochs * state.steps, settings.optimiser)
    state.optimiser.step()
    if state.average is not None:
        state.average.update_parameters(state.network)
    return [alpha, beta, alpha / (alpha + beta), *values]


def refuse_what_is_not_finite(values: list[float], state: TrainingState) -> None:
    """Stop before a step that would spoil the weights.

    Raises:
        UserError: the loss or the norm of its gradient is infinite or no number.
    """
    total, dice, bce, norm, *_ = values
    where = f"in epoch {state.epoch}, step {state.step}"
    if not math.isfinite(total):
        raise UserError(
            f"train: the loss is not finite {where} (Dice {dice:.4g}, BCE {bce:.4g}); "
            "lower train.optimiser.learning_rate or train.optimiser.clip"
        )
    if not math.isfinite(norm):
        raise UserError(
            f"train: the gradient is not finite {where} (loss {total:.4g}); "
            "lower train.optimiser.learning_rate, or train in fp32 (train.loop.precision)"
        )


def gradient_norms(fabric: Fabric, state: TrainingState, masks: Tensor, settings: Loss, share: float) -> Tensor:
    """Norms of both losses' gradients in the layer that makes the logits, (2,).

    That layer is run once more by itself, apart from the graph whose gradients processes exchange.
    """
    layer = logit_layer(state.network)
    with fabric.autocast():
        logits = layer(state.features[0])
        if logits.shape != masks.shape:
            logits = F.interpolate(logits, masks.shape[2:], mode="bilinear", align_corners=True)  # as every head does
    parts = [
        torch.autograd.grad(loss, layer.weight, retain_graph=True)[0] for loss in losses(logits, masks, settings, share)
    ]
    return torch.stack([torch.linalg.vector_norm(all_reduce(fabric, part.float(), "mean")) for part in parts])


def learning_rate(step: int, total: int, settings: Optimiser) -> float:
    """The rate of one step: rising in a line over the first `warmup` of all, then half a cosine to 0, or constant."""
    warm = round(settings.warmup * total)
    if step < warm:
        return settings.learning_rate * (step + 1) / warm
    if settings.schedule == "constant":
        return settings.learning_rate
    return settings.learning_rate * (1 + math.cos(math.pi * (step - warm) / (total - warm))) / 2


@torch.no_grad()
def validate(fabric: Fabric, network: nn.Module, films: Side, settings: Loss) -> dict[str, float]:
    """Mean losses over the validation films, and the mean Dice of their masks at 0.5 (1 where both are empty)."""
    network.eval()
    count = len(films.inputs)
    batches = np.array_split(np.arange(count), -(-count // EVALUATION_BATCH))
    found = torch.zeros(3, dtype=torch.float64)
    for chosen in batches[fabric.global_rank :: fabric.world_size]:
        images, masks = films.batch(chosen)
        with fabric.autocast():
            logits = network(images)
        dice = dice_loss(logits, masks, settings.dice_over, settings.smooth)
        marked = (logits > 0).float()
        overlap, total = (marked * masks).sum((1, 2, 3)), marked.sum((1, 2, 3)) + masks.sum((1, 2, 3))
        scores = torch.where(total > 0, 2 * overlap / total.clamp(min=1), 1.0)
        parts = torch.stack([dice, bce_loss(logits, masks), scores.mean()]).double().cpu()
        found += parts * (len(chosen) / count)
    sums = all_reduce(fabric, found.to(fabric.device), "sum").tolist()
    return dict(zip(("dice_loss", "bce_loss", "dice"), sums, strict=True))


def losses(logits: Tensor, masks: Tensor, settings: Loss, share: float) -> tuple[Tensor, Tensor]:
    """Dice and BCE of this process's part of a batch, whose means over the processes are those of the batch."""
    dice = dice_loss(logits, masks, settings.dice_over, settings.smooth, sum_over_processes)
    return (dice if settings.dice_over == "batch" else dice * share), bce_loss(logits, masks) * share


def agreed(fabric: Fabric, flag: bool) -> bool:
    """Whether any process says so, so that all stop before the same step."""
    if fabric.world_size == 1:
        return flag
    return bool(all_reduce(fabric, torch.tensor(float(flag), device=fabric.device), "sum") > 0)
