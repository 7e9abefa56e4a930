"""Every architecture of segmentation-models-pytorch trains, is evaluated and, where onnx can, exported."""

from inspect import signature
from pathlib import Path
from typing import Any, get_args

import pytest
import segmentation_models_pytorch as smp
import torch

from stages.common.model.architecture import Preset, Pyramid
from stages.common.model.network import load_model, predict_logits
from stages.train.devices import make_fabric
from stages.train.loop import epochs
from stages.train.params import Params
from stages.train.state import init_state, to_device
from tests.helpers.films import squares
from tests.helpers.params import merge
from tests.helpers.training import store

LEAST = {"PAN": 128}  # pixels: three poolings by 2 below a sixteenth of the film
ENCODERS = {"DPT": "tu-resnet18"}  # timm's only
PYRAMIDS, PRESETS = (get_args(kind.model_fields["architecture"].annotation) for kind in (Pyramid, Preset))


def network_of(name: str) -> dict[str, Any]:
    channels = {"channels": [16, 8, 8]} if name in PYRAMIDS else {}
    return {"architecture": name, "encoder": ENCODERS.get(name, "mobilenet_v2"), **channels}


def takes_a_list(model: type) -> bool:
    taken = signature(model).parameters.get("decoder_channels")
    return taken is not None and isinstance(taken.default, tuple)


def test_these_are_all_that_the_library_has_each_with_the_keys_that_it_takes() -> None:
    theirs = {model.__name__: takes_a_list(model) for model in smp.MODEL_ARCHITECTURES_MAPPING.values()}
    assert theirs == dict.fromkeys(PYRAMIDS, True) | dict.fromkeys(PRESETS, False)


@pytest.mark.parametrize("name", [*PYRAMIDS, *PRESETS])
def test_it_trains_two_steps_and_comes_back_from_its_file(
    name: str, toy_params: dict[str, Any], tmp_path: Path
) -> None:
    few = {"loop": {"epochs": 1, "batch": 2}}
    chosen = {"network": network_of(name), "adaptive": "gradnorm"}
    settings = Params.model_validate(merge(toy_params["train"], few) | chosen)
    films = squares(4, 0, LEAST.get(name, 64))
    fabric = make_fabric(settings.loop)
    state, side = init_state(fabric, settings, settings.adaptive, films.inputs.shape, seed=1), to_device(fabric, films)
    before = {key: tensor.clone() for key, tensor in state.network.state_dict().items()}
    (row,) = epochs(fabric, state, side, side, settings)
    assert state.steps == 2
    assert row["train_loss"] > 0
    after = state.network.state_dict()
    assert not all(torch.equal(before[key], after[key]) for key in before)
    assert predict_logits(load_model(store(state, settings, tmp_path)), films.inputs).shape == films.masks.shape
