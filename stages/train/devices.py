"""The machine that trains: devices, precision, threads, determinism, and what several processes owe each other."""

import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

import torch
from lightning_fabric import Fabric
from lightning_fabric.plugins.environments.lightning import LightningEnvironment
from lightning_fabric.plugins.environments.torchelastic import TorchElasticEnvironment
from lightning_fabric.strategies.ddp import DDPStrategy
from lightning_fabric.strategies.strategy import Strategy
from torch import Tensor, nn

from stages.common.core.arithmetic import require_pinned
from stages.common.core.device_lock import cpu_cores, lock_devices
from stages.common.core.errors import UserError
from stages.common.core.signals import StopRequest
from stages.common.data.records import Machine
from stages.common.model.architecture import Network
from stages.common.model.devices import (
    be_deterministic,
    device_name,
    say_whose_bytes,
    shares,
    takes_gpu,
    visible_gpus,
)
from stages.common.model.network import check_shape
from stages.train.params import Loop

# Fabric and its kin announce the precision on stderr; model.json records it instead.
logging.getLogger("lightning_fabric").setLevel(logging.ERROR)
# Several processes exchange the gradients of depthwise convolutions in another memory layout: slower, and no error.
warnings.filterwarnings("ignore", message="Grad strides do not match bucket view strides")
LEASED = "LEASED_GPUS"  # tells the processes that Fabric starts which GPUs the first one leased


@contextmanager
def lock_training_devices(settings: Loop, stop: StopRequest | None = None) -> Iterator[None]:
    """Wait for as many GPUs of this machine, or where there is none for as many cores, as the training will use.

    Under torchrun the devices are already ours, and a process that Fabric started uses its parent's.

    Args:
        stop: ends the wait, and the process, when asked.
    """
    if "WORLD_SIZE" in os.environ or "LOCAL_RANK" in os.environ:
        yield
    elif gpus := training_gpus(settings):
        with lock_devices(shares(gpus, settings.devices), settings.devices, stop) as ours:
            os.environ[LEASED] = ",".join(str(share % len(gpus)) for share in ours)
            try:
                yield
            finally:
                del os.environ[LEASED]
    else:
        with lock_devices(cpu_cores(), settings.devices * settings.threads, stop):
            yield


def training_gpus(settings: Loop) -> list[str]:
    """The GPUs that a training may use, named as by `visible_gpus`; none where params leave them alone."""
    return visible_gpus() if settings.accelerator == "auto" else []


def make_fabric(settings: Loop) -> Fabric:
    """CPU or GPUs, in the precision that `settings` asks for; `launch` starts the other processes.

    Under torchrun the number of processes is its own; else it is `settings.devices`, on this machine, also in a job of
    SLURM.

    Raises:
        UserError: there are fewer GPUs than `settings.devices`.
        RuntimeError: portable arithmetic is asked for, and torch was imported before it was told so.
    """
    be_deterministic(settings.threads)
    gpu = takes_gpu(settings.accelerator)
    portable = settings.precision == "portable"
    if portable and not gpu:
        require_pinned("train.loop.precision: portable")
    bf16 = is_bf16(settings, gpu)
    world, local = (int(os.environ.get(name, settings.devices)) for name in ("WORLD_SIZE", "LOCAL_WORLD_SIZE"))
    if gpu and local > torch.cuda.device_count():
        raise UserError(
            f"train.loop.devices: expected at most {torch.cuda.device_count()} (the GPUs here), found {local}"
        )
    if portable and gpu:
        say_whose_bytes("train", torch.device("cuda"), "train.loop.accelerator: cpu")
    strategy: Strategy | str = "auto"
    if world > 1:
        strategy = DDPStrategy(forward_sync_buffers=False, gradient_as_bucket_view=True)
    mine = [int(number) for number in os.environ.get(LEASED, "").split(",") if number]
    return Fabric(
        accelerator="cuda" if gpu else "cpu",
        devices=mine if gpu and mine else local,
        num_nodes=max(1, world // local),
        strategy=strategy,
        precision="bf16-mixed" if bf16 else "32-true",
        # Fabric would take a job of SLURM for one of its processes, and wait for others that nobody starts.
        plugins=None if TorchElasticEnvironment.detect() else LightningEnvironment(),
    )


def is_bf16(settings: Loop, gpu: bool) -> bool:
    """Whether a training multiplies in bf16: where that is asked for, or left to the hardware, and it does so fast."""
    fast = torch.cuda.is_bf16_supported() if gpu else cpu_has_bf16()
    return settings.precision == "bf16" or (settings.precision == "auto" and fast)


def cpu_has_bf16() -> bool:
    """Whether the processor has matrix or vector instructions for bf16; emulated, it would be slower than fp32."""
    return bool(torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported())


def environment_record(fabric: Fabric, threads: int) -> Machine:
    """What besides code, data and params decides the last bits of the weights, and nothing else of the machine."""
    return {
        "torch": torch.__version__.split("+")[0],  # what follows names the build, whose bytes are the same
        "device": device_name(fabric.device),
        "precision": "bf16" if fabric._precision.precision == "bf16-mixed" else "fp32",
        "threads": threads,
        "processes": fabric.world_size,
    }


@contextmanager
def explain_errors(network: Network, batch: int, inputs: tuple[int, ...]) -> Iterator[None]:
    """Turn what torch says about full memory, unfit films and irreproducible layers into what to do about it.

    Args:
        network: that is trained in the block.
        batch: films per step, at most.
        inputs: shape of the training films, (N, C, H, W).
    """
    try:
        yield
    except (RuntimeError, ValueError, AssertionError) as error:
        text = " ".join(str(error).split())[:160]
        if "does not have a deterministic implementation" in str(error):
            raise UserError(
                f"train.network: expected layers that a GPU computes the same way twice, found {network.architecture} "
                f"with {network.encoder}: {text}; choose others, such as Unet with resnet18, or train on the CPU "
                "(CUDA_VISIBLE_DEVICES=)"
            ) from error
        if "captur" in str(error):
            raise UserError(
                f"train.loop.cuda_graph: {network.architecture} with {network.encoder} does something in a step that a "
                f"CUDA graph cannot record: {text}; set it to false"
            ) from error
        if not isinstance(error, torch.OutOfMemoryError) and "allocate memory" not in str(error):
            check_shape(network, films=inputs[0] // -(-inputs[0] // batch), side=inputs[-1])
            raise
        where = "GPU" if isinstance(error, torch.OutOfMemoryError) else "main"
        raise UserError(
            f"train: the {where} memory is full with {batch} films per step ({text}); lower train.loop.batch, "
            "preprocess.size or the channels, or train on more devices. The last checkpoint stays"
        ) from error


def sum_over_processes(sums: Tensor) -> Tensor:
    """The sum over all processes, through which gradients flow back to each."""
    return SumOverProcesses.apply(sums) if torch.distributed.is_initialized() else sums


class SumOverProcesses(torch.autograd.Function):
    """A sum over all processes: each one's loss depends on it, so that its gradient is the sum of theirs.

    torch's own function of this kind is deprecated, and what replaces it is private.
    """

    @staticmethod
    def forward(context: Any, sums: Tensor) -> Tensor:
        total = sums.clone()
        torch.distributed.all_reduce(total)
        return total

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> Tensor:
        total = gradients[0].clone()
        torch.distributed.all_reduce(total)
        return total


def all_reduce(fabric: Fabric, values: Tensor, how: Literal["mean", "sum"]) -> Tensor:
    """The mean or sum of a tensor over all processes, of the same shape, without gradient."""
    reduced = fabric.all_reduce(values, reduce_op=how)
    assert isinstance(reduced, Tensor)
    return reduced


def any_process(fabric: Fabric, flag: bool) -> bool:
    """Whether `flag` is set in any process, so that all stop before the same step."""
    if fabric.world_size == 1:
        return flag
    return bool(all_reduce(fabric, torch.tensor(float(flag), device=fabric.device), "sum") > 0)


def sync_batch_norm(network: nn.Module, film: tuple[int, ...], fabric: Fabric) -> nn.Module:
    """The network ready for several processes, with batch normalisation over the films of all, as one would have it.

    Args:
        network: on its device.
        film: the shape of a film, (C, H, W).
        fabric: of the processes.
    """
    if fabric.world_size == 1:
        return network
    from stages.train.timm_layers import BatchNormAct2d, SharedBatchNormAct, convert_sync_batchnorm

    leave_out_unused(network, film)
    if fabric.device.type == "cuda":
        # timm's conversion, since torch's own would drop the activation that is part of timm's layers.
        return convert_sync_batchnorm(network)  # type: ignore[no-any-return, no-untyped-call]
    shared: dict[type[nn.Module], type[nn.Module]] = {
        nn.BatchNorm2d: SharedBatchNorm,
        BatchNormAct2d: SharedBatchNormAct,
    }
    for module in network.modules():
        module.__class__ = shared.get(type(module), type(module))
    return network


def leave_out_unused(network: nn.Module, film: tuple[int, ...]) -> None:
    """Take parameters out of training that no output depends on: a shallow U-Net keeps the encoder's deepest layers.

    Processes that exchange gradients would wait for theirs.
    """
    device = next(network.parameters()).device
    network.eval()(torch.zeros(1, *film, device=device)).sum().backward()
    for parameter in network.parameters():
        parameter.requires_grad_(parameter.grad is not None)
        parameter.grad = None


class SharedBatchNorm(nn.BatchNorm2d):
    """Batch normalisation over all processes where torch's own SyncBatchNorm, which is for GPUs, refuses."""

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - torch's name
        return normalise_shared(self, input) if self.training else super().forward(input)


def normalise_shared(layer: nn.BatchNorm2d, films: Tensor) -> Tensor:
    """Films normalised over all processes by a layer whose running statistics move."""
    wide, dims = films.float(), (0, 2, 3)
    count = sum_over_processes(torch.tensor([float(wide.numel() // wide.shape[1])], device=wide.device))
    mean = sum_over_processes(wide.sum(dims)) / count
    centred = wide - mean[None, :, None, None]
    variance = sum_over_processes((centred * centred).sum(dims)) / count
    update(layer, mean.detach(), variance.detach() * count / (count - 1))
    scaled = centred * (torch.rsqrt(variance + layer.eps) * layer.weight)[None, :, None, None]
    return (scaled + layer.bias[None, :, None, None]).to(films.dtype)


@torch.no_grad()
def update(layer: nn.BatchNorm2d, mean: Tensor, variance: Tensor) -> None:
    """Move the running statistics of a layer as torch does."""
    assert layer.running_mean is not None
    assert layer.running_var is not None
    assert layer.num_batches_tracked is not None
    assert layer.momentum is not None
    layer.running_mean.lerp_(mean, layer.momentum)
    layer.running_var.lerp_(variance, layer.momentum)
    layer.num_batches_tracked += 1
