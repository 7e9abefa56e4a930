"""What a comparison will cost, before it starts."""

import time
from pathlib import Path

import numpy as np
import torch
from lightning_fabric import Fabric

from stages.common.data.dataset import Films, load_films
from stages.train.devices import lock_training_devices, make_fabric
from stages.train.loop import fit_step, tick
from stages.train.params import Params
from stages.train.state import TrainingState, init_state, to_device

STEPS = 3  # that are timed, after one that warms up
OUTSIDE = 20.0  # seconds for each training outside of it: imports, data, records, evaluation (benchmarks/sweep.py)
GPU_FLOPS = 9.4e12  # what one training of params.yaml reached on an NVIDIA H200 (benchmarks/README.md)


def expected_cost(settings: Params, arms: int, dataset: Path) -> str:
    """Hours on this machine, from a few timed steps, and on one GPU, from the operations those steps take.

    Args:
        settings: which all arms have, but for the weights of the loss.
        arms: of which each is trained from every seed of the settings.
        dataset: the folder data/dataset.
    """
    films = load_films(dataset, "train", settings.network.input)
    seconds, operations = time_step(settings, films)
    trainings = arms * len(settings.seeds)
    steps = settings.loop.epochs * -(-len(films.ids) // settings.loop.batch)
    here = trainings * (steps * seconds + OUTSIDE)
    there = trainings * (steps * operations / GPU_FLOPS + OUTSIDE)
    seeds, epochs = len(settings.seeds), settings.loop.epochs
    return (
        f"{arms} arms x {seeds} seeds = {trainings} trainings of {epochs} epochs on {len(films.ids)} films.\n"
        f"On this machine some {hours(here)} ({seconds:.2f} s a step, measured just now, one training at a time).\n"
        f"On one H200 some {hours(there)} (an estimate: {operations / 1e9:.0f} GFLOP a step, {GPU_FLOPS / 1e12:.1f} "
        f"TFLOP a second as measured there for params.yaml, and {OUTSIDE:.0f} s round each training)."
    )


def time_step(settings: Params, films: Films) -> tuple[float, float]:
    """Seconds and floating-point operations of one training step."""
    from torch.utils.flop_counter import FlopCounterMode

    with lock_training_devices(settings.loop):
        fabric: Fabric = make_fabric(settings.loop)
        side = to_device(fabric, films)
        state: TrainingState = init_state(fabric, settings, settings.adaptive, films.inputs.shape, settings.seeds[0])
        chosen = np.arange(min(settings.loop.batch, len(films.ids)))
        state.model.train()
        tick(state)
        with FlopCounterMode(display=False) as counter:
            fit_step(fabric, state, side, chosen, settings)
        start = time.perf_counter()
        for _ in range(STEPS):
            fit_step(fabric, state, side, chosen, settings)
        if fabric.device.type == "cuda":
            torch.cuda.synchronize()
        return (time.perf_counter() - start) / STEPS, float(counter.get_total_flops())


def hours(seconds: float) -> str:
    return f"{seconds / 3600:.1f} h" if seconds > 5400 else f"{seconds / 60:.0f} min"
