"""Devices, precision, threads, memory and disk, against what params.yaml asks for."""

import os
import shutil

import psutil
import torch

from stages.common.analysis.formatting import device_in_words
from stages.common.core.device_lock import cpu_cores
from stages.common.core.errors import UserError
from stages.common.data.records import NUMBERS
from stages.common.data.run_id import VARIANTS
from stages.common.model.tracking import root
from stages.train.devices import cpu_has_bf16, is_bf16, training_gpus
from stages.train.params import Loop
from stages.train.params import Params as Train
from tools.doctor.findings import CheckResult, Severity
from tools.sweep.capacity import GB, LIBRARIES, training_bytes
from tools.sweep.room import FREE

RUN = 110e6  # bytes of one training in DVC's cache and MLflow, resnet18 (measured)


def gpus(loop: Loop) -> list[CheckResult]:
    """Which device trains, in which precision."""
    try:
        names_of_gpus = training_gpus(loop)
    except UserError as fault:
        return [CheckResult("device", Severity.BAD, str(fault))]
    if names_of_gpus and loop.devices > len(names_of_gpus):
        message = f"train.loop.devices is {loop.devices}, and there are {len(names_of_gpus)}; lower it"
        return [CheckResult("device", Severity.BAD, message)]
    if names_of_gpus:
        bf16, names = torch.cuda.is_bf16_supported(), {torch.cuda.get_device_name(i) for i in range(len(names_of_gpus))}
        message = f"{loop.devices} of {len(names_of_gpus)} GPUs ({', '.join(sorted(names))})"
    else:
        bf16, message = cpu_has_bf16(), f"no GPU: {device_in_words(torch.backends.cpu.get_cpu_capability())}"
    if loop.precision == "bf16" and not bf16:
        return [
            CheckResult(
                "device",
                Severity.WARN,
                f"{message}; train.loop.precision is bf16, which is emulated and slow here; set it to auto",
            )
        ]
    numbers = NUMBERS["bf16" if is_bf16(loop, bool(names_of_gpus)) else "fp32"]
    return [CheckResult("device", Severity.GOOD, f"{message}; {numbers}")]


def threads(loop: Loop) -> list[CheckResult]:
    """Threads of a training against the cores."""
    cores = len(cpu_cores())
    workers = os.environ.get("WORKERS", cores)
    message = f"train.loop.threads is {loop.threads}, of {cores} cores; the data stages use {workers}"
    if loop.threads > cores:
        return [CheckResult("threads", Severity.WARN, f"{message}; more threads than cores are slow")]
    at_once = cores // loop.threads
    return [CheckResult("threads", Severity.GOOD, f"{message}; {at_once} trainings at a time have room")]


def memory(train: Train, size: int) -> list[CheckResult]:
    """An estimate of a training's memory against what is free.

    Args:
        size: side of the films, in pixels.
    """
    try:
        need = LIBRARIES + training_bytes(train, size)
    except UserError as fault:
        return [CheckResult("memory", Severity.BAD, str(fault))]
    on_gpu = bool(training_gpus(train.loop))
    free = torch.cuda.mem_get_info()[0] if on_gpu else psutil.virtual_memory().available
    message = f"a training takes some {need / GB:.1f} GB, {free / GB:.1f} GB are free" + (
        " on the GPU" if on_gpu else ""
    )
    if need > free:
        return [CheckResult("memory", Severity.BAD, f"{message}; lower train.loop.batch or preprocess.size")]
    return [CheckResult("memory", Severity.GOOD, message)]


def space(seeds: list[int], folds: list[int]) -> list[CheckResult]:
    """Free disk against what the trainings of params.yaml will write."""
    runs = len(VARIANTS) * len(seeds) * len(folds)
    need, free = runs * RUN, shutil.disk_usage(root()).free
    message = f"{free / GB:.0f} GB are free where DVC and MLflow write; {runs} trainings take some {need / GB:.1f} GB"
    if free < need + GB:
        return [CheckResult("disk", Severity.BAD, f"{message}; {FREE}")]
    return [CheckResult("disk", Severity.GOOD, message)]
