"""Training from films to weights: one epoch after the other, in the order in which things happen."""

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from stages.common.dataset import Films
from stages.common.errors import Fault
from stages.common.unet import build, to_input
from stages.train.augment import augment, draw
from stages.train.loss import bce_loss, dice_loss
from stages.train.params import Loss, Params, Weights
from stages.train.schedule import weights_at

EVALUATION_BATCH = 8


@dataclass
class State:
    """All that the next epoch depends on; random numbers are derived, so there is no generator among it."""

    network: nn.Module
    optimiser: torch.optim.Optimizer
    scheduler: torch.optim.lr_scheduler.LRScheduler
    epoch: int
    history: list[dict[str, float]]
    best: dict[str, Tensor]

    def pack(self) -> dict[str, Any]:
        parts = {name: getattr(self, name).state_dict() for name in ("network", "optimiser", "scheduler")}
        return {**parts, "epoch": self.epoch, "history": self.history, "best": self.best}

    def unpack(self, content: dict[str, Any]) -> None:
        for name in ("network", "optimiser", "scheduler"):
            getattr(self, name).load_state_dict(content[name])
        self.epoch, self.history, self.best = content["epoch"], content["history"], content["best"]


# Fabric and its kin announce the precision on stderr; model.json records it instead.
logging.getLogger("lightning_fabric").setLevel(logging.ERROR)


def make_fabric(settings: Params) -> Fabric:
    """CPU or the first GPU, in bf16 where the hardware multiplies it, else in fp32.

    Threads change the order of sums and so the last bits of a result: they are set, not guessed.
    """
    torch.set_num_threads(settings.loop.threads)
    torch.use_deterministic_algorithms(True, warn_only=False)
    wanted = settings.loop.precision
    fast = torch.cuda.is_bf16_supported() if torch.cuda.is_available() else cpu_has_bf16()
    bf16 = wanted == "bf16" or (wanted == "auto" and fast)
    return Fabric(accelerator="auto", devices=1, precision="bf16-mixed" if bf16 else "32-true")


def cpu_has_bf16() -> bool:
    """Whether the processor has matrix or vector instructions for bf16; emulated, it would be slower than fp32."""
    return bool(torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported())


def begin(fabric: Fabric, settings: Params, films: int) -> State:
    """Network, optimiser and learning-rate schedule before the first epoch; initial weights follow from the seed."""
    torch.manual_seed(settings.loop.seed)
    network = build(settings.unet.encoder, settings.unet.channels).to(memory_format=torch.channels_last)
    optimiser = torch.optim.AdamW(
        network.parameters(), settings.loop.learning_rate, weight_decay=settings.loop.weight_decay, fused=True
    )
    network, optimiser = fabric.setup(network, optimiser)
    steps = settings.loop.epochs * -(-films // settings.loop.batch)
    scheduler = torch.optim.lr_scheduler.OneCycleLR(optimiser, settings.loop.learning_rate, total_steps=steps)
    return State(network, optimiser, scheduler, epoch=0, history=[], best={})


def epochs(
    fabric: Fabric, state: State, train: Films, validation: Films, settings: Params, weights: Weights
) -> Iterator[dict[str, float]]:
    """Train the epochs that `state` still lacks and yield the row of history.csv after each.

    The weights kept in `state.best` are those of the epoch with the highest validation Dice, the first of equals:
    losses of different epochs do not compare, since the weights of their terms differ.

    Raises:
        Fault: the loss is no longer a finite number.
    """
    while state.epoch < settings.loop.epochs:
        alpha, beta = weights_at(state.epoch, settings.loop.epochs, weights)
        rate = float(state.scheduler.get_last_lr()[0])
        fitted = fit_epoch(fabric, state, train, settings, alpha, beta)
        checked = check_epoch(fabric, state.network, validation, settings.loss, alpha, beta)
        row = {"epoch": state.epoch, "alpha": alpha, "beta": beta, "learning_rate": rate}
        row |= {f"train_{name}": value for name, value in fitted.items()}
        row |= {f"validation_{name}": value for name, value in checked.items()}
        if not all(np.isfinite(value) for value in row.values()):
            raise Fault(f"train: the loss is not finite in epoch {state.epoch}; lower train.loop.learning_rate")
        if row["validation_dice"] > max((old["validation_dice"] for old in state.history), default=-1.0):
            module = cast(nn.Module, state.network.module)
            state.best = {name: tensor.detach().cpu().clone() for name, tensor in module.state_dict().items()}
        state.history.append(row)
        state.epoch += 1
        yield row


def fit_epoch(
    fabric: Fabric, state: State, films: Films, settings: Params, alpha: float, beta: float
) -> dict[str, float]:
    """One pass over the films in an order that follows from (seed, epoch); mean losses over its batches."""
    state.network.train()
    order = np.random.default_rng([settings.loop.seed, state.epoch]).permutation(len(films.ids))
    sums = np.zeros(3)
    batches = np.array_split(order, -(-len(order) // settings.loop.batch))
    for chosen in batches:
        images, masks = batch(fabric, films, chosen)
        images, masks = augment(images, masks, draw(settings.loop.seed, state.epoch, chosen), settings.augment)
        dice, bce = losses(state.network(images), masks, settings.loss)
        total = alpha * dice + beta * bce
        state.optimiser.zero_grad(set_to_none=True)
        fabric.backward(total)
        state.optimiser.step()
        state.scheduler.step()
        sums += [total.item(), dice.item(), bce.item()]
    return dict(zip(("loss", "dice_loss", "bce_loss"), (sums / len(batches)).tolist(), strict=True))


@torch.no_grad()
def check_epoch(
    fabric: Fabric, network: nn.Module, films: Films, settings: Loss, alpha: float, beta: float
) -> dict[str, float]:
    """Mean losses over the validation films, and the mean Dice of their masks at 0.5 (1 where both are empty)."""
    network.eval()
    parts, scores = [], []
    for chosen in np.array_split(np.arange(len(films.ids)), -(-len(films.ids) // EVALUATION_BATCH)):
        images, masks = batch(fabric, films, chosen)
        logits = network(images)
        dice, bce = losses(logits, masks, settings)
        parts.append([(alpha * dice + beta * bce).item(), dice.item(), bce.item()])
        marked = (logits > 0).float()
        overlap, total = (marked * masks).sum((1, 2, 3)), marked.sum((1, 2, 3)) + masks.sum((1, 2, 3))
        scores += torch.where(total > 0, 2 * overlap / total.clamp(min=1), 1.0).tolist()
    means = np.mean(parts, axis=0).tolist()
    return dict(zip(("loss", "dice_loss", "bce_loss", "dice"), [*means, float(np.mean(scores))], strict=True))


def losses(logits: Tensor, masks: Tensor, settings: Loss) -> tuple[Tensor, Tensor]:
    return dice_loss(logits, masks, settings.dice_over, settings.smooth), bce_loss(logits, masks)


def batch(fabric: Fabric, films: Films, chosen: np.ndarray) -> tuple[Tensor, Tensor]:
    """Images (n, 1, H, W) in -1..1 and masks (n, 1, H, W) of 0 and 1, float32 on the device."""
    masks = torch.from_numpy(films.masks[chosen])[:, None].float()
    return fabric.to_device(to_input(films.images[chosen])), fabric.to_device(masks)
