import json
import math
import re
from typing import Any, get_args

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from stages.train.params import Constant, LossWeights, Method, Ramp, Ramped, read_weights
from stages.train.weighting import WEIGHTINGS, Losses, Weighting, linear, make_weighting
from tests.helpers.paths import ROOT

EPOCHS, STEPS = 8, 5
OPEN = {"alpha": {"start": 0.2, "end": 0.8}, "beta": {"start": 0.1, "end": 0.9}}
START = {"alpha": 0.2, "beta": 0.9}
KINDS: dict[str, type[Method]] = {kind.model_fields["method"].default: kind for kind in WEIGHTINGS}
METHODS = sorted(KINDS)
CLOCKED = sorted(name for name, kind in KINDS.items() if "clock" in kind.model_fields)
SCHEDULES = ["linear", "reversed", "cosine", "exponential"]


def settings(method: str, **more: Any) -> Method:
    ends = OPEN if issubclass(KINDS[method], Ramped) else START if issubclass(KINDS[method], Constant) else {}
    return read_weights({"method": method, **ends, **more})


def made(method: str, epochs: int = EPOCHS, seed: int = 0, **more: Any) -> tuple[Weighting[Any], bool]:
    return make_weighting(settings(method, **more), epochs, STEPS, seed)


def losses(k: int) -> Losses:
    """Two falling losses with a little noise, and the norms of their gradients."""
    noise = np.random.default_rng(k).random(2) * 0.05
    return Losses((0.9 * 0.9**k + noise[0], 0.5 * 0.7**k + noise[1]), (0.1 * 0.9**k, 0.3 * 0.8**k))


def run(weighting: Weighting[Any], times: list[float], first: int = 0) -> list[tuple[float, float]]:
    return [weighting.weights(t, losses(first + k - 1) if first + k else None) for k, t in enumerate(times)]


def times(by_iteration: bool) -> list[float]:
    ticks = EPOCHS * STEPS if by_iteration else EPOCHS
    return [k * EPOCHS / ticks for k in range(ticks)]


# What holds of every weighting.


@pytest.mark.parametrize(
    ("method", "knobs"),
    [(name, {}) for name in METHODS]
    + [(name, {"clock": clock}) for name in CLOCKED for clock in ("epoch", "iteration")],
)
def test_weights_are_finite_not_negative_and_not_both_zero(method: str, knobs: dict[str, Any]) -> None:
    weighting, by_iteration = made(method, **knobs)
    for alpha, beta in run(weighting, times(by_iteration)):
        assert math.isfinite(alpha + beta)
        assert alpha >= 0
        assert beta >= 0
        assert alpha + beta > 0


@pytest.mark.parametrize("method", METHODS)
def test_a_weighting_that_is_taken_up_again_gives_the_same_weights(method: str) -> None:
    whole, by_iteration = made(method)
    moments = times(by_iteration)
    expected = run(whole, moments)
    first, second = made(method)[0], made(method)[0]
    cut = len(moments) // 2
    found = run(first, moments[:cut])
    second.restore(json.loads(json.dumps(first.state())))  # through JSON, as in a checkpoint
    assert found + run(second, moments[cut:], cut) == expected


@pytest.mark.parametrize("method", METHODS)
def test_losses_of_zero_and_of_thousands_break_nothing(method: str) -> None:
    weighting, _ = made(method)
    for k, values in enumerate([None, (0.0, 0.0), (0.0, 0.0), (1e4, 0.0), (0.0, 1e4), (1e-30, 1e-30)]):
        alpha, beta = weighting.weights(k * 0.2, values and Losses(values, values))
        assert math.isfinite(alpha + beta)
        assert alpha + beta > 0


def test_the_clock_is_the_published_one_or_the_asked_one() -> None:
    assert [method for method in METHODS if made(method)[1]] == ["gradnorm", "random", "relobralo", "uncertainty"]
    assert all(made(method, clock="iteration")[1] for method in CLOCKED)
    assert not any(made(method, clock="epoch")[1] for method in CLOCKED)
    assert set(METHODS) - set(CLOCKED) == {"fixed"}


# The schedules.


@pytest.mark.parametrize("reading", ["as_printed", "start_to_end"])
@pytest.mark.parametrize("method", SCHEDULES)
def test_schedules_meet_their_ends(method: str, reading: str) -> None:
    schedule = made(method, beta_reading=reading)[0]
    ends = [(0.2, 0.9), (0.8, 0.1)] if reading == "as_printed" else [(0.2, 0.1), (0.8, 0.9)]
    if method == "reversed":
        ends.reverse()
    assert schedule.weights(0, None) == pytest.approx(ends[0])
    assert schedule.weights(EPOCHS, None) == pytest.approx(ends[1])


@pytest.mark.parametrize("method", SCHEDULES)
@given(st.floats(0, 1), st.floats(0, 1))
def test_schedules_run_one_way_and_stay_between_their_ends(method: str, a: float, b: float) -> None:
    early, late = sorted((a, b))
    schedule = made(method)[0]
    before, after = (schedule.weights(share * EPOCHS, None)[0] for share in (early, late))
    assert min(before, after) >= 0.2 - 1e-12
    assert max(before, after) <= 0.8 + 1e-12
    assert (before >= after - 1e-12) if method == "reversed" else (before <= after + 1e-12)


def test_cosine_and_exponential_by_hand() -> None:
    # halfway the cosine is halfway; at a third it has gone (1 - cos 60) / 2 = 1/4 of the way
    assert made("cosine", 6)[0].weights(3, None)[0] == pytest.approx(0.5)
    assert made("cosine", 6)[0].weights(2, None)[0] == pytest.approx(0.2 + 0.6 / 4)
    # halfway, rate 3: (1 - e^-1.5) / (1 - e^-3)
    way = (1 - math.exp(-1.5)) / (1 - math.exp(-3))
    assert made("exponential", 6)[0].weights(3, None) == pytest.approx((0.2 + 0.6 * way, 0.9 - 0.8 * way))


@pytest.mark.parametrize(("t", "total"), [(-1, 4), (5, 4), (0, 0)])
def test_times_outside_training_are_refused(t: int, total: int) -> None:
    with pytest.raises(ValueError, match="expected 0 <= t"):
        linear(t, total, Ramped())


def test_fixed_stands_still() -> None:
    assert set(run(made("fixed")[0], times(False))) == {(0.2, 0.9)}


def test_a_linear_schedule_whose_start_is_its_end_is_fixed() -> None:
    still = Ramp(start=0.3, end=0.3)
    schedule = make_weighting(settings("linear").model_copy(update={"alpha": still, "beta": still}), 9, 1, 0)[0]
    assert {schedule.weights(t, None) for t in range(10)} == {(0.3, 0.3)}


def test_time_mean_has_the_ratio_that_the_schedule_has_on_average() -> None:
    scheduled = np.array(run(made("linear")[0], times(False)))
    (fixed,) = set(run(made("time_mean")[0], times(False)))
    assert fixed[0] / sum(fixed) == pytest.approx((scheduled[:, 0] / scheduled.sum(axis=1)).mean())
    assert sum(fixed) == pytest.approx(scheduled.sum(axis=1).mean())


@pytest.mark.parametrize("clock", ["epoch", "iteration"])
def test_shuffled_has_the_values_of_the_schedule_in_another_order_that_the_seed_decides(clock: str) -> None:
    moments = times(clock == "iteration")
    scheduled = run(made("linear", clock=clock)[0], moments)
    shuffled = run(made("shuffled", clock=clock)[0], moments)
    assert shuffled != scheduled
    np.testing.assert_allclose(sorted(shuffled), sorted(scheduled))
    assert run(made("shuffled", clock=clock)[0], moments) == shuffled
    assert run(made("shuffled", seed=1, clock=clock)[0], moments) != shuffled


def test_steal_by_hand() -> None:
    # from (0.2, 0.9), 0.1 to Dice per epoch; BCE stops at the floor, Dice goes on
    thief = made("steal", step=0.1, floor=0.5)[0]
    assert np.array(run(thief, [0, 1, 4, 6])) == pytest.approx(
        np.array([(0.2, 0.9), (0.3, 0.8), (0.6, 0.5), (0.8, 0.5)])
    )
    back = made("steal", step=-0.1, floor=0.1)[0]
    assert np.array(run(back, [0, 1, 2])) == pytest.approx(np.array([(0.2, 0.9), (0.1, 1.0), (0.1, 1.1)]))


def test_steal_never_raises_a_weight_that_starts_below_the_floor() -> None:
    assert made("steal", step=-0.1, floor=0.5)[0].weights(1, None)[0] == pytest.approx(0.2)


# The adaptive ones, by hand or against their definition.


def test_dwa_by_hand() -> None:
    weighting = made("dwa")[0]
    assert weighting.weights(0, None) == (1, 1)
    assert weighting.weights(1, Losses((0.8, 0.4))) == (1, 1)
    # r = (0.6 / 0.8, 0.1 / 0.4) = (0.75, 0.25); exponents over T = 2: 0.375 and 0.125
    share = math.exp(0.375) / (math.exp(0.375) + math.exp(0.125))
    assert weighting.weights(2, Losses((0.6, 0.1))) == pytest.approx((2 * share, 2 * (1 - share)))


@pytest.mark.parametrize("variant", ["original", "normalised", "loss_weighted"])
def test_softadapt_by_hand(variant: str) -> None:
    weighting = made("softadapt", variant=variant, beta=2.0)[0]
    weighting.weights(0, None)
    weighting.weights(1, Losses((0.8, 0.4)))
    slopes = np.array([-0.2, -0.3]) / (0.5 if variant == "normalised" else 1)
    powers = np.exp(2 * slopes) * (np.array([0.6, 0.1]) if variant == "loss_weighted" else 1)
    assert weighting.weights(2, Losses((0.6, 0.1))) == pytest.approx(tuple(powers / powers.sum()))


@pytest.mark.parametrize("lookback", [0.0, 1.0])
def test_relobralo_by_hand(lookback: float) -> None:
    knobs: dict[str, Any] = {"temperature": 0.5, "decay": 0.6, "lookback": lookback}
    weighting = made("relobralo", **knobs)[0]
    seen = [np.array(values) for values in ((0.8, 0.4), (0.6, 0.1), (0.5, 0.2))]

    def balance(now: np.ndarray, earlier: np.ndarray) -> np.ndarray:
        powers = np.exp(now / (0.5 * earlier))
        return np.asarray(2 * powers / powers.sum())

    assert weighting.weights(0, None) == (1, 1)
    assert weighting.weights(0.2, Losses((0.8, 0.4))) == (1, 1)
    expected = np.ones(2)
    for k in (1, 2):
        past = expected if lookback else balance(seen[k], seen[0])
        expected = 0.6 * past + 0.4 * balance(seen[k], seen[k - 1])
        found = weighting.weights(0.2 * (k + 1), Losses((float(seen[k][0]), float(seen[k][1]))))
        assert found == pytest.approx(tuple(expected))


def test_relobralo_looks_back_as_often_as_asked() -> None:
    weighting = made("relobralo", 400, lookback=0.9)[0]
    stays = [weighting.drawn(k / STEPS).random() < 0.9 for k in range(2000)]
    assert np.mean(stays) == pytest.approx(0.9, abs=0.02)


def test_uncertainty_is_what_joint_training_of_the_variances_gives() -> None:
    weighting = made("uncertainty", learning_rate=0.05)[0]
    logs = torch.full((2,), -0.5, dtype=torch.float64, requires_grad=True)
    adam = torch.optim.Adam([logs], 0.05)
    for k in range(20):
        found = weighting.weights(k / STEPS, losses(k - 1) if k else None)
        assert found == pytest.approx(tuple((torch.exp(-logs) / 2).tolist()))
        # Kendall's total, through autograd
        values = torch.tensor(losses(k).values, dtype=torch.float64)
        adam.zero_grad()
        (values / (2 * torch.exp(logs)) + logs / 2).sum().backward()
        adam.step()


def test_gradnorm_is_what_autograd_of_its_loss_gives() -> None:
    weighting = made("gradnorm", learning_rate=0.05, power=1.5)[0]
    numbers = torch.ones(2, dtype=torch.float64, requires_grad=True)
    adam = torch.optim.Adam([numbers], 0.05)
    first = torch.tensor(losses(0).values, dtype=torch.float64)
    for k in range(20):
        found = weighting.weights(k / STEPS, losses(k - 1) if k else None)
        assert found == pytest.approx(tuple(numbers.tolist()))
        seen = losses(k)
        rates = torch.tensor(seen.values, dtype=torch.float64) / first
        sizes = numbers * torch.tensor(seen.norms, dtype=torch.float64)
        wanted = (sizes.mean() * (rates / rates.mean()) ** 1.5).detach()
        adam.zero_grad()
        (sizes - wanted).abs().sum().backward()
        adam.step()
        with torch.no_grad():
            numbers *= 2 / numbers.sum()


def test_gradnorm_takes_no_weight_below_zero_however_fast_it_learns() -> None:
    weighting = made("gradnorm", learning_rate=0.9)[0]
    weighting.weights(0, None)
    for k in range(1, 20):  # the first loss has all of the gradient
        alpha, beta = weighting.weights(k / STEPS, Losses((0.5, 0.5), (100.0, 0.001)))
        assert 0 < alpha < beta < 2


def test_gradnorm_evens_out_gradients_of_losses_that_fall_alike() -> None:
    weighting = made("gradnorm", 400)[0]
    weighting.weights(0, None)
    for k in range(1, 2000):
        alpha, beta = weighting.weights(k / STEPS, Losses((0.5, 0.5), (0.3, 0.1)))
    assert alpha * 0.3 == pytest.approx(beta * 0.1, rel=0.1)


def test_gradnorm_favours_the_loss_that_lags_and_the_more_the_higher_its_power() -> None:
    found = []
    for power in (0.0, 1.5, 3.0):
        weighting = made("gradnorm", 400, power=power)[0]
        weighting.weights(0, None)
        weighting.weights(0.2, Losses((1.0, 1.0), (0.2, 0.2)))
        for k in range(2, 2000):  # Dice fell to 0.9 of its first value, BCE to 0.6; the rates are 1.2 and 0.8
            alpha, beta = weighting.weights(k / STEPS, Losses((0.9, 0.6), (0.2, 0.2)))
        found.append(alpha / beta)
    # at rest w_i is mean(G) r_i^power / |grad|, up to the sum of 2
    assert found[0] == pytest.approx(1, rel=0.1)
    assert found[1] > 1.3
    assert found[2] > found[1]


def test_random_weights_sum_to_one_and_follow_from_seed_and_tick() -> None:
    found = run(made("random")[0], times(True))
    assert [alpha + beta for alpha, beta in found] == pytest.approx([1.0] * len(found))
    assert len(set(found)) == len(found)
    assert run(made("random")[0], times(True)) == found
    assert run(made("random", seed=1)[0], times(True)) != found
    # softmax of two standard normal numbers: half the time above a half
    assert np.mean([alpha > 0.5 for alpha, _ in found]) == pytest.approx(0.5, abs=0.25)


# What params.yaml may and may not ask.

CHANGED = {
    "clock": {"clock": "iteration"},
    "normalise": {"normalise": True},
    "alpha": {"alpha": 0.6},
    "beta": {"beta": 0.6},
    "beta_reading": {"beta_reading": "start_to_end"},
    "rate": {"rate": 1.0},
    "step": {"step": 0.1},
    "floor": {"floor": 0.75},
    "learning_rate": {"learning_rate": 0.5},
    "temperature": {"temperature": 1.0},
    "variant": {"variant": "loss_weighted"},
    "decay": {"decay": 0.5},
    "lookback": {"lookback": 0.0},
    "power": {"power": 3.0},
}
KEYS = [(name, key) for name, kind in KINDS.items() for key in kind.model_fields if key != "method"]


@pytest.mark.parametrize(("method", "key"), KEYS, ids=[".".join(pair) for pair in KEYS])
def test_a_method_has_no_key_that_changes_nothing(method: str, key: str) -> None:
    change = CHANGED[key]
    if key in ("alpha", "beta") and issubclass(KINDS[method], Ramped):
        change = {key: {"start": 0.6, "end": 0.4}}
    if key == "clock" and made(method)[1]:
        change = {key: "epoch"}
    base = {"step": -0.1} if key == "floor" else {}
    assert by_epoch(made(method, **base)) != pytest.approx(by_epoch(made(method, **base | change)), abs=1e-9)


def by_epoch(of: tuple[Weighting[Any], bool]) -> list[float]:
    """alpha and beta of every epoch, means over its ticks, under losses that fall unevenly."""
    weighting, by_iteration = of
    moments = times(by_iteration)
    found = [weighting.in_force(t, losses(k - 1) if k else None) for k, t in enumerate(moments)]
    return [float(mean) for mean in np.array(found).reshape(EPOCHS, -1, 2).mean(axis=1).ravel()]


@pytest.mark.parametrize("method", METHODS)
def test_a_methods_name_alone_stands_for_its_defaults(method: str) -> None:
    assert read_weights(method) == read_weights({"method": method}) == KINDS[method]()


def test_every_method_of_params_has_its_weighting() -> None:
    (union, *_) = get_args(LossWeights)
    assert set(get_args(union)) == set(WEIGHTINGS)


def test_the_documentation_has_every_method_with_its_clock() -> None:
    page = (ROOT / "docs/reference/weightings-and-losses.md").read_text()
    rows = re.findall(r"^\| `(\w+)` \|.*\| (epoch|iteration) \|", page, re.MULTILINE)
    assert dict(rows) == {name: WEIGHTINGS[kind].clock for name, kind in KINDS.items()}


@pytest.mark.parametrize(
    ("method", "alpha", "beta", "when"),
    [
        ("linear", (0.0, 0.5), (0.5, 0.0), "the start"),  # as printed, beta starts at beta.end
        ("linear", (0.5, 0.0), (0.0, 0.5), "the end"),
    ],
)
def test_a_moment_without_any_loss_is_refused(
    method: str, alpha: tuple[float, float], beta: tuple[float, float], when: str
) -> None:
    ramps = {name: {"start": ends[0], "end": ends[1]} for name, ends in (("alpha", alpha), ("beta", beta))}
    with pytest.raises(ValueError, match=f"at {when} both weights are 0"):
        settings(method, **ramps)


@pytest.mark.parametrize("method", ["fixed", "steal"])
def test_two_weights_of_zero_are_refused(method: str) -> None:
    with pytest.raises(ValueError, match="both weights are 0"):
        settings(method, alpha=0.0, beta=0.0)


def test_an_unknown_method_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match="'relobralo'"):
        read_weights("linaer")
