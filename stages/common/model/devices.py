"""Which device computes: the GPUs of this machine, their names and locks, and bytes that repeat on them."""

import os
import sys
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Literal

import torch
from torch import nn

from stages.common.core.device_lock import cpu_cores, lock_devices
from stages.common.core.errors import UserError

Accelerator = Literal["auto", "cpu"]  # auto: a GPU where there is one
PER_GPU = "TRAININGS_PER_GPU"
# Share of the pixels of masks in which a GPU may differ from a processor. Both compute in fp32 and sum in other orders,
# so that a probability within its last bits of the threshold may fall on the other side.
MASKS_APART = 1e-4


def has_gpu() -> bool:
    """Whether there is a usable GPU.

    Raises:
        UserError: there is one, but its driver is too old for this torch, which would otherwise compute on the CPU.
    """
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        available = torch.cuda.is_available()
    for text in (str(warning.message) for warning in caught):
        if "driver" in text and "too old" in text:
            raise UserError(
                f"expected an NVIDIA driver for CUDA {torch.version.cuda}, found: {text.split('. ')[0]}; "
                "update the driver, or set CUDA_VISIBLE_DEVICES= (empty) to compute on the CPU"
            )
    return available


def takes_gpu(accelerator: Accelerator) -> bool:
    """Whether work goes to a GPU: where that is left open, and there is one."""
    return accelerator == "auto" and has_gpu()


def visible_gpus() -> list[str]:
    """The GPUs that this process sees, in torch's order, by names that are the same in every process and container.

    A number is not: a container that is given the second GPU counts it as its first.
    """
    # CUDA's own order is by speed; that of nvidia-smi makes a number the same device everywhere.
    os.environ.setdefault("CUDA_DEVICE_ORDER", "PCI_BUS_ID")
    if not has_gpu():
        return []
    chosen = [name.strip() for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")]
    names = [f"gpu-{torch.cuda.get_device_properties(number).uuid}" for number in range(torch.cuda.device_count())]
    # A part of a GPU (MIG) has a name of its own, and its properties may be those of the whole.
    parts = {number: name for number, name in enumerate(chosen) if name.startswith("MIG-")}
    return [parts.get(number, name) for number, name in enumerate(names)]


def shares(gpus: list[str], devices: int) -> list[str]:
    """The GPUs, and as many further shares of each as the environment lets trainings run on one at a time.

    Share n is on GPU n modulo their number, so that trainings spread over the GPUs before they share one.

    Args:
        gpus: of `visible_gpus`.
        devices: that one training takes.
    Raises:
        UserError: the variable is no number from 1 on, or one training takes several GPUs.
    """
    text = os.environ.get(PER_GPU, "1")
    if not text.isdecimal() or int(text) < 1:
        raise UserError(f"{PER_GPU}: expected a whole number from 1 on, found {text!r}")
    if int(text) > 1 and devices > 1:
        raise UserError(f"{PER_GPU}={text}: a training on {devices} GPUs has them to itself; unset the variable")
    return gpus + [f"{gpu}-share-{share}" for share in range(2, int(text) + 1) for gpu in gpus]


@contextmanager
def lock_one_device(accelerator: Accelerator, threads: int) -> Iterator[torch.device]:
    """The device that is ours while the block runs: a GPU of this machine, or the processor with so many cores.

    Args:
        accelerator: whether a GPU may be taken.
        threads: of the processor's work.
    """
    gpus = visible_gpus() if accelerator == "auto" else []
    if gpus:
        with lock_devices(shares(gpus, 1), 1) as (share,):
            yield torch.device("cuda", share % len(gpus))
    else:
        with lock_devices(cpu_cores(), threads):
            yield torch.device("cpu")


def device_name(device: torch.device) -> str:
    """The GPU's name, or the highest instruction set that torch uses on the processor: DEFAULT, AVX2 or AVX512."""
    if device.type == "cuda":
        return str(torch.cuda.get_device_name(device))
    return str(torch.backends.cpu.get_cpu_capability())


def be_deterministic(threads: int) -> None:
    """Same params, same machine, same bytes.

    Threads change the order of sums and so the last bits of a result: they are set, not guessed. Filling fresh memory,
    which torch does on top, would cost a few percent and guards against reading it only.
    """
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS is not deterministic without
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(True)
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    # fp32 is what it says: a GPU would round the factors of convolutions and matrix products to ten bits (TF32) and
    # call it that, too.
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cuda.matmul.allow_tf32 = False


def say_whose_bytes(work: str, device: torch.device, cpu: str) -> None:
    """Say on stderr what a GPU promises about bytes.

    Args:
        work: that it does.
        device: the GPU.
        cpu: what to choose to leave it alone.
    """
    print(
        f"{work}: {device_name(device)}: the same bytes only on the same card and driver; "
        f"{cpu} gives those of every x86-64 machine",
        file=sys.stderr,
    )


def to_gpu(work: str, networks: Iterable[nn.Module], device: torch.device, threads: int, cpu: str) -> None:
    """Move networks to a GPU, which from now on computes the same bytes for the same films, and say what that means.

    Args:
        work: that they do.
        networks: on the CPU.
        device: the GPU.
        threads: of what the processor does.
        cpu: what to choose to leave the GPU alone.
    """
    be_deterministic(threads)
    say_whose_bytes(work, device, cpu)
    for network in networks:
        network.to(device)


@contextmanager
def explain_gpu_errors(work: str, cpu: str) -> Iterator[None]:
    """Turn what torch says about a GPU's full memory and irreproducible layers in a forward pass into what to do.

    Args:
        work: that is done in the block.
        cpu: what to choose to do it on the processor.
    """
    try:
        yield
    except RuntimeError as error:
        text = " ".join(str(error).split())[:160]
        if isinstance(error, torch.OutOfMemoryError):
            raise UserError(f"{work}: the GPU memory is full ({text}); free it, or choose {cpu}") from error
        if "does not have a deterministic implementation" in str(error):
            raise UserError(
                f"{work}: expected layers that a GPU computes the same way twice, found {text}; choose {cpu}"
            ) from error
        raise
