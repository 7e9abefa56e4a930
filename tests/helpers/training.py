"""Trainings of a few steps on toy films, without the stage around them."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partialmethod
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from stages.common.core.files import write_json
from stages.common.data.dataset import Films
from stages.common.data.layout import DESCRIPTION, WEIGHTS
from stages.common.model.network import save_weights
from stages.train.devices import make_fabric
from stages.train.loop import epochs
from stages.train.params import Params
from stages.train.state import Row, TrainingState, init_state, to_device
from tests.helpers.films import squares
from tests.helpers.params import merge

TRAIN, VALIDATION = squares(8, 0), squares(4, 1)


def change(settings: Params, **rooms: Any) -> Params:
    return Params.model_validate(merge(settings.model_dump(), rooms))


class Stop:
    """Says stop before the n-th step."""

    def __init__(self) -> None:
        self.after = -1

    def __call__(self) -> bool:
        self.after -= 1
        return self.after == -1


def start(
    settings: Params, variant: str = "adaptive", seed: int = 1, films: Sequence[Films] | None = None
) -> tuple[TrainingState, Iterator[Row], Stop]:
    """A training that has not yet made a step, its epochs, and the way to stop it.

    Args:
        films: those of training and of validation; by default TRAIN and VALIDATION, in every channel the same picture.
    """
    if films is None:
        channels = settings.network.in_channels
        films = [replace(side, inputs=np.repeat(side.inputs, channels, axis=1)) for side in (TRAIN, VALIDATION)]
    fabric, stop = make_fabric(settings.loop), Stop()
    state = init_state(fabric, settings, getattr(settings, variant), films[0].inputs.shape, seed)
    train, validation = (to_device(fabric, side) for side in films)
    return state, epochs(fabric, state, train, validation, settings, stop), stop


def store(state: TrainingState, settings: Params, folder: Path) -> Path:
    """What `load_model` needs of the network that a training kept."""
    save_weights(folder / WEIGHTS, state.kept)
    write_json(folder / DESCRIPTION, {"network": settings.network.model_dump(), "machine": {}})
    return folder


def run(
    settings: Params, variant: str = "adaptive", seed: int = 1, films: Sequence[Films] | None = None
) -> TrainingState:
    state, rows, _ = start(settings, variant, seed, films)
    list(rows)
    return state


def compare_compiled(content: dict[str, Any], backend: str) -> None:
    """Assert that a compiled network learns as the plain one does.

    Args:
        content: of the section `train`.
        backend: of torch.compile.
    """
    torch.nn.Module.compile = partialmethod(torch.nn.Module.compile, backend=backend)  # type: ignore[method-assign]
    settings = change(Params.model_validate(content), loop={"precision": "fp32", "epochs": 1})
    compiled, plain = run(change(settings, network={"compile": True})), run(settings)
    assert list(compiled.kept) == list(plain.kept)
    assert compiled.history[0]["train_loss"] == pytest.approx(plain.history[0]["train_loss"], rel=1e-3)
