"""What a sweep will cost, before it starts."""

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric

from stages import read_params
from stages.annotate.params import Drawn
from stages.annotate.params import Params as Annotate
from stages.common.data.dataset import Films
from stages.common.data.layout import DATASET, PARAMS, fold_column
from stages.common.data.tables import SPLIT
from stages.evaluate.params import Params as Evaluate
from stages.train.devices import lock_training_devices, make_fabric
from stages.train.loop import fit_step, tick
from stages.train.params import Params
from stages.train.state import TrainingState, init_state, to_device

STEPS = 3  # that are timed, after one that warms up
OUTSIDE = 20.0  # seconds for each training outside of it: imports, data, records, evaluation (benchmarks/sweep.py)
GPU_FLOPS = 9.4e12  # a resnet18 U-Net in bf16 at batch 8 on an NVIDIA H200, 454 images/s (docs/explanation/scaling.md)
DATA_STAGES = ("ingest", "preprocess", "threshold", "annotate")


def expected_cost(experiments: Sequence[dict[str, Any]]) -> str:
    """Hours on this machine, from a few timed steps, and on one GPU, from the operations those steps take.

    Args:
        experiments: the params of each.
    """
    if not experiments:
        return "0 experiments: nothing is left to run."
    present = read_params(PARAMS)
    timed: dict[str, tuple[float, float]] = {}
    trainings, here, there, operations = 0, 0.0, 0.0, 0.0
    counts: dict[str, set[int]] = {"seeds": set(), "folds": set(), "epochs": set(), "films": set()}
    for params in experiments:
        settings, folds = Params.model_validate(params["train"]), Evaluate.model_validate(params["evaluate"]).folds
        films, side, loop = count_films(params, present), int(params["preprocess"]["size"]), settings.loop
        # Neither the number of epochs nor the weights of the loss change what a step costs.
        key = json.dumps([side, settings.network.model_dump(), loop.model_copy(update={"epochs": 1}).model_dump()])
        if key not in timed:
            timed[key] = time_step(settings, side)
        seconds, operations = timed[key]
        steps, count = loop.epochs * -(-films // loop.batch), len(settings.seeds) * len(folds)
        trainings += count
        here += count * (steps * seconds + OUTSIDE)
        there += count * (steps * operations / GPU_FLOPS + OUTSIDE)
        for name, number in zip(counts, (len(settings.seeds), len(folds), loop.epochs, films), strict=True):
            counts[name].add(number)
    seeds, folds_, epochs, shown = (span(values) for values in counts.values())
    changed = sorted({name for params in experiments for name in DATA_STAGES if params[name] != present[name]})
    first = f"The stages {', '.join(changed)} run first, which is not counted.\n" if changed else ""
    each = ", ".join(f"{step:.2f}" for step, _ in timed.values())
    return (
        f"{len(experiments)} experiments x {seeds} seeds x {folds_} folds = {trainings} trainings of {epochs} epochs "
        f"on {shown} films.\n{first}"
        f"On this machine some {hours(here)} ({each} s a step, measured just now, one training at a time).\n"
        f"On one H200 some {hours(there)} (an estimate: {operations / 1e9:.0f} GFLOP a step, {GPU_FLOPS / 1e12:.1f} "
        f"TFLOP a second as a resnet18 U-Net reached on an H200, and {OUTSIDE:.0f} s round each training)."
    )


def count_films(params: dict[str, Any], present: dict[str, Any]) -> int:
    """The number of films that a training reads: of data/dataset, or what params ask for where they change it.

    Args:
        params: of an experiment.
        present: params.yaml.
    """
    split = Annotate.model_validate(params["annotate"]).split
    same = all(params[name] == present[name] for name in DATA_STAGES)
    if isinstance(split, Drawn) and not (same and (DATASET / SPLIT.name).exists()):
        return split.train - split.validation
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
