import contextlib
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from pydantic import ValidationError
from timm.layers import Conv2dSame
from torch import nn

from stages.common.core.arithmetic import TORCH
from stages.common.core.errors import UserError
from stages.common.data.dataset import Films
from stages.common.data.tables import HISTORY
from stages.common.model.network import build, encoder_and_rest, logit_layer
from stages.train.checkpoint import load_checkpoint, save_checkpoint
from stages.train.devices import environment_record, make_fabric
from stages.train.loop import Preempted
from stages.train.loss import LOSSES, Term, by_weight, weighted_sum
from stages.train.params import Params
from stages.train.state import TrainingState, to_device
from stages.train.step import gradient_norms, learning_rate, losses_of_share
from stages.train.strided_convolution import make_portable
from stages.train.weighting import WEIGHTINGS
from tests.helpers.films import squares
from tests.helpers.long_tests import long_test
from tests.helpers.paths import ROOT
from tests.helpers.training import TRAIN, VALIDATION, change, run, start


@pytest.fixture
def settings(toy_params: dict[str, Any]) -> Params:
    return Params.model_validate(toy_params["train"])


def cut(settings: Params, steps: int, path: Path) -> TrainingState:
    """A training that is stopped after some steps, written, and taken up by another process."""
    first, rows, stop = start(settings)
    stop.after = steps
    with pytest.raises(Preempted):
        list(rows)
    save_checkpoint(path, "x", first.snapshot())
    second, rows, _ = start(settings)
    snapshot = load_checkpoint(path, "x")
    assert snapshot is not None
    second.restore(snapshot)
    list(rows)
    return second


def weights(state: TrainingState) -> dict[str, torch.Tensor]:
    return state.network.state_dict()


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(a[name], b[name]) for name in a)


def test_it_can_learn_at_all(settings: Params) -> None:
    state = run(change(settings, loop={"epochs": 25}, optimiser={"learning_rate": 0.01}))
    assert state.history[0]["validation_dice"] < 0.6
    assert max(row["validation_dice"] for row in state.history) > 0.9
    assert state.history[-1]["train_loss"] < 0.5 * state.history[0]["train_loss"]


def test_the_same_seed_gives_the_same_bits_and_another_does_not(settings: Params) -> None:
    first, second = run(settings), run(settings)
    assert same(weights(first), weights(second))
    assert first.history == second.history
    assert not same(weights(first), weights(run(settings, seed=2)))


@pytest.mark.parametrize("steps", [0, 1, 2, 3, 5, 7])
def test_a_run_that_was_cut_goes_on_to_the_same_bits(steps: int, settings: Params, tmp_path: Path) -> None:
    longer = change(settings, loop={"epochs": 4})
    whole, rest = run(longer), cut(longer, steps, tmp_path / "c")
    assert same(weights(whole), weights(rest))
    assert same(whole.kept, rest.kept)
    assert whole.history == rest.history


@pytest.mark.parametrize("method", sorted(kind.model_fields["method"].default for kind in WEIGHTINGS))
def test_every_weighting_trains_and_is_taken_up_midway(method: str, settings: Params, tmp_path: Path) -> None:
    adaptive = change(settings, adaptive=method, loop={"epochs": 4})
    whole, rest = run(adaptive), cut(adaptive, 5, tmp_path / "c")
    assert whole.history == rest.history
    assert same(weights(whole), weights(rest))


# resnet18 draws nothing in training; the other encoder drops whole paths at random
@pytest.mark.parametrize(
    "rooms", [{"optimiser": {"ema": 0.5}}, {"network": {"encoder": "efficientnet-b0", "channels": [16, 8, 8]}}]
)
def test_averages_and_random_paths_are_taken_up_too(rooms: dict[str, Any], settings: Params, tmp_path: Path) -> None:
    longer = change(settings, loop={"epochs": 3}, **rooms)
    whole, rest = run(longer), cut(longer, 3, tmp_path / "c")
    assert same(weights(whole), weights(rest))
    assert same(whole.kept, rest.kept)


def test_moments_keep_the_memory_order_of_their_parameters(settings: Params, tmp_path: Path) -> None:
    # The fused step walks both by address.
    rest = cut(change(settings, loop={"epochs": 3}), 3, tmp_path / "c")
    for parameter, moments in rest.optimiser.state.items():
        assert moments["exp_avg"].stride() == parameter.stride()


def test_both_variants_start_from_the_same_weights_and_see_the_same_films(settings: Params) -> None:
    fixed = settings.model_copy(update={"adaptive": settings.baseline})
    assert same(weights(run(fixed, "adaptive")), weights(run(settings, "baseline")))
    # and only the weights make the difference
    assert not same(weights(run(settings)), weights(run(settings, "baseline")))


def test_history_holds_the_weights_in_force(settings: Params) -> None:
    history = run(change(settings, loop={"epochs": 4})).history
    assert [row["alpha"] for row in history] == pytest.approx([0.3, 0.4, 0.5, 0.6])
    assert [row["beta"] for row in history] == pytest.approx([0.7, 0.6, 0.5, 0.4])
    for row in history:
        assert row["ratio"] == pytest.approx(row["alpha"] / (row["alpha"] + row["beta"]))
        for side in ("train", "validation"):
            total = row["alpha"] * row[f"{side}_dice_loss"] + row["beta"] * row[f"{side}_bce_loss"]
            assert row[f"{side}_loss"] == pytest.approx(total, rel=1e-5)


@pytest.mark.parametrize("method", ["linear", "gradnorm", "dwa"])
def test_a_third_term_of_the_loss_is_one_entry_of_a_table(
    method: str, settings: Params, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = run(change(settings, adaptive=method)).history
    monkeypatch.setitem(LOSSES, "area", Term(0.25, lambda z, y, *_: z.sigmoid().mean()))
    three = run(change(settings, adaptive=method))
    assert three.history[0]["train_area_loss"] > 0
    sides = ("validation",) if method == "gradnorm" else ("train", "validation")  # its weights change at each step
    for row in three.history:
        for side in sides:
            values = {name: row[f"{side}_{name}_loss"] for name in LOSSES}
            assert row[f"{side}_loss"] == pytest.approx(weighted_sum(values, row["alpha"], row["beta"]), rel=1e-5)
    assert three.history[0]["train_dice_loss"] != plain[0]["train_dice_loss"]  # from the second step on
    HISTORY.write(tmp_path, pd.DataFrame(three.history).astype({"epoch": int}))
    columns = list(HISTORY.read(tmp_path))
    assert columns[columns.index("train_loss") :] == [
        *("train_loss", "train_dice_loss", "train_bce_loss", "train_area_loss"),
        *("validation_loss", "validation_dice_loss", "validation_bce_loss", "validation_area_loss", "validation_dice"),
    ]


def test_the_clock_may_count_iterations(settings: Params) -> None:
    history = run(change(settings, adaptive={"clock": "iteration"}, loop={"epochs": 4})).history
    # two steps in an epoch: the mean of t and t + 1/2
    assert [row["alpha"] for row in history] == pytest.approx([0.325, 0.425, 0.525, 0.625])


def test_normalised_weights_sum_to_one_and_keep_their_ratio(settings: Params) -> None:
    rooms: dict[str, Any] = {"alpha": {"start": 2.0, "end": 6.0}, "beta": {"start": 3.0, "end": 2.0}}
    plain = run(change(settings, adaptive=rooms)).history
    summed = run(change(settings, adaptive=rooms | {"normalise": True})).history
    assert [row["alpha"] + row["beta"] for row in summed] == pytest.approx([1, 1])
    assert [row["ratio"] for row in summed] == pytest.approx([row["ratio"] for row in plain])


def test_adam_does_not_see_a_common_factor(settings: Params) -> None:
    # Why only alpha / (alpha + beta) matters: the loss times 1000, epsilon and clipping apart, is the same training.
    rooms = {"optimiser": {"clip": 1e6, "learning_rate": 0.001}, "loop": {"precision": "fp32"}}
    single = run(change(settings, baseline={"alpha": 0.5, "beta": 0.5}, **rooms), "baseline")
    thousand = run(change(settings, baseline={"alpha": 500.0, "beta": 500.0}, **rooms), "baseline")
    a, b = (state.history[-1]["validation_bce_loss"] for state in (single, thousand))
    assert a == pytest.approx(b, rel=0.01)


def test_adaptive_weights_follow_the_mean_losses_of_the_epochs_before(settings: Params) -> None:
    history = run(change(settings, adaptive="dwa", loop={"epochs": 4})).history
    ratios = [history[1][f"train_{name}_loss"] / history[0][f"train_{name}_loss"] for name in ("dice", "bce")]
    powers = np.exp(np.array(ratios) / 2)
    assert (history[2]["alpha"], history[2]["beta"]) == pytest.approx(tuple(2 * powers / powers.sum()))


@pytest.mark.parametrize(
    "network",
    [
        {},
        {"architecture": "FPN"},  # enlarges its logits fourfold
        {"architecture": "DPT", "encoder": "tu-resnet18"},  # has five layers in its head, one of which drops out
    ],
)
def test_gradient_norms_are_those_of_the_last_layer(network: dict[str, Any], settings: Params) -> None:
    chosen = settings.model_dump() | {"adaptive": "gradnorm"} | ({"network": network} if network else {})
    settings = change(Params.model_validate(chosen), loop={"precision": "fp32"})
    fabric, (state, _, _) = make_fabric(settings.loop), start(settings)
    images, masks = to_device(fabric, squares(4, 0, 64)).batch(np.arange(4))
    losses = losses_of_share(state.model(images), masks, settings.loss, 1.0)
    norms = gradient_norms(fabric, state, masks, settings.loss, 1.0)
    for loss, norm in zip(by_weight(losses), norms, strict=True):
        state.network.zero_grad()
        loss.backward(retain_graph=True)
        gradient = logit_layer(state.network).weight.grad
        assert gradient is not None
        assert norm.item() == pytest.approx(gradient.norm().item(), rel=1e-5)


def test_films_that_are_not_on_the_device_train_the_same_weights(
    settings: Params, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    short = change(settings, loop={"epochs": 1})
    resident = run(short)

    def mapped(array: np.ndarray, name: str) -> np.ndarray:
        np.save(tmp_path / name, array)
        return np.load(tmp_path / f"{name}.npy", mmap_mode="r+")

    films = [
        Films(side.ids, mapped(side.inputs, f"inputs{i}"), mapped(side.masks, f"masks{i}"))
        for i, side in enumerate((TRAIN, VALIDATION))
    ]
    monkeypatch.setattr("stages.train.state.fits", lambda device, size: False)
    assert same(run(short, films=films).kept, resident.kept)


def test_the_best_epoch_is_kept_and_the_first_of_equals(settings: Params) -> None:
    longer = change(settings, loop={"epochs": 6}, optimiser={"learning_rate": 0.01})
    state = run(longer)
    scores = [row["validation_dice"] for row in state.history]
    assert state.kept_epoch == 1 + scores.index(max(scores))
    again, rows, _ = start(longer)
    for _ in range(state.kept_epoch):
        next(rows)
    assert same(state.kept, weights(again))


def test_or_the_last_epoch(settings: Params) -> None:
    state = run(change(settings, loop={"epochs": 6, "select": "last"}, optimiser={"learning_rate": 0.01}))
    assert state.kept_epoch == 6
    assert same(state.kept, weights(state))


def test_a_moving_average_is_that_of_the_steps(settings: Params) -> None:
    averaged = change(settings, optimiser={"ema": 0.5}, loop={"epochs": 1})
    name, expected = "segmentation_head.0.weight", None
    state, rows, stop = start(averaged)
    for step in range(2):  # the first average is the first weights
        one, other, stop = start(averaged)
        stop.after = step + 1
        with contextlib.suppress(Preempted):
            next(other)
        now = weights(one)[name]
        expected = now if expected is None else 0.5 * expected + 0.5 * now
    next(rows)
    assert expected is not None
    torch.testing.assert_close(state.kept[name], expected)
    assert not same(state.kept, weights(state))


def test_a_frozen_encoder_stays_and_the_rest_learns(settings: Params) -> None:
    longer = change(settings, loop={"epochs": 3, "select": "last"}, optimiser={"frozen_epochs": 2})
    state, rows, _ = start(longer)
    encoder, rest = encoder_and_rest(state.network)
    before = [[parameter.clone() for parameter in part] for part in (encoder, rest)]
    next(rows)
    next(rows)
    assert all(torch.equal(*pair) for pair in zip(encoder, before[0], strict=True))
    assert not any(torch.equal(*pair) for pair in zip(rest, before[1], strict=True))
    next(rows)
    assert not all(torch.equal(*pair) for pair in zip(encoder, before[0], strict=True))


def test_a_frozen_training_that_was_cut_goes_on_to_the_same_bits(settings: Params, tmp_path: Path) -> None:
    longer = change(settings, loop={"epochs": 3}, optimiser={"frozen_epochs": 1, "encoder_factor": 0.1})
    whole, rest = run(longer), cut(longer, 3, tmp_path / "c")
    assert same(weights(whole), weights(rest))


def test_the_encoder_has_its_own_share_of_the_learning_rate(settings: Params) -> None:
    """AdamW's first step is as long as the rate, whatever the gradient."""
    one = change(settings, loop={"epochs": 1, "batch": 8}, optimiser={"encoder_factor": 0.25, "weight_decay": 0.0})
    state, rows, _ = start(one)
    parts = encoder_and_rest(state.network)
    before = [[parameter.clone() for parameter in part] for part in parts]
    (row,) = rows
    moved = [
        max((new - old).abs().max().item() for new, old in zip(part, was, strict=True))
        for part, was in zip(parts, before, strict=True)
    ]
    assert moved[1] == pytest.approx(row["learning_rate"], rel=1e-3)
    assert moved[0] == pytest.approx(row["learning_rate"] / 4, rel=1e-3)


def test_an_encoder_that_is_frozen_beyond_the_last_epoch_is_refused(settings: Params) -> None:
    with pytest.raises(ValidationError, match=r"frozen_epochs exceeds loop\.epochs"):
        change(settings, optimiser={"frozen_epochs": 9})


def test_gradients_are_clipped(settings: Params) -> None:
    state = run(change(settings, optimiser={"clip": 0.01}))
    norms = [
        torch.linalg.vector_norm(torch.stack([p.grad.norm() for p in state.network.parameters() if p.grad is not None]))
    ]
    assert float(norms[0]) == pytest.approx(0.01, rel=1e-2)
    assert all(row["gradient_norm"] > 0.01 for row in state.history)  # logged before the cut


@pytest.mark.parametrize(
    ("schedule", "expected"),
    # a peak of 0.1, 2 of 8 steps of warm-up, then half a cosine over 6 steps, or nothing more
    [("cosine", [0.05, 0.1, 0.1, 0.0933, 0.075, 0.05, 0.025, 0.0067]), ("constant", [0.05, *[0.1] * 7])],
)
def test_learning_rates_by_hand(schedule: str, expected: list[float], settings: Params) -> None:
    optimiser = change(settings, optimiser={"learning_rate": 0.1, "schedule": schedule, "warmup": 0.25}).optimiser
    assert [learning_rate(step, 8, optimiser) for step in range(8)] == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("what", ["levels", "both"])
def test_it_sees_what_it_is_asked_to(what: str, settings: Params) -> None:
    state = run(change(settings, network={"input": what}))
    assert next(state.network.get_submodule("encoder").parameters()).shape[1] == (2 if what == "both" else 1)


@pytest.mark.slow
@pytest.mark.parametrize(
    "backend",
    [
        "aot_eager",  # the same graphs, run without a compiler
        pytest.param(
            "inductor",
            marks=[
                pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler"),
                long_test,
            ],
        ),
    ],
)
def test_a_compiled_network_learns_the_same(backend: str, settings: Params) -> None:
    """In a process that may use all instructions, as such a training has it."""
    free = {name: value for name, value in os.environ.items() if name not in TORCH}
    settings = change(settings, network={"encoder": "tu-test_resnet"})  # to compile a larger one takes minutes
    script = (
        f"from tests.helpers.training import compare_compiled; compare_compiled({settings.model_dump()!r}, {backend!r})"
    )
    subprocess.run([sys.executable, "-c", script], cwd=ROOT, env=free, check=True)


def test_a_loss_that_is_no_number_stops_before_the_step_and_names_it(settings: Params) -> None:
    state, rows, _ = start(settings)
    with torch.no_grad():
        state.network.get_parameter("segmentation_head.0.weight").fill_(float("nan"))
    before = {name: tensor.clone() for name, tensor in state.network.named_parameters()}
    with pytest.raises(UserError, match=r"loss is not finite in epoch 1, step 1 \(dice nan, bce nan\); lower"):
        list(rows)
    for name, parameter in state.network.named_parameters():
        assert torch.equal(parameter.nan_to_num(), before[name].nan_to_num())


def test_an_exploding_gradient_stops_and_names_the_step(settings: Params) -> None:
    state, rows, _ = start(settings)
    next(rows)
    head = state.network.get_parameter("segmentation_head.0.weight")
    head.register_hook(lambda gradient: gradient * float("inf"))
    with pytest.raises(UserError, match=r"gradient is not finite in epoch 2, step 1 \(loss 0\.\d+\); lower"):
        list(rows)


@pytest.mark.parametrize(("precision", "recorded"), [("portable", "fp32"), ("fp32", "fp32"), ("bf16", "bf16")])
def test_precision_is_what_was_asked(precision: str, recorded: str, settings: Params) -> None:
    fabric = make_fabric(change(settings, loop={"precision": precision}).loop)
    assert environment_record(fabric, 1)["precision"] == recorded


@pytest.mark.parametrize("encoder", ["tu-resnet10t", "tu-tf_efficientnet_lite0"])
def test_portable_gradients_are_those_of_torch(encoder: str, settings: Params) -> None:
    """In double precision, so that only another formula could differ."""
    settings = change(settings, network={"encoder": encoder})
    films = torch.rand(2, 1, 64, 64, dtype=torch.float64)
    gradients = []
    for change_network in (lambda network: network, make_portable):
        torch.manual_seed(1)
        network = change_network(build(settings.network).double())
        network(films).square().mean().backward()
        strided = {type(m) for m in network.modules() if isinstance(m, nn.Conv2d) and max(m.stride) > 1}
        assert not (strided & {nn.Conv2d, Conv2dSame}) or change_network is not make_portable
        gradients.append({name: p.grad for name, p in network.named_parameters() if p.grad is not None})
    plain, portable = gradients
    assert list(plain) == list(portable)
    for name in plain:
        torch.testing.assert_close(portable[name], plain[name], rtol=1e-9, atol=1e-14)


@pytest.mark.parametrize(
    ("kernel", "stride", "padding", "dilation", "groups"),
    [(3, 2, 1, 1, 1), (7, 3, 2, 1, 2), (2, 2, 0, 1, 1), (3, 2, 2, 2, 4)],
)
def test_a_strided_convolution_has_the_gradient_of_torch(
    kernel: int, stride: int, padding: int, dilation: int, groups: int
) -> None:
    layer = nn.Conv2d(4, 8, kernel, stride, padding, dilation, groups).double()
    films = torch.rand(2, 4, 23, 18, dtype=torch.float64, requires_grad=True)
    weights = torch.rand_like(layer(films))
    plain = torch.autograd.grad((layer(films) * weights).sum(), [films, *layer.parameters()])
    portable = torch.autograd.grad((make_portable(layer)(films) * weights).sum(), [films, *layer.parameters()])
    for one, other in zip(plain, portable, strict=True):
        torch.testing.assert_close(other, one)


def test_compiled_code_is_not_portable(settings: Params) -> None:
    with pytest.raises(ValidationError, match="compile makes code for the processor at hand"):
        change(settings, network={"compile": True}, loop={"precision": "portable"})
