"""One step of training, from the films of a batch to new weights, without a wait for the GPU in between.

What differs from step to step enters `take_step` as tensors, and what it measures leaves as one. A GPU can therefore
record the whole step once and repeat it (`step_graph.py`). Values are read later, by `read_values`.
"""

import math

import numpy as np
import torch
import torch.nn.functional as F
from lightning_fabric import Fabric
from torch import Tensor

from stages.common.core.errors import UserError
from stages.common.model.network import logit_layer, to_input
from stages.train.augment import augment, draw, draw_changes
from stages.train.devices import all_reduce, sum_over_processes
from stages.train.loss import LOSSES, all_losses, by_weight, weighted_sum
from stages.train.params import Loss, Optimiser, Params
from stages.train.state import DeviceFilms, StepValues, TrainingState, move_average


def fit_step(fabric: Fabric, state: TrainingState, films: DeviceFilms, chosen: np.ndarray, settings: Params) -> None:
    """Forward, backward, step on the films `chosen`, which processes share; its values join `state.unread`.

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
    # Means over unequal shares: weigh them, so that their mean over the processes is that over the batch.
    share = len(mine) * world / len(chosen)
    done = state.epoch * state.steps + state.step
    rate = learning_rate(done, settings.loop.epochs * state.steps, settings.optimiser)
    set_rates(state, [rate * factor for factor in rate_factors(state.epoch, settings.optimiser)])
    changes = draw_changes(draw(state.seed, state.epoch, mine), films.inputs.shape[1:], settings.augment)
    weights = {"alpha": torch.tensor(state.alpha), "beta": torch.tensor(state.beta)}
    pictures, masks = films.take(mine)
    inputs = {"films": pictures, "masks": masks, **changes, **weights}

    def step(inputs: dict[str, Tensor]) -> Tensor:
        return take_step(fabric, state, inputs, settings, share)

    if state.graphs is None:
        measured = step({name: values.to(fabric.device) for name, values in inputs.items()})
    else:
        measured = state.graphs.run(step, inputs, fabric.device)
    state.unread.append((state.alpha, state.beta, measured))


def take_step(
    fabric: Fabric, state: TrainingState, inputs: dict[str, Tensor], settings: Params, share: float
) -> Tensor:
    """The part of a step that the device does by itself.

    A loss or gradient that is not finite leaves weights and optimiser as they are. Whoever reads the values reports it.

    Args:
        fabric: of `make_fabric`, launched.
        state: its weights, optimiser and moving average change.
        inputs: on the device: films, uint8 (n, C, H, W), and masks, uint8 (n, 1, H, W) of 0 and 1; alpha and beta,
            float32 (); and what `augment` takes.
        settings: the section `train`.
        share: films of this process, divided by the mean over the processes.
    Returns:
        float32 (4 + number of losses,): the loss, the norms of the gradient, of alpha's and of beta's part, and the
        terms of the loss; means over the processes.
    """
    images, masks = augment(to_input(inputs["films"]), inputs["masks"].float(), inputs)
    losses = losses_of_share(state.model(images), masks, settings.loss, share)
    total = weighted_sum(losses, inputs["alpha"], inputs["beta"])
    norms = gradient_norms(fabric, state, masks, settings.loss, share)
    state.optimiser.zero_grad(set_to_none=True)
    fabric.backward(total)
    norm = fabric.clip_gradients(
        state.model, state.optimiser, max_norm=settings.optimiser.clip, error_if_nonfinite=False
    )
    measured = torch.stack([total.detach(), torch.as_tensor(norm).to(total), *norms, *losses.values()]).detach()
    measured = all_reduce(fabric, measured, "mean")
    # The fused AdamW takes no step where this is 1; torch's own gradient scaler uses it so.
    state.optimiser.optimizer.found_inf = 1 - measured[:2].isfinite().all().float()  # type: ignore[attr-defined]
    state.optimiser.step()
    if state.average is not None:
        move_average(state.average, state.network)
    return measured


def read_values(state: TrainingState) -> None:
    """Wait for the steps whose values were not read yet, and move them to `state.measured`.

    Raises:
        UserError: a loss or the norm of its gradient is infinite or no number.
    """
    if not state.unread:
        return
    rows = torch.stack([measured for *_, measured in state.unread]).tolist()
    weights = [(alpha, beta) for alpha, beta, _ in state.unread]
    state.unread.clear()
    for (alpha, beta), (loss, gradient_norm, alpha_norm, beta_norm, *losses) in zip(weights, rows, strict=True):
        values = StepValues(
            alpha=alpha,
            beta=beta,
            ratio=alpha / (alpha + beta),
            loss=loss,
            losses=dict(zip(LOSSES, losses, strict=True)),
            gradient_norm=gradient_norm,
            alpha_norm=alpha_norm,
            beta_norm=beta_norm,
        )
        check_finite(values, state)
        state.measured.append(values)


def check_finite(step: StepValues, state: TrainingState) -> None:
    """Refuse a step that would have spoilt the weights.

    Args:
        step: the first that is not in `state.measured` yet.
        state: of the training.
    Raises:
        UserError: the loss or the norm of its gradient is infinite or no number.
    """
    where = f"in epoch {state.epoch + 1}, step {len(state.measured) + 1}"
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


def set_rates(state: TrainingState, rates: list[float]) -> None:
    """Give encoder and rest their learning rates; a recorded step reads them from tensors at fixed addresses."""
    for group, rate in zip(state.optimiser.param_groups, rates, strict=True):
        if isinstance(group["lr"], Tensor):
            group["lr"].fill_(rate)
        else:
            group["lr"] = rate
