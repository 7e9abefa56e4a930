from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from stages.common.dataset import Films
from stages.common.errors import Fault
from stages.train.__main__ import main, resume, save_checkpoint
from stages.train.loop import State, begin, epochs, make_fabric
from stages.train.params import Params
from tests.conftest import merge


def films(n: int, seed: int) -> Films:
    """Dark films with one bright square each: what a network must be able to learn."""
    rng = np.random.default_rng(seed)
    images, masks = rng.integers(0, 90, (n, 32, 32), dtype=np.uint8), np.zeros((n, 32, 32), bool)
    for image, mask in zip(images, masks, strict=True):
        y, x = rng.integers(2, 18, 2)
        mask[y : y + 12, x : x + 12] = True
        image[mask] = rng.integers(160, 255, 144)
    return Films([f"f{i}" for i in range(n)], images, masks)


TRAIN, VALIDATION = films(8, 0), films(4, 1)


@pytest.fixture
def settings(toy_params: dict[str, Any]) -> Params:
    return Params.model_validate(toy_params["train"])


def change(settings: Params, **loop: object) -> Params:
    return Params.model_validate(merge(settings.model_dump(), {"loop": loop}))


def run(settings: Params, stop: int | None = None, checkpoint: Path | None = None, variant: str = "adaptive") -> State:
    fabric = make_fabric(settings)
    state = begin(fabric, settings, len(TRAIN.ids))
    if checkpoint is not None:
        resume(state, checkpoint)
    for _ in epochs(fabric, state, TRAIN, VALIDATION, settings, getattr(settings, variant)):
        if checkpoint is not None:
            save_checkpoint(checkpoint, state)
        if state.epoch == stop:
            break
    return state


def weights(state: State) -> dict[str, torch.Tensor]:
    return state.network.state_dict()


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(a[name], b[name]) for name in a)


def test_it_can_learn_at_all(settings: Params) -> None:
    state = run(change(settings, epochs=25, learning_rate=0.01))
    assert state.history[0]["validation_dice"] < 0.6
    assert max(row["validation_dice"] for row in state.history) > 0.9
    assert state.history[-1]["train_loss"] < 0.5 * state.history[0]["train_loss"]


def test_the_same_seed_gives_the_same_bits_and_another_does_not(settings: Params) -> None:
    first, second = run(settings), run(settings)
    assert same(weights(first), weights(second))
    assert first.history == second.history
    assert not same(weights(first), weights(run(change(settings, seed=2))))


def test_a_run_that_was_cut_goes_on_to_the_same_bits(settings: Params, tmp_path: Path) -> None:
    longer = change(settings, epochs=4)
    whole = run(longer)
    run(longer, stop=2, checkpoint=tmp_path / "c.ckpt")
    rest = run(longer, checkpoint=tmp_path / "c.ckpt")
    assert same(weights(whole), weights(rest))
    assert same(whole.best, rest.best)
    assert whole.history == rest.history


def test_a_damaged_checkpoint_is_said(settings: Params, tmp_path: Path) -> None:
    (tmp_path / "c.ckpt").write_bytes(b"nonsense")
    with pytest.raises(Fault, match=r"c\.ckpt: expected a checkpoint.*delete the file"):
        run(settings, checkpoint=tmp_path / "c.ckpt")


def test_both_variants_start_from_the_same_weights_and_see_the_same_films(settings: Params) -> None:
    fixed = settings.model_copy(update={"adaptive": settings.baseline})
    assert same(weights(run(fixed, variant="adaptive")), weights(run(settings, variant="baseline")))
    # and only the weights make the difference
    assert not same(weights(run(settings)), weights(run(settings, variant="baseline")))


def test_history_holds_the_weights_in_force(settings: Params) -> None:
    history = run(change(settings, epochs=4)).history
    assert [row["alpha"] for row in history] == pytest.approx([0.3, 0.4, 0.5, 0.6])
    assert [row["beta"] for row in history] == pytest.approx([0.7, 0.6, 0.5, 0.4])
    for row in history:
        for side in ("train", "validation"):
            total = row["alpha"] * row[f"{side}_dice_loss"] + row["beta"] * row[f"{side}_bce_loss"]
            assert row[f"{side}_loss"] == pytest.approx(total, rel=1e-5)


def test_the_best_epoch_is_kept_and_the_first_of_equals(settings: Params) -> None:
    state = run(change(settings, epochs=6, learning_rate=0.01))
    scores = [row["validation_dice"] for row in state.history]
    again = run(change(settings, epochs=6, learning_rate=0.01), stop=1 + scores.index(max(scores)))
    assert same(state.best, {k.removeprefix("_forward_module."): v for k, v in weights(again).items()})


def test_a_loss_that_is_no_number_stops_with_a_sentence(settings: Params) -> None:
    poisoned = change(settings, learning_rate=1.0, weight_decay=0.0, epochs=30)
    fabric = make_fabric(poisoned)
    state = begin(fabric, poisoned, len(TRAIN.ids))
    with torch.no_grad():
        next(iter(state.network.parameters())).fill_(float("nan"))
    with pytest.raises(Fault, match="loss is not finite in epoch 0"):
        list(epochs(fabric, state, TRAIN, VALIDATION, poisoned, poisoned.adaptive))


@pytest.mark.parametrize(("precision", "said"), [("fp32", "32-true"), ("bf16", "bf16-mixed")])
def test_precision_is_what_was_asked(precision: str, said: str, settings: Params) -> None:
    assert make_fabric(change(settings, precision=precision))._precision.precision == said


def test_an_unknown_variant_is_said(settings: Params) -> None:
    with pytest.raises(Fault, match="expected one of baseline, adaptive"):
        main(settings, "adaptiv")
