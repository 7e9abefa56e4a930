import os
from contextlib import AbstractContextManager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from lightning_fabric.strategies.ddp import DDPStrategy
from timm.layers import BatchNormAct2d
from torch import nn

from stages.common.core.device_lock import lock_devices
from stages.common.core.errors import UserError
from stages.common.model.architecture import Pyramid
from stages.common.model.devices import visible_gpus
from stages.common.model.network import build
from stages.train.devices import (
    SharedBatchNorm,
    explain_errors,
    lock_training_devices,
    make_fabric,
    sync_batch_norm,
)
from stages.train.params import Params
from stages.train.timm_layers import SharedBatchNormAct
from tests.helpers.gpus import pretend_gpus
from tests.helpers.params import merge


@pytest.fixture
def settings(toy_params: dict[str, Any]) -> Params:
    return Params.model_validate(toy_params["train"])


def test_a_job_of_slurm_is_one_machine_as_any(settings: Params, monkeypatch: pytest.MonkeyPatch) -> None:
    """What sbatch sets for one task. Fabric would train half of each batch, and nobody the other half."""
    for name, value in (("NTASKS", "1"), ("JOB_NAME", "grid"), ("PROCID", "0"), ("LOCALID", "0"), ("NODEID", "0")):
        monkeypatch.setenv(f"SLURM_{name}", value)
    fabric = make_fabric(settings.loop.model_copy(update={"devices": 2}))
    assert isinstance(fabric.strategy, DDPStrategy)
    assert not fabric.strategy.cluster_environment.creates_processes_externally


def test_more_gpus_than_there_are_is_said(settings: Params, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with pytest.raises(UserError, match=r"train\.loop\.devices: expected at most 2 \(the GPUs here\), found 4"):
        make_fabric(settings.loop.model_copy(update={"devices": 4}))


def test_a_gpu_is_left_alone_if_params_say_so(settings: Params, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    cpu = settings.loop.model_copy(update={"accelerator": "cpu"})
    assert make_fabric(cpu).device.type == "cpu"
    with lock_training_devices(cpu):
        assert "LEASED_GPUS" not in os.environ


def explained(settings: Params, **network: Any) -> AbstractContextManager[None]:
    """What stands around a training on 100 films of 64 x 64 in batches of 8."""
    return explain_errors(settings.network.model_copy(update=network), 8, (100, 1, 64, 64))


def test_full_memory_is_said_with_what_to_do(settings: Params) -> None:
    expected = r"the GPU memory is full with 8 films per step .*lower train\.loop\.batch"
    with pytest.raises(UserError, match=expected), explained(settings):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB.")
    # a real one: more than any machine has
    with pytest.raises(UserError, match="the main memory is full with 8 films per step"), explained(settings):
        torch.empty(2**50, dtype=torch.uint8)


def test_a_network_that_no_gpu_computes_the_same_way_twice_is_said(settings: Params) -> None:
    # what torch says for the squeeze-and-excitation blocks of EfficientNets
    text = "adaptive_avg_pool2d_backward_cuda does not have a deterministic implementation, but you set"
    expected = r"train\.network: .*Unet with efficientnet-b0: adaptive_avg_pool2d.*; choose others"
    with pytest.raises(UserError, match=expected), explained(settings, encoder="efficientnet-b0"):
        raise RuntimeError(text)


def test_other_errors_of_torch_stay_what_they_are(settings: Params) -> None:
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"), explained(settings):
        torch.ones(2, 3) @ torch.ones(2, 3)


def test_fewer_films_than_processes_are_refused(settings: Params) -> None:
    with pytest.raises(ValueError, match=r"shared by loop\.devices processes"):
        Params.model_validate(merge(settings.model_dump(), {"loop": {"batch": 2, "devices": 4}}))


def test_deterministic_algorithms_are_on_and_memory_is_not_filled(settings: Params) -> None:
    make_fabric(settings.loop)
    assert torch.are_deterministic_algorithms_enabled()
    assert not torch.utils.deterministic.fill_uninitialized_memory  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("theirs", "ours"), [(nn.BatchNorm2d(3), SharedBatchNorm(3)), (BatchNormAct2d(3), SharedBatchNormAct(3))]
)
def test_batch_normalisation_of_ours_is_that_of_torch_and_timm(theirs: nn.BatchNorm2d, ours: nn.BatchNorm2d) -> None:
    generator = torch.Generator().manual_seed(0)
    for _ in range(3):
        x = torch.randn(4, 3, 5, 6, generator=generator) * 2 + 1
        a, b = x.clone().requires_grad_(), x.clone().requires_grad_()
        found, expected = ours(b), theirs(a)
        torch.testing.assert_close(found, expected)
        (expected**3).sum().backward()
        (found**3).sum().backward()
        torch.testing.assert_close(b.grad, a.grad, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(ours.running_var, theirs.running_var)
    torch.testing.assert_close(ours.running_mean, theirs.running_mean)
    torch.testing.assert_close(ours.eval()(x), theirs.eval()(x))


@pytest.mark.parametrize(("device", "kind"), [("cpu", "SharedBatchNormAct"), ("cuda", "SyncBatchNormAct")])
def test_layers_of_timm_share_their_statistics_and_keep_their_activation(device: str, kind: str) -> None:
    """Torch's own conversion drops it without a word."""
    network = build(Pyramid(encoder="tu-tf_efficientnet_lite0", channels=[16, 8, 8]))
    before = [(str(layer.act), layer.running_mean) for layer in network.modules() if isinstance(layer, BatchNormAct2d)]
    several: Any = SimpleNamespace(world_size=2, device=torch.device(device))
    shared = sync_batch_norm(network, (1, 64, 64), several)
    after = [(str(layer.act), layer.running_mean) for layer in shared.modules() if type(layer).__name__ == kind]
    assert len(before) == len(after) > 40
    assert all(old[0] == new[0] and old[1] is new[1] for old, new in zip(before, after, strict=True))
    assert {act for act, _ in after} == {"Identity()", "ReLU6(inplace=True)"}


def test_two_trainings_on_a_machine_with_two_gpus_lease_one_each(
    toy_params: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On devices that are pretended, since there is none here; the lock files and what Fabric is told are real."""
    monkeypatch.setenv("DEVICE_LOCK_DIR", str(tmp_path))
    pretend_gpus(monkeypatch, "3", "7")
    loop = Params.model_validate(toy_params["train"]).loop
    assert visible_gpus() == ["gpu-3", "gpu-7"]
    with lock_devices(["gpu-3"], 1):  # by another process, which sees that one only
        with lock_training_devices(loop, lambda: None):
            assert os.environ["LEASED_GPUS"] == "1"
        assert "LEASED_GPUS" not in os.environ
    with lock_training_devices(loop, lambda: None):
        assert os.environ["LEASED_GPUS"] == "0"
    monkeypatch.setenv("TRAININGS_PER_GPU", "2")
    with lock_devices(["gpu-3", "gpu-7"], 2), lock_training_devices(loop, lambda: None):  # the first GPU's second share
        assert os.environ["LEASED_GPUS"] == "0"
    monkeypatch.setenv("WORLD_SIZE", "2")  # torchrun's processes own what they were given
    with lock_training_devices(loop, lambda: None):
        assert "LEASED_GPUS" not in os.environ
