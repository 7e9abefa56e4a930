"""How many trainings this machine holds at a time, estimated before any runs."""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import psutil
import torch

from stages.common.core.busy import busy
from stages.common.core.device_lock import cpu_cores
from stages.common.model.devices import PER_GPU, shares
from stages.common.model.network import build, check_shape
from stages.train.devices import training_gpus
from stages.train.params import Params

GB = 1e9
LIBRARIES = 1.2e9  # bytes that torch, MLflow and the rest take before any film (measured: benchmarks/train.py)
ADAM = 4  # copies of the weights: themselves, gradients, two moments
# Not measured. CONTEXT: bytes of a GPU that a process takes before any tensor. USABLE: the share of a GPU's free memory
# that is given away; the estimate counts no working memory of convolutions.
CONTEXT, USABLE = 1e9, 0.7


@dataclass(frozen=True)
class Capacity:
    """jobs: trainings at a time. per_gpu: of them on each GPU; None without a GPU. reason: what sets the number."""

    jobs: int
    per_gpu: int | None
    reason: str


def choose_jobs(experiments: Iterable[dict[str, Any]]) -> int:
    """As many trainings at a time as each of some experiments allows; printed, and told to the experiments' locks.

    Args:
        experiments: the params of each; at least one.
    """
    plans: dict[str, tuple[Params, int]] = {}  # of trainings that need the same
    for params in experiments:
        train, side = Params.model_validate(params["train"]), int(params["preprocess"]["size"])
        plans[repr((train.network, train.loop, side))] = train, side
    with busy("sweep: counts how many trainings fit"):
        chosen = min((capacity(*plan) for plan in plans.values()), key=lambda found: found.jobs)
    if chosen.per_gpu is not None:
        os.environ[PER_GPU] = str(chosen.per_gpu)  # which the experiments inherit
    print(f"{chosen.jobs} at a time: {chosen.reason}")
    return chosen.jobs


def capacity(train: Params, side: int) -> Capacity:
    """How many trainings fit, at least one: by GPU memory where there are GPUs, else by cores; and by main memory.

    A training on a GPU keeps a core busy, too.

    Args:
        side: of the films, in pixels.
    Raises:
        UserError: there is no such network, or it cannot be trained on such films.
    """
    loop, gpus, cores = train.loop, training_gpus(train.loop), len(cpu_cores())
    need = training_bytes(train, side)
    main = LIBRARIES + (0 if gpus else need)
    limits = {
        f"{psutil.virtual_memory().available / GB:.0f} GB of memory are free, and each takes some {main / GB:.1f}": int(
            psutil.virtual_memory().available // (main * loop.devices)
        ),
    }
    if not gpus:
        each = loop.devices * loop.threads
        limits[f"{cores} cores, and each takes {each}"] = cores // each
    else:
        share, why = trainings_per_gpu(gpus, loop.devices, need)
        limits[f"{len(gpus)} GPUs, and {why}"] = len(gpus) * share // loop.devices
        limits[f"{cores} cores, and each keeps {loop.devices} busy"] = cores // loop.devices
    reason = min(limits, key=lambda key: limits[key])
    jobs = max(1, limits[reason])
    return Capacity(jobs, -(-jobs * loop.devices // len(gpus)) if gpus else None, reason)


def trainings_per_gpu(gpus: list[str], devices: int, need: float) -> tuple[int, str]:
    """How many trainings one GPU takes at a time, and why.

    Args:
        gpus: at least one.
        devices: that one training takes.
        need: bytes that a training takes on a GPU.
    Raises:
        UserError: the environment names an impossible number.
    """
    if PER_GPU in os.environ:
        return len(shares(gpus, devices)) // len(gpus), f"{PER_GPU} is {os.environ[PER_GPU]}"
    if devices > 1:
        return 1, f"a training takes {devices}"
    free = min(torch.cuda.mem_get_info(number)[0] for number in range(len(gpus)))
    sentence = f"{free / GB:.0f} GB are free on each, of which a training takes some {(CONTEXT + need) / GB:.1f}"
    return max(1, int(USABLE * free // (CONTEXT + need))), sentence


def training_bytes(train: Params, side: int) -> float:
    """Weights and optimiser, and what the layers keep for the backward pass, counted without computing.

    Args:
        side: of the films, in pixels.
    Raises:
        UserError: there is no such network, or it cannot be trained on such films.
    """
    settings, films = train.network, 2
    check_shape(settings, films, side)
    kept: dict[int, int] = {}  # elements by storage, which layers share

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        kept[tensor.untyped_storage()._cdata] = tensor.numel()
        return tensor

    with torch.device("meta"):
        network = build(settings)
        parameters = {parameter.untyped_storage()._cdata: parameter.numel() for parameter in network.parameters()}
        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            logits = network(torch.empty(films, settings.in_channels, side, side))
    per_film = sum(count for storage, count in kept.items() if storage not in parameters) / films
    del logits  # until here it kept what was counted, so that no storage was counted twice
    films_per_process = train.loop.batch / train.loop.devices
    return float(4 * (ADAM * sum(parameters.values()) + per_film * films_per_process))
