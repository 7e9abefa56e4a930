"""GPUs that are pretended, for machines without one: what torch would tell of them, and networks that stay here."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn


def hide_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    """No GPU, on a machine with one, too: its last bits are not those of the processor."""
    monkeypatch.setattr("stages.common.model.devices.has_gpu", lambda: False)


def pretend_gpus(monkeypatch: pytest.MonkeyPatch, *uuids: str) -> None:
    """GPUs that torch would see, by their UUIDs; their names are `Pretended 0` and so on, in torch's order."""
    monkeypatch.setattr("stages.common.model.devices.has_gpu", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: len(uuids))
    monkeypatch.setattr("torch.cuda.get_device_properties", lambda number: SimpleNamespace(uuid=uuids[number]))
    monkeypatch.setattr("torch.cuda.get_device_name", lambda device: f"Pretended {torch.device(device).index}")


def pretend_moves(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Networks stay on the CPU, which computes what the GPU would; to which GPUs they were asked to go, in order."""
    asked: list[str] = []
    real = nn.Module.to

    def to(network: nn.Module, *where: Any, **how: Any) -> nn.Module:
        if where and torch.device(where[0]).type == "cuda":
            asked.append(str(where[0]))
            return network
        return real(network, *where, **how)

    monkeypatch.setattr(nn.Module, "to", to)
    return asked
