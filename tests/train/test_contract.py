"""What anybody may rely on about the loss, as one set."""

import json
import os
import subprocess
import sys
from typing import Any, Literal

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from stages.common.core.arithmetic import TORCH
from stages.train.devices import make_fabric
from stages.train.loop import epochs
from stages.train.loss import bce_loss, dice_loss
from stages.train.params import Linear, Params, Ramp
from stages.train.state import init_state, to_device
from stages.train.weighting import linear
from tests.helpers.films import squares
from tests.helpers.golden_losses import GOLDEN, first_steps
from tests.helpers.params import merge
from tests.helpers.paths import ROOT

# Share of a loss. Other thread counts and instruction sets sum in another order, and AdamW carries each difference on:
# 0.0001 by the third step, 0.0016 by the eighth was measured.
TOLERANCE = np.array([1e-4, 1e-3, 1e-3, *[1e-2] * 5])[:, None]
OVER: list[Literal["batch", "image"]] = ["batch", "image"]
WEIGHTS = Linear(alpha=Ramp(start=0.2, end=0.8), beta=Ramp(start=0.1, end=0.9))


def both(logits: Tensor, target: Tensor, over: Literal["batch", "image"] = "batch") -> Tensor:
    return 0.5 * dice_loss(logits, target, over, 1.0) + 0.5 * bce_loss(logits, target)


@pytest.mark.parametrize("over", OVER)
def test_an_empty_mask_has_a_loss_that_falls_as_the_prediction_empties(over: Literal["batch", "image"]) -> None:
    empty = torch.zeros(2, 1, 8, 8)
    values = [both(torch.full_like(empty, z), empty, over).item() for z in (5.0, 0.0, -5.0, -20.0)]
    assert values == sorted(values, reverse=True)
    assert values[-1] == pytest.approx(0, abs=1e-6)


def test_per_image_dice_weighs_a_tiny_fracture_like_a_large_one() -> None:
    target = torch.zeros(2, 1, 64, 64)
    target[0, :, :40, :40] = 1
    target[1, :, :3, :3] = 1
    blank = torch.full_like(target, -20.0)
    found = {}
    for name, seen in (("large", 0), ("tiny", 1)):
        logits = blank.clone()
        logits[seen] = (2 * target[seen] - 1) * 20
        found[name] = [dice_loss(logits, target, over, 1e-6).item() for over in OVER]
    assert found["large"][1] == pytest.approx(0.5, abs=1e-4)  # either image is half of the mean
    assert found["tiny"][1] == pytest.approx(0.5, abs=1e-4)
    assert found["large"][0] < 0.01  # over the batch, the tiny one hardly counts
    assert found["tiny"][0] > 0.98


@given(st.integers(1, 6), st.integers(0, 2**31))
def test_the_per_image_loss_of_a_batch_is_the_mean_of_its_images(size: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(size, 1, 5, 4, generator=generator) * 3
    target = (torch.rand(size, 1, 5, 4, generator=generator) < 0.3).float()
    single = [both(logits[i : i + 1], target[i : i + 1], "image").item() for i in range(size)]
    assert both(logits, target, "image").item() == pytest.approx(np.mean(single), rel=1e-5)


@given(st.integers(0, 2**31), st.floats(0.1, 30), st.sampled_from(OVER))
def test_the_gradient_pulls_wherever_the_prediction_is_wrong(
    seed: int, size: float, over: Literal["batch", "image"]
) -> None:
    generator = torch.Generator().manual_seed(seed)
    target = (torch.rand(2, 1, 6, 5, generator=generator) < 0.3).double()
    logits = (torch.randn(2, 1, 6, 5, generator=generator, dtype=torch.float64) * size).requires_grad_()
    both(logits, target, over).backward()
    assert logits.grad is not None
    wrong = (logits > 0).double() != target
    pull = -logits.grad * (2 * target - 1)  # above 0: towards the target
    assert (pull[wrong] > 0).all()


@pytest.mark.parametrize(
    ("t", "alpha", "beta"),
    # equation 3 by hand for T = 4: alpha = .2 + .6 t/4, beta = .1 + .8 (4 - t)/4
    [(0, 0.2, 0.9), (1, 0.35, 0.7), (2, 0.5, 0.5), (3, 0.65, 0.3), (4, 0.8, 0.1)],
)
def test_equation_three_as_printed(t: int, alpha: float, beta: float) -> None:
    assert linear(t, 4, WEIGHTS) == pytest.approx((alpha, beta))


def test_the_other_reading_runs_from_start_to_end() -> None:
    turned = WEIGHTS.model_copy(update={"beta_reading": "start_to_end"})
    assert linear(0, 4, turned) == pytest.approx((0.2, 0.1))
    assert linear(4, 4, turned) == pytest.approx((0.8, 0.9))


def golden() -> np.ndarray:
    return np.loadtxt(GOLDEN, delimiter=",", skiprows=1)


@pytest.mark.parametrize("threads", [1, 2])
def test_the_first_steps_are_the_golden_ones(threads: int) -> None:
    assert (np.abs(first_steps(threads=threads) / golden() - 1) < TOLERANCE).all()


@pytest.mark.slow
@pytest.mark.parametrize("instructions", [{"ATEN_CPU_CAPABILITY": "default", "ONEDNN_MAX_CPU_ISA": "SSE41"}, {}])
def test_other_instructions_agree(instructions: dict[str, str]) -> None:
    """Those of an old processor, by torch's and oneDNN's own switches, and all that this one has; in five steps."""
    free = {name: value for name, value in os.environ.items() if name not in TORCH}
    script = "from tests.helpers.golden_losses import first_steps; print(first_steps(5).tolist())"
    said = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, env=free | instructions, capture_output=True, text=True, check=True
    )
    assert (np.abs(np.array(json.loads(said.stdout)) / golden()[:5] - 1) < TOLERANCE[:5]).all()


@pytest.mark.timeout(60)
def test_it_overfits_four_films_within_a_minute(toy_params: dict[str, Any]) -> None:
    still = dict.fromkeys(("flip", "rotate_deg", "scale", "shift", "contrast"), 0.0)
    change = {"loop": {"epochs": 60}, "augment": still, "optimiser": {"learning_rate": 0.01}}
    params, films = Params.model_validate(merge(toy_params["train"], change)), squares(4, 0)
    fabric = make_fabric(params.loop)
    state, side = init_state(fabric, params, params.adaptive, films.inputs.shape, seed=1), to_device(fabric, films)
    *_, last = epochs(fabric, state, side, side, params)
    assert last["validation_dice"] > 0.95
