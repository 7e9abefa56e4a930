"""What trainings will cost, before they start."""

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric

from stages import read_params
from stages.annotate.params import Drawn, count_validation
from stages.annotate.params import Params as Annotate
from stages.common.data.dataset import Films
from stages.common.data.layout import DATASET, PARAMS, fold_column
from stages.common.data.tables import SPLIT
from stages.evaluate.params import Params as Evaluate
from stages.train.devices import lock_training_devices, make_fabric
from stages.train.loop import tick
from stages.train.params import Params
from stages.train.state import TrainingState, init_state, to_device
from stages.train.step import fit_step

STEPS = 3  # that are timed, after one that warms up
OUTSIDE = 20.0  # seconds for each training outside of it: imports, data, records, evaluation (benchmarks/sweep.py)
GPU_FLOPS = 9.4e12  # a resnet18 U-Net in bf16 at batch 8 on an NVIDIA H200, 454 images/s (docs/explanation/scaling.md)
DATA_STAGES = ("ingest", "preprocess", "threshold", "annotate")


@dataclass(frozen=True)
class Trainings:
    """The trainings of one experiment: `count` of them, each of `steps` steps, on `films` films."""

    settings: Params
    folds: int
    side: int  # of the films, in pixels
    films: int

    @property
    def count(self) -> int:
        return len(self.settings.seeds) * self.folds

    @property
    def steps(self) -> int:
        return self.settings.loop.epochs * -(-self.films // self.settings.loop.batch)

    @property
    def kind(self) -> str:
        """What a step costs depends on: neither the number of epochs nor the weights of the loss."""
        loop = self.settings.loop.model_copy(update={"epochs": 1})
        return json.dumps([self.side, self.settings.network.model_dump(), loop.model_dump()])


def expected_cost(experiments: Sequence[dict[str, Any]]) -> str:
    """Hours on this machine, from a few timed steps, and on one GPU, from the operations those steps take.

    Args:
        experiments: the params of each; at least one.
    """
    present = read_params(PARAMS)
    planned = [read_trainings(params, present) for params in experiments]
    hours_of_all = expected_hours([(item, item.count) for item in planned])
    return f"{describe_trainings(planned)}\n{describe_data_stages(experiments, present)}{hours_of_all}"


def cost_of_rest(params: dict[str, Any], left: int) -> str:
    """Number and hours of the trainings of params.yaml that are left, here and on one GPU; their data are there.

    Args:
        params: of params.yaml.
        left: trainings, at least 1.
    """
    item = read_trainings(params, params)
    count = f"{left} training{'s' if left > 1 else ''}"
    return f"{count} of {item.settings.loop.epochs} epochs on {item.films} films.\n{expected_hours([(item, left)])}"


def expected_hours(planned: Sequence[tuple[Trainings, int]]) -> str:
    """Two sentences: hours on this machine, and on one GPU.

    Args:
        planned: kinds of trainings, each with how many there are.
    """
    kinds = {item.kind: item for item, _ in planned}
    timed = {kind: time_step(item.settings, item.side) for kind, item in kinds.items()}
    here = sum(count * (item.steps * timed[item.kind][0] + OUTSIDE) for item, count in planned)
    there = sum(count * (item.steps * timed[item.kind][1] / GPU_FLOPS + OUTSIDE) for item, count in planned)
    seconds = ", ".join(f"{step:.2f}" for step, _ in timed.values())
    operations = ", ".join(f"{step / 1e9:.0f}" for _, step in timed.values())
    return (
        f"On this machine some {hours(here)} ({seconds} s a step, measured just now, one training at a time).\n"
        f"On one H200 some {hours(there)} (an estimate: {operations} GFLOP a step, {GPU_FLOPS / 1e12:.1f} TFLOP a "
        f"second as a resnet18 U-Net reached on an H200, and {OUTSIDE:.0f} s round each training)."
    )


def read_trainings(params: dict[str, Any], present: dict[str, Any]) -> Trainings:
    """
    Args:
        params: of an experiment.
        present: params.yaml.
    """
    folds = len(Evaluate.model_validate(params["evaluate"]).folds)
    side = int(params["preprocess"]["size"])
    return Trainings(Params.model_validate(params["train"]), folds, side, count_films(params, present))


def describe_trainings(planned: Sequence[Trainings]) -> str:
    """How many trainings there are, and of what."""
    seeds, folds = span({len(item.settings.seeds) for item in planned}), span({item.folds for item in planned})
    epochs, films = span({item.settings.loop.epochs for item in planned}), span({item.films for item in planned})
    return (
        f"{len(planned)} experiments x {seeds} seeds x {folds} folds = {sum(item.count for item in planned)} trainings "
        f"of {epochs} epochs on {films} films."
    )


def describe_data_stages(experiments: Sequence[dict[str, Any]], present: dict[str, Any]) -> str:
    """A line that names the data stages that run first, or nothing where none do.

    Args:
        experiments: the params of each.
        present: params.yaml.
    """
    changed = sorted({name for params in experiments for name in DATA_STAGES if params[name] != present[name]})
    return f"The stages {', '.join(changed)} run first, which is not counted.\n" if changed else ""


def count_films(params: dict[str, Any], present: dict[str, Any]) -> int:
    """The number of films that a training reads: of data/dataset, or what params ask for where they change it.

    Args:
        params: of an experiment.
        present: params.yaml.
    """
    split = Annotate.model_validate(params["annotate"]).split
    same = all(params[name] == present[name] for name in DATA_STAGES)
    if isinstance(split, Drawn) and not (same and (DATASET / SPLIT.name).exists()):
        return split.train - count_validation(split.validation, split.train)
    return int((SPLIT.read(Path(DATASET))[fold_column(1)] == "train").sum())


def span(numbers: set[int]) -> str:
    """Numbers as the least and the greatest of them."""
    return str(min(numbers)) if len(numbers) == 1 else f"{min(numbers)} to {max(numbers)}"


def time_step(settings: Params, side: int) -> tuple[float, float]:
    """Seconds and floating-point operations of one training step on black films of this side, in pixels."""
    from torch.utils.flop_counter import FlopCounterMode

    count = settings.loop.batch
    shape = (count, settings.network.in_channels, side, side)
    films = Films([str(i) for i in range(count)], np.zeros(shape, np.uint8), np.zeros((count, side, side), bool))
    with lock_training_devices(settings.loop):
        fabric: Fabric = make_fabric(settings.loop)
        data = to_device(fabric, films)
        state: TrainingState = init_state(fabric, settings, settings.adaptive, shape, settings.seeds[0])
        chosen = np.arange(count)
        state.model.train()
        tick(state)
        with FlopCounterMode(display=False) as counter:
            fit_step(fabric, state, data, chosen, settings)
        start = time.perf_counter()
        for _ in range(STEPS):
            fit_step(fabric, state, data, chosen, settings)
        if fabric.device.type == "cuda":
            torch.cuda.synchronize()
        return (time.perf_counter() - start) / STEPS, float(counter.get_total_flops())


def hours(seconds: float) -> str:
    return f"{seconds / 3600:.1f} h" if seconds > 5400 else f"{seconds / 60:.0f} min"
