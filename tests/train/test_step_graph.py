"""The recorded step, with a recording for the CPU in place of the GPU's; tests/train/test_gpu.py has the GPU's own."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from benchmarks import train as benchmark
from stages.common.core.errors import UserError
from stages.common.data.dataset import Films
from stages.train import state as state_module
from stages.train import step_graph
from stages.train.checkpoint import load_checkpoint, save_checkpoint
from stages.train.devices import explain_errors
from stages.train.loop import Preempted
from stages.train.loss import LOSSES, Term
from stages.train.params import Params
from stages.train.state import TrainingState
from stages.train.step_graph import Recording, Step, StepGraphs
from tests.helpers.films import squares
from tests.helpers.training import change, run, start

FILMS = [squares(10, 0), squares(4, 1)]  # 10 films in batches of 4, 3 and 3


@pytest.fixture
def settings(toy_params: dict[str, Any]) -> Params:
    """A learning rate that float32 holds exactly, as recorded steps have it."""
    loop = {"batch": 4, "epochs": 4}
    rates = {"learning_rate": 2**-9, "warmup": 0.0, "schedule": "constant"}
    return change(Params.model_validate(toy_params["train"]), loop=loop, optimiser=rates)


@pytest.fixture
def repeated(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Steps are recorded and repeated as on a GPU: recording computes nothing, and repeating reads fixed tensors only.

    Gives the films of each step that was repeated.
    """
    films: list[int] = []

    def record(step: Step, inputs: dict[str, Tensor]) -> Recording:
        measured = torch.empty(4 + len(LOSSES))

        def repeat() -> None:
            films.append(len(inputs["films"]))
            measured.copy_(step(inputs))

        return Recording(inputs, measured, repeat)

    monkeypatch.setattr(step_graph, "record", record)
    monkeypatch.setattr(step_graph, "run_aside", lambda step, inputs: step(inputs))
    monkeypatch.setattr(state_module, "make_graphs", lambda fabric, loop: StepGraphs())
    return films


def train(settings: Params) -> TrainingState:
    return run(settings, films=FILMS)


def assert_same(first: TrainingState, second: TrainingState) -> None:
    assert first.history == second.history
    for one, other in ((first.network, second.network), (first.eval_network(), second.eval_network())):
        assert all(
            torch.equal(a, b) for a, b in zip(one.state_dict().values(), other.state_dict().values(), strict=True)
        )


@pytest.mark.parametrize(
    "adaptive",
    [
        {"method": "linear", "clock": "epoch"},
        {"method": "linear", "clock": "iteration"},
        {"method": "gradnorm"},
        {"method": "uncertainty"},
    ],
    ids=lambda adaptive: "-".join(adaptive.values()),
)
def test_repeated_steps_train_the_same_network(
    adaptive: dict[str, str], settings: Params, request: pytest.FixtureRequest
) -> None:
    chosen = Params.model_validate(settings.model_dump() | {"adaptive": adaptive})
    alone = train(chosen)
    repeated = request.getfixturevalue("repeated")
    assert_same(alone, train(chosen))
    assert sorted(repeated) == [3] * 5 + [4]  # of 4 and 8 steps, the first three of each size warm up


@pytest.mark.parametrize(
    "rooms",
    [
        {"optimiser": {"ema": 0.9, "encoder_factor": 0.5, "frozen_epochs": 1}},
        {"augment": {"gamma": 0.3, "noise": 0.1, "flip_up_down": 0.5}},
    ],
    ids=lambda rooms: next(iter(rooms)),
)
def test_each_knob_reaches_a_repeated_step(
    rooms: dict[str, Any], settings: Params, request: pytest.FixtureRequest
) -> None:
    chosen = change(settings, **rooms)
    alone = train(chosen)
    request.getfixturevalue("repeated")
    assert_same(alone, train(chosen))


def test_a_scheduled_rate_differs_by_its_rounding_only(settings: Params, request: pytest.FixtureRequest) -> None:
    chosen = change(settings, optimiser={"schedule": "cosine", "warmup": 0.3, "learning_rate": 0.002})
    alone = train(chosen)
    request.getfixturevalue("repeated")
    for one, other in zip(alone.history, train(chosen).history, strict=True):
        assert one["train_loss"] == pytest.approx(other["train_loss"], rel=1e-4)


@pytest.mark.parametrize("after", [2, 8, 10])
def test_a_training_that_was_cut_goes_on_to_the_same_bits(
    after: int, settings: Params, repeated: list[int], tmp_path: Any
) -> None:
    first, rows, stop = start(settings, films=FILMS)
    stop.after = after
    with pytest.raises(Preempted):
        list(rows)
    save_checkpoint(tmp_path / "c", "x", first.snapshot())
    second, rows, _ = start(settings, films=FILMS)
    snapshot = load_checkpoint(tmp_path / "c", "x")
    assert snapshot is not None
    second.restore(snapshot)
    list(rows)
    assert_same(train(settings), second)


def test_values_are_read_several_steps_at_a_time(
    settings: Params, repeated: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    reads: list[int] = []
    whole = torch.stack

    def count(tensors: Any, *rest: Any, **named: Any) -> Tensor:
        if len(tensors) and tensors[0].shape == (4 + len(LOSSES),):
            reads.append(len(tensors))
        return whole(tensors, *rest, **named)

    many = [
        Films([str(i) for i in range(40)], *(np.concatenate([part] * 4) for part in (films.inputs, films.masks)))
        for films in FILMS[:1]
    ]
    monkeypatch.setattr(torch, "stack", count)
    run(change(settings, loop={"batch": 2, "epochs": 1}), "baseline", films=[*many, FILMS[1]])
    assert reads == [16, 4]


def spoil(after: int) -> Callable[..., Tensor]:
    """A loss that is no number from the call `after` on, in training."""
    calls = iter(range(10**6))
    return lambda logits, masks, settings, pooled: (
        (logits * 0).sum() + (float("nan") if logits.requires_grad and next(calls) >= after else 1.0)
    )


@pytest.mark.parametrize("graphs", [False, True])
def test_a_step_without_a_finite_loss_leaves_the_weights(
    graphs: bool, settings: Params, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    if graphs:
        request.getfixturevalue("repeated")
    monkeypatch.setitem(LOSSES, "bce", Term("beta", spoil(after=2)))
    state, rows, _ = start(settings, films=FILMS)
    before: list[dict[str, Tensor]] = []

    def remember(*_: Any) -> None:
        before.append({name: values.clone() for name, values in state.network.named_parameters()})

    state.optimiser.optimizer.register_step_pre_hook(remember)
    with pytest.raises(UserError, match=r"the loss is not finite in epoch 1, step 3 \(dice .*, bce nan\)"):
        list(rows)
    assert len(before) == 3
    assert all(torch.equal(values, before[2][name]) for name, values in state.network.named_parameters())
    assert not all(torch.equal(before[1][name], values) for name, values in before[2].items())
    assert len(state.measured) == 2


def test_where_there_is_no_gpu_it_is_said(settings: Params, capsys: pytest.CaptureFixture[str]) -> None:
    state, *_ = start(change(settings, loop={"cuda_graph": True, "accelerator": "cpu"}), films=FILMS)
    assert state.graphs is None
    assert "train.loop.cuda_graph has no effect: there is no GPU" in capsys.readouterr().err


def test_several_processes_take_their_steps_one_by_one(settings: Params, capsys: pytest.CaptureFixture[str]) -> None:
    fabric: Any = SimpleNamespace(device=torch.device("cuda", 0), world_size=2, is_global_zero=True)
    loop = change(settings, loop={"cuda_graph": True}).loop
    assert step_graph.make_graphs(fabric, loop) is None
    assert "cuda_graph has no effect: 2 processes exchange gradients" in capsys.readouterr().err
    fabric.world_size = 1
    assert step_graph.make_graphs(fabric, loop) == StepGraphs()


def test_what_cannot_be_recorded_is_named(settings: Params) -> None:
    expected = (
        r"train\.loop\.cuda_graph: Unet with .* cannot record: CUDA error: operation not permitted.*set it to false"
    )
    with pytest.raises(UserError, match=expected), explain_errors(settings.network, 4, (10, 1, 64, 64)):
        raise RuntimeError("CUDA error: operation not permitted when stream is capturing")


def test_compile_and_graph_are_refused_together(settings: Params) -> None:
    with pytest.raises(ValueError, match=r"network\.compile and loop\.cuda_graph"):
        change(settings, network={"compile": True}, loop={"cuda_graph": True, "precision": "fp32"})


@pytest.mark.slow
def test_the_benchmark_of_the_goal_repeats_steps_of_8_films(
    repeated: list[int], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(benchmark, "ROUNDS", 1)
    benchmark.goal(16, 32)
    assert repeated == [8, 8]  # epochs of two steps, in the run that is to be recorded and in the other: one each
    first, second = capsys.readouterr().out.splitlines()
    assert first.startswith("CUDA graph ")
    assert second.startswith("resnet18, 32 x 32, batch 8: ")
