import warnings

import pytest
import torch

from stages.common.core.errors import UserError
from stages.common.model.devices import explain_gpu_errors, has_gpu, shares, takes_gpu, visible_gpus
from tests.helpers.gpus import pretend_gpus


def test_a_driver_that_is_too_old_is_said_rather_than_worked_around(monkeypatch: pytest.MonkeyPatch) -> None:
    # What torch 2.14 does: it warns, and reports that there is no GPU.
    text = "CUDA initialization: The NVIDIA driver on your system is too old (found version 11040). Please update."

    def available() -> bool:
        warnings.warn(text, UserWarning, stacklevel=1)
        return False

    monkeypatch.setattr(torch.cuda, "is_available", available)
    with pytest.raises(UserError, match=r"too old \(found version 11040\); update the driver, or set CUDA_VISIBLE_"):
        has_gpu()


def test_a_machine_without_gpu_is_no_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert not has_gpu()


def test_trainings_spread_over_gpus_before_they_share_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRAININGS_PER_GPU", "2")
    assert shares(["gpu-3", "gpu-7"], 1) == ["gpu-3", "gpu-7", "gpu-3-share-2", "gpu-7-share-2"]
    with pytest.raises(UserError, match="TRAININGS_PER_GPU=2: a training on 2 GPUs has them to itself"):
        shares(["gpu-3", "gpu-7"], 2)
    for wrong in ("0", "half", ""):
        monkeypatch.setenv("TRAININGS_PER_GPU", wrong)
        with pytest.raises(UserError, match=f"expected a whole number from 1 on, found '{wrong}'"):
            shares(["gpu-3"], 1)


def test_a_gpu_has_one_name_in_every_container_however_it_is_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    """The second of two GPUs is the first one of a container that is given no other."""
    pretend_gpus(monkeypatch, "a", "b")
    outside = visible_gpus()
    pretend_gpus(monkeypatch, "b")
    for chosen in (None, "0", "1", "GPU-b"):
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
        if chosen is not None:
            monkeypatch.setenv("CUDA_VISIBLE_DEVICES", chosen)
        assert visible_gpus() == outside[1:]
    for part in ("MIG-1", "MIG-2"):  # two parts of it are trained on at once
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", part)
        assert visible_gpus() == [part]


def test_a_gpu_is_taken_where_there_is_one_unless_it_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    pretend_gpus(monkeypatch, "a")
    assert (takes_gpu("auto"), takes_gpu("cpu")) == (True, False)
    monkeypatch.setattr("stages.common.model.devices.has_gpu", lambda: False)
    assert not takes_gpu("auto")


def test_what_a_gpu_refuses_is_said_with_what_to_do() -> None:
    expected = r"^work: the GPU memory is full \(CUDA out .*\); free it, or choose --this$"
    with pytest.raises(UserError, match=expected), explain_gpu_errors("work", "--this"):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB.")
    expected = r"^work: expected layers that .*, found some_cuda does not .*; choose --this$"
    with pytest.raises(UserError, match=expected), explain_gpu_errors("work", "--this"):
        raise RuntimeError("some_cuda does not have a deterministic implementation, but you set")
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"), explain_gpu_errors("work", "--this"):
        torch.ones(2, 3) @ torch.ones(2, 3)
