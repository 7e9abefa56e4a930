"""A toy project with trained networks, shared by all tests of predict."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.helpers.gpus import hide_gpus


@pytest.fixture(scope="session")
def built(two_seeds: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return shutil.copytree(two_seeds, tmp_path_factory.mktemp("predict"), dirs_exist_ok=True)


@pytest.fixture(scope="session", autouse=True)
def _exported_once() -> Iterator[None]:
    """A network is written as ONNX once, which takes seconds, however often it is exported with another recipe."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("torch.onnx.export", exported_once(torch.onnx.export))
        yield


def exported_once(export: Callable[..., Any]) -> Callable[..., None]:
    """`torch.onnx.export` that gives a network of the same form, weights and input the bytes that it wrote before."""
    written: dict[Any, bytes] = {}

    def answer(network: torch.nn.Module, inputs: tuple[torch.Tensor], file: str, **options: Any) -> None:
        weights = b"".join(tensor.numpy().tobytes() for tensor in network.state_dict().values())
        key = (repr(network), weights, inputs[0].shape, str(options))
        if key not in written:
            export(network, inputs, file, **options)
            written[key] = Path(file).read_bytes()
        Path(file).write_bytes(written[key])

    return answer


@pytest.fixture
def project(built: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The toy project as the current folder; it is shared, so outputs go elsewhere."""
    monkeypatch.chdir(built)
    hide_gpus(monkeypatch)
    return built
