"""What only a GPU can show; the other tests of this room train on it, too, where there is one."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from stages.common.core.errors import UserError
from stages.common.model.network import load_model, predict_logits
from stages.train.devices import environment_record, explain_errors, make_fabric
from stages.train.loop import epochs
from stages.train.params import Params
from stages.train.state import init_state, to_device
from tests.helpers.films import squares
from tests.helpers.paths import ROOT
from tests.helpers.processes import environment
from tests.helpers.training import VALIDATION, change, run, store

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no NVIDIA GPU on this machine")


@pytest.fixture
def settings(toy_params: dict[str, Any]) -> Params:
    return Params.model_validate(toy_params["train"])


@pytest.fixture
def small_gpu() -> Iterator[None]:
    """A GPU with a hundredth of its memory."""
    torch.cuda.empty_cache()
    torch.cuda.set_per_process_memory_fraction(0.01)
    yield
    torch.cuda.set_per_process_memory_fraction(1.0)
    torch.cuda.empty_cache()


def test_it_is_taken_and_named_and_multiplies_in_bf16(settings: Params) -> None:
    fabric = make_fabric(change(settings, loop={"precision": "auto"}).loop)
    record, name = environment_record(fabric, 1), torch.cuda.get_device_name()
    assert (fabric.device.type, record["device"], record["precision"]) == ("cuda", name, "bf16")


def test_it_is_left_alone_if_params_say_so(settings: Params) -> None:
    assert make_fabric(change(settings, loop={"accelerator": "cpu"}).loop).device.type == "cpu"


def test_portable_says_what_a_gpu_promises(settings: Params, capsys: pytest.CaptureFixture[str]) -> None:
    assert environment_record(make_fabric(settings.loop), 1)["precision"] == "fp32"
    assert "the same bytes only on the same card and driver" in capsys.readouterr().err


def test_fp32_is_no_tf32(settings: Params) -> None:
    fabric = make_fabric(change(settings, loop={"precision": "fp32"}).loop)
    generator = torch.Generator().manual_seed(0)
    x, w = torch.randn(2, 64, 32, 32, generator=generator), torch.randn(64, 64, 3, 3, generator=generator)
    exact = torch.nn.functional.conv2d(x.double(), w.double())
    found = torch.nn.functional.conv2d(x.to(fabric.device), w.to(fabric.device)).cpu()
    assert ((found - exact).norm() / exact.norm()).item() < 1e-5  # TF32: some 3e-4


def test_what_it_trained_gives_the_same_masks_without_it(settings: Params, here: Path) -> None:
    state = run(change(settings, loop={"epochs": 25}, optimiser={"learning_rate": 0.01}))
    assert state.history[state.kept_epoch - 1]["validation_dice"] > 0.9
    inside = predict_logits(load_model(store(state, settings, Path("model"))), VALIDATION.inputs).sigmoid().mean((1, 2))
    script = (
        "import json, torch; from pathlib import Path; "
        "from stages.common.model.network import load_model, predict_logits; "
        "from tests.helpers.training import VALIDATION; assert not torch.cuda.is_available(); "
        "logits = predict_logits(load_model(Path('model')), VALIDATION.inputs); "
        "print(json.dumps(logits.sigmoid().mean((1, 2)).tolist()))"
    )
    blind = environment() | {"CUDA_VISIBLE_DEVICES": "", "PYTHONPATH": str(ROOT)}
    said = subprocess.run([sys.executable, "-c", script], env=blind, capture_output=True, text=True, check=True).stdout
    assert json.loads(said) == pytest.approx(inside.tolist(), rel=1e-4)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_recorded_steps_train_the_same_network(settings: Params, precision: str) -> None:
    chosen = change(settings, loop={"epochs": 8, "batch": 4, "precision": precision}, optimiser={"ema": 0.9})
    alone, recorded = run(chosen), run(change(chosen, loop={"cuda_graph": True}))
    assert recorded.graphs is not None
    assert list(recorded.graphs.recordings) == [4]
    for one, other in zip(alone.history, recorded.history, strict=True):
        assert one["train_loss"] == pytest.approx(other["train_loss"], rel=1e-2 if precision == "bf16" else 1e-3)


def test_full_gpu_memory_is_said_with_what_to_do(settings: Params, small_gpu: None) -> None:
    wide = change(settings, network={"encoder": "resnet152", "channels": [512, 256, 128, 64, 64]}, loop={"batch": 8})
    films = squares(8, 0, 512)
    expected = r"the GPU memory is full with 8 films per step \(CUDA out of memory.*lower train\.loop\.batch"
    with pytest.raises(UserError, match=expected), explain_errors(wide.network, 8, films.inputs.shape):
        fabric = make_fabric(wide.loop)
        state, side = init_state(fabric, wide, wide.adaptive, films.inputs.shape, seed=1), to_device(fabric, films)
        list(epochs(fabric, state, side, side, wide))
