"""The state of a training between two steps, from before the first one to a checkpoint and back."""

import operator
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from functools import reduce
from typing import Any, TypedDict

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from stages.common.data.dataset import Films
from stages.common.model.network import build, encoder_and_rest, logit_layer, to_input
from stages.train.devices import sync_batch_norm
from stages.train.params import Method, Params
from stages.train.pretrained import load_pretrained
from stages.train.step_graph import StepGraphs, make_graphs
from stages.train.strided_convolution import make_portable
from stages.train.weighting import Weighting, make_weighting

Row = dict[str, float]  # of history.csv


@dataclass(frozen=True)
class StepValues:
    """What a step measured on the batch of all processes, or the means over the steps of an epoch.

    ratio: alpha / (alpha + beta). loss: the weighted sum. losses: its terms by name, unweighted. gradient_norm: of all
    parameters, before it is cut. alpha_norm, beta_norm: of what alpha and beta weigh, by its gradient in the layer that
    makes the logits; 0 where the weighting does not ask for them.
    """

    alpha: float
    beta: float
    ratio: float
    loss: float
    losses: dict[str, float]
    gradient_norm: float
    alpha_norm: float
    beta_norm: float


def mean(steps: list[StepValues]) -> StepValues:
    """The mean of each value over steps, at least one."""

    def over_steps(values: Iterable[float]) -> float:
        return reduce(operator.add, values) / len(steps)  # how Python's own sum rounds depends on its version

    names = [name for name in vars(steps[0]) if name != "losses"]
    losses = {name: over_steps(step.losses[name] for step in steps) for name in steps[0].losses}
    return StepValues(losses=losses, **{name: over_steps(getattr(step, name) for step in steps) for name in names})


class Snapshot(TypedDict):
    """A `TrainingState` as tensors and JSON values, which a checkpoint holds."""

    network: dict[str, Tensor]
    optimiser: dict[int, dict[str, Tensor]]
    average: dict[str, Tensor] | None
    weighting: dict[str, Any]
    alpha: float
    beta: float
    epoch: int
    measured: list[dict[str, Any]]
    since_tick: dict[str, Any] | None
    history: list[Row]
    kept: dict[str, Tensor]
    kept_epoch: int


@dataclass
class TrainingState:
    """All that the next step depends on; random numbers are derived, so there is no generator among it.

    network: as built; its parameters are those of `model`. model: what is called: the network behind Fabric's precision
    and its processes. steps: in an epoch. alpha, beta: in force. epoch: that is trained now, from 0. measured: by the
    steps of this epoch so far. since_tick: what was measured since the weighting's last tick, None before its second.
    kept: the weights that will be written, of `kept_epoch`, from 1. unread: alpha, beta and what a step measured, which
    the device may still be computing. graphs: the step as recorded, where it is. logit_inputs: the last input of the
    layer that makes the logits, (n, C, h, w), where the weighting asks for norms of gradients.
    """

    network: nn.Module
    model: nn.Module
    optimiser: torch.optim.Optimizer
    average: AveragedModel | None
    weighting: Weighting[Any]
    by_iteration: bool
    steps: int
    seed: int
    alpha: float = 0.0
    beta: float = 0.0
    epoch: int = 0
    measured: list[StepValues] = field(default_factory=list)
    since_tick: StepValues | None = None
    history: list[Row] = field(default_factory=list)
    kept: dict[str, Tensor] = field(default_factory=dict)
    kept_epoch: int = 0
    unread: list[tuple[float, float, Tensor]] = field(default_factory=list)
    graphs: StepGraphs | None = None
    logit_inputs: Tensor | None = None

    @property
    def step(self) -> int:
        """Steps done in this epoch."""
        return len(self.measured) + len(self.unread)

    def eval_network(self) -> nn.Module:
        """The network that is validated and kept: the moving average where there is one."""
        return self.average.module if self.average is not None else self.network

    def snapshot(self) -> Snapshot:
        """The state as it is now, all values read; its tensors are not copied."""
        return {
            "network": self.network.state_dict(),
            "optimiser": self.optimiser.state_dict()["state"],
            "average": None if self.average is None else self.average.state_dict(),
            "weighting": self.weighting.state(),
            "alpha": self.alpha,
            "beta": self.beta,
            "epoch": self.epoch,
            "measured": [asdict(values) for values in self.measured],
            "since_tick": None if self.since_tick is None else asdict(self.since_tick),
            "history": self.history,
            "kept": self.kept,
            "kept_epoch": self.kept_epoch,
        }

    def restore(self, snapshot: Snapshot) -> None:
        """Become what `snapshot` was taken of; this is the state of the same training before its first step."""
        self.network.load_state_dict(snapshot["network"])
        groups = self.optimiser.state_dict()["param_groups"]
        self.optimiser.load_state_dict({"state": snapshot["optimiser"], "param_groups": groups})
        for parameter, moments in self.optimiser.state.items():
            for name, value in moments.items():
                if value.shape == parameter.shape:  # in the memory order of the parameter, as the fused step needs it
                    moments[name] = torch.empty_like(parameter).copy_(value)
        if self.average is not None:
            assert snapshot["average"] is not None
            self.average.load_state_dict(snapshot["average"])
        self.weighting.restore(snapshot["weighting"])
        self.alpha, self.beta, self.epoch = snapshot["alpha"], snapshot["beta"], snapshot["epoch"]
        self.measured = [StepValues(**values) for values in snapshot["measured"]]
        self.since_tick = None if snapshot["since_tick"] is None else StepValues(**snapshot["since_tick"])
        self.history, self.kept, self.kept_epoch = snapshot["history"], snapshot["kept"], snapshot["kept_epoch"]


@dataclass(frozen=True)
class DeviceFilms:
    """Films as bytes: inputs uint8 (N, C, H, W) and masks uint8 (N, 1, H, W) of 0 and 1.

    They lie on the device that trains, or, where they do not fit, in main memory or a file that is mapped.
    """

    inputs: Tensor
    masks: Tensor
    device: torch.device

    def take(self, chosen: np.ndarray) -> tuple[Tensor, Tensor]:
        """The bytes of the films `chosen`, int (n,), and of their masks, on the device that trains."""
        index = torch.from_numpy(chosen).to(self.inputs.device)
        return self.inputs[index].to(self.device), self.masks[index].to(self.device)

    def batch(self, chosen: np.ndarray) -> tuple[Tensor, Tensor]:
        """Inputs float32 (n, C, H, W) in -1..1 and masks float32 (n, 1, H, W) of the films `chosen`, int (n,)."""
        inputs, masks = self.take(chosen)
        return to_input(inputs), masks.float()


def move_average(average: AveragedModel, network: nn.Module) -> None:
    """Move the average towards the network's weights and counters.

    After the first step this is `AveragedModel.update_parameters` without what a GPU cannot record: the number of
    averaged steps lies on the CPU, and an exponential average does not use it.
    """
    if average.n_averaged == 0:
        average.update_parameters(network)
        return
    assert average.multi_avg_fn is not None  # it was made with one
    pairs = list(zip(average.module.state_dict().values(), network.state_dict().values(), strict=True))
    for floating in (True, False):
        chosen = [pair for pair in pairs if pair[0].is_floating_point() == floating]
        means, values = ([pair[side] for pair in chosen] for side in (0, 1))
        average.multi_avg_fn(means, values, average.n_averaged)


def to_device(fabric: Fabric, films: Films) -> DeviceFilms:
    """The films as bytes on the device, once, if they fit: 160 of 256 x 256 take 20 MB."""
    inputs, masks = torch.from_numpy(films.inputs), torch.from_numpy(films.masks.view(np.uint8))[:, None]
    if fits(fabric.device, inputs.nbytes + masks.nbytes):
        inputs, masks = fabric.to_device((inputs, masks))
    return DeviceFilms(inputs, masks, fabric.device)


def fits(device: torch.device, size: int) -> bool:
    """Whether `size` bytes leave a GPU half of its free memory for the network."""
    return device.type != "cuda" or size <= torch.cuda.mem_get_info(device)[0] // 2


def init_state(fabric: Fabric, settings: Params, weights: Method, inputs: tuple[int, ...], seed: int) -> TrainingState:
    """Everything as it stands before the first step; initial weights follow from the seed, or are the pretrained ones.

    Args:
        fabric: of `make_fabric`, launched.
        settings: the section `train`.
        weights: the section `train.<variant>`.
        inputs: shape of the training films, (N, C, H, W).
        seed: of the training.
    """
    torch.manual_seed(seed)
    network = build(settings.network)
    load_pretrained(network, settings.network)
    network = network.to(fabric.device).to(memory_format=torch.channels_last)
    network = sync_batch_norm(network, inputs[1:], fabric)
    if settings.portable and fabric.device.type == "cpu":
        network = make_portable(network)
    average = None
    if settings.optimiser.ema > 0:
        decay = get_ema_multi_avg_fn(settings.optimiser.ema)  # type: ignore[no-untyped-call]
        average = AveragedModel(network, multi_avg_fn=decay, use_buffers=True)
    if settings.network.compile:
        network.compile()
    graphs = make_graphs(fabric, settings.loop)

    def rate() -> float | Tensor:
        value = settings.optimiser.learning_rate
        return value if graphs is None else torch.tensor(value, device=fabric.device)

    optimiser = torch.optim.AdamW(
        [{"params": parameters, "lr": rate()} for parameters in encoder_and_rest(network)],
        weight_decay=settings.optimiser.weight_decay,
        fused=True,
        capturable=graphs is not None,
    )
    model, wrapped = fabric.setup(network, optimiser)
    steps = -(-inputs[0] // settings.loop.batch)
    weighting, by_iteration = make_weighting(weights, settings.loop.epochs, steps, seed)
    state = TrainingState(network, model, wrapped, average, weighting, by_iteration, steps, seed, graphs=graphs)
    if weighting.asks_norms:

        def remember(layer: nn.Module, inputs: tuple[Tensor]) -> None:
            state.logit_inputs = inputs[0].detach()

        logit_layer(network).register_forward_pre_hook(remember)
    return state
