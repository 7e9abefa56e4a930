"""How alpha (Dice) and beta (BCE) move during training: the paper's linear weights, and what to compare them with.

Every weighting answers one question, `weights(t, losses) -> alpha, beta`, at each tick of its clock: once an epoch or
once an iteration. To add one: a class of params.py with its name and keys, a class here, their pair in WEIGHTINGS.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, Literal, TypeVar

import numpy as np
import torch

from stages.train import params

Pair = tuple[float, float]
EPSILON = 1e-12  # what keeps a ratio of losses defined where the earlier one is 0


@dataclass(frozen=True)
class Losses:
    """Unweighted (Dice, BCE) since the last tick: their means, and the norms of their gradients in the last layer.

    Norms are there for weightings that ask for them, and (0, 0) else.
    """

    values: Pair
    norms: Pair = (0.0, 0.0)


Settings = TypeVar("Settings", bound=params.Method)
RampSettings = TypeVar("RampSettings", bound=params.Ramped)


class Weighting(Generic[Settings]):
    """One way to choose alpha and beta.

    Args:
        settings: the section `train.<variant>`.
        total: epochs in all, > 0.
        ticks: ticks in all, > 0: as many as epochs, or as iterations.
        seed: of the training; random weightings derive their numbers from (seed, tick).
    """

    clock: ClassVar[Literal["epoch", "iteration"]] = "epoch"  # what its authors count
    asks_norms: ClassVar[bool] = False

    def __init__(self, settings: Settings, total: float, ticks: int, seed: int) -> None:
        self.settings, self.total, self.ticks, self.seed = settings, total, ticks, seed

    def weights(self, t: float, losses: Losses | None) -> Pair:
        """alpha and beta from time `t` on, both finite and >= 0.

        Args:
            t: epochs completed, 0 <= t <= total, with a fraction where the clock counts iterations.
            losses: of the last tick; None at the first.
        """
        raise NotImplementedError

    def in_force(self, t: float, losses: Losses | None) -> Pair:
        """`weights`, divided by their sum where `normalise` says so."""
        alpha, beta = self.weights(t, losses)
        scale = alpha + beta if isinstance(self.settings, params.Scaled) and self.settings.normalise else 1.0
        return alpha / scale, beta / scale

    def state(self) -> dict[str, Any]:
        """What the next answer depends on besides `t` and `losses`, as plain JSON values."""
        return {}

    def restore(self, state: dict[str, Any]) -> None:
        """Take up what `state` returned."""

    def tick(self, t: float) -> int:
        return round(t / self.total * self.ticks)

    def drawn(self, t: float) -> np.random.Generator:
        return np.random.default_rng([self.seed, self.tick(t)])


def linear(
    t: float, total: float, settings: params.Ramped, warp: Callable[[float], float] = lambda share: share
) -> Pair:
    """The paper's equation 3: alpha(t) = alpha.start + (alpha.end - alpha.start) t / total.

    As printed, beta runs the other way: beta(t) = beta.start + (beta.end - beta.start) (total - t) / total, so
    beta(0) = beta.end and beta(total) = beta.start. `beta_reading: start_to_end` reads the names in time, like alpha's.

    Args:
        t: epochs completed, 0 <= t <= total. (Counted from 0 as callbacks of the paper's framework do, so that the
            last epoch trains with t = total - 1.)
        total: epochs in all, > 0.
        warp: share of the time to share of the way, 0..1 to 0..1.
    Raises:
        ValueError: t lies outside 0..total.
    """
    if not 0 <= t <= total or total <= 0:
        raise ValueError(f"expected 0 <= t <= total and total > 0, found t = {t}, total = {total}")
    alpha, (first, last), share = settings.alpha, settings.betas, warp(t / total)
    return alpha.start + (alpha.end - alpha.start) * share, first + (last - first) * share


class Fixed(Weighting[params.Fixed]):
    """alpha and beta throughout: the paper's baseline."""

    def weights(self, t: float, losses: Losses | None) -> Pair:
        return self.settings.alpha, self.settings.beta


class Linear(Weighting[params.Linear]):
    """The paper's adaptive weights (equation 3)."""

    def weights(self, t: float, losses: Losses | None) -> Pair:
        return linear(t, self.total, self.settings)


class Reversed(Weighting[params.Reversed]):
    """Equation 3 run backwards in time: does the direction matter?"""

    def weights(self, t: float, losses: Losses | None) -> Pair:
        return linear(t, self.total, self.settings, lambda share: 1 - share)


class Cosine(Weighting[params.Cosine]):
    """Equation 3 with (1 - cos(pi t / total)) / 2 in place of t / total: slow at both ends."""

    def weights(self, t: float, losses: Losses | None) -> Pair:
        return linear(t, self.total, self.settings, lambda share: (1 - math.cos(math.pi * share)) / 2)


class Exponential(Weighting[params.Exponential]):
    """Equation 3 with (1 - exp(-k t / total)) / (1 - exp(-k)) in place of t / total, k = `rate`: fast at first.

    The authors' later paper (JADS 6(4), 2025, doi 10.47738/jads.v6i4.952) names exponential weights. Its formula was
    not at hand: this one, which meets both ends, is ours.
    """

    def weights(self, t: float, losses: Losses | None) -> Pair:
        rate = self.settings.rate
        return linear(t, self.total, self.settings, lambda share: math.expm1(-rate * share) / math.expm1(-rate))


class Steal(Weighting[params.Steal]):
    """From `alpha` and `beta`, each tick moves `step` from BCE to Dice (below 0: from Dice to BCE).

    The loser stops at `floor`, the winner goes on, as in Kervadec et al.'s boundary loss (MIDL 2019), whose
    code takes 0.01 per epoch from the region loss, down to 0.1.
    """

    def weights(self, t: float, losses: Losses | None) -> Pair:
        moved = self.settings.step * self.tick(t)
        return self.after(self.settings.alpha, moved), self.after(self.settings.beta, -moved)

    def after(self, weight: float, gain: float) -> float:
        return weight + gain if gain >= 0 else max(min(weight, self.settings.floor), weight + gain)


class Tabled(Weighting[RampSettings]):
    """Weightings made of the linear schedule's values at all its ticks, float64 (ticks, 2)."""

    def __init__(self, settings: RampSettings, total: float, ticks: int, seed: int) -> None:
        super().__init__(settings, total, ticks, seed)
        self.values = np.array([linear(float(t), total, settings) for t in np.arange(ticks) * total / ticks])


class TimeMean(Tabled[params.TimeMean]):
    """The linear schedule's mean alpha / (alpha + beta) over its ticks, held fixed.

    The control that tells whether *scheduling* matters, or only its average.
    """

    def weights(self, t: float, losses: Losses | None) -> Pair:
        sums = self.values.sum(axis=1)
        ratio, scale = float((self.values[:, 0] / sums).mean()), float(sums.mean())
        return ratio * scale, (1 - ratio) * scale


class Shuffled(Tabled[params.Shuffled]):
    """The linear schedule's values in random order: the control that tells whether the *order* matters."""

    def __init__(self, settings: params.Shuffled, total: float, ticks: int, seed: int) -> None:
        super().__init__(settings, total, ticks, seed)
        self.values = np.random.default_rng(seed).permutation(self.values)

    def weights(self, t: float, losses: Losses | None) -> Pair:
        return pair(self.values[min(self.tick(t), self.ticks - 1)])


class Random(Weighting[params.Random]):
    """softmax of two standard normal numbers, anew each tick: the null that any adaptive claim has to beat.

    Random Loss Weighting, Lin et al., TMLR 2022.
    """

    clock = "iteration"

    def weights(self, t: float, losses: Losses | None) -> Pair:
        return pair(softmax(self.drawn(t).standard_normal(2)))


class Remembering(Weighting[Settings]):
    """Weightings that compare losses with earlier ones."""

    def __init__(self, settings: Settings, total: float, ticks: int, seed: int) -> None:
        super().__init__(settings, total, ticks, seed)
        self.past: list[list[float]] = []  # losses of the first and of the last ticks, oldest first
        self.last: list[float] = [1.0, 1.0]

    def state(self) -> dict[str, Any]:
        return {"past": self.past, "last": self.last}

    def restore(self, state: dict[str, Any]) -> None:
        self.past, self.last = state["past"], state["last"]

    def remember(self, losses: Losses) -> None:
        """Keep the losses of the first tick and of the last two."""
        self.past = [*self.past[:1], *self.past[1:][-1:], list(losses.values)]


class Dwa(Remembering[params.Dwa]):
    """w = 2 softmax(r / temperature) with r = L(t - 1) / L(t - 2), and 1 for the first two ticks.

    Dynamic Weight Average, Liu, Johns and Davison, CVPR 2019, equation 7.
    """

    def weights(self, t: float, losses: Losses | None) -> Pair:
        if losses is not None:
            self.remember(losses)
        if len(self.past) < 2:
            return 1.0, 1.0
        before, now = np.array(self.past[-2:])
        return pair(2 * softmax(now / (before + EPSILON) / self.settings.temperature))


class SoftAdapt(Remembering[params.SoftAdapt]):
    """w = softmax(beta s) with s = L(t - 1) - L(t - 2), and 1/2 for the first two ticks.

    `normalised` divides s by the sum of its sizes; `loss_weighted` multiplies each exponential by its last loss.
    Heydari, Thompson and Mehmood, arXiv 1912.12355, with the one-step difference as rate of change.
    """

    def weights(self, t: float, losses: Losses | None) -> Pair:
        if losses is not None:
            self.remember(losses)
        if len(self.past) < 2:
            return 0.5, 0.5
        before, now = np.array(self.past[-2:])
        slopes, settings = now - before, self.settings
        if settings.variant == "normalised":
            slopes = slopes / (np.abs(slopes).sum() + EPSILON)
        weights = softmax(settings.beta * slopes)
        if settings.variant == "loss_weighted":
            weights = weights * now / ((weights * now).sum() + EPSILON)
        return pair(weights)


class Relobralo(Remembering[params.Relobralo]):
    """w(t) = decay (rho w(t - 1) + (1 - rho) b(t, 0)) + (1 - decay) b(t, t - 1), b(t, s) = 2 softmax(L(t) / (T L(s))).

    rho is 1 with probability `lookback` and 0 else, drawn at each tick; T is the temperature. Relative Loss Balancing
    with Random Lookback, Bischof and Kraus, arXiv 2110.09813, with the values of the authors' code.
    """

    clock = "iteration"

    def weights(self, t: float, losses: Losses | None) -> Pair:
        if losses is not None:
            self.remember(losses)
        if len(self.past) < 2:
            return 1.0, 1.0
        first, before, now = (np.array(self.past[i]) for i in (0, -2, -1))
        settings = self.settings

        def balance(earlier: np.ndarray) -> np.ndarray:
            return 2 * softmax(now / (settings.temperature * (earlier + EPSILON)))

        stay = float(self.drawn(t).random() < settings.lookback)
        history = stay * np.array(self.last) + (1 - stay) * balance(first)
        weights = settings.decay * history + (1 - settings.decay) * balance(before)
        self.last = weights.tolist()
        return pair(weights)


class Learned(Weighting[Settings]):
    """Weightings that follow from two numbers, moved by Adam against a gradient that is known in closed form."""

    clock = "iteration"
    initial: ClassVar[float]

    def __init__(self, settings: Settings, total: float, ticks: int, seed: int) -> None:
        super().__init__(settings, total, ticks, seed)
        self.numbers = torch.full((2,), self.initial, dtype=torch.float64, requires_grad=True)
        self.adam = torch.optim.Adam([self.numbers], self.learning_rate())

    def learning_rate(self) -> float:
        raise NotImplementedError

    def step(self, gradient: np.ndarray) -> None:
        self.numbers.grad = torch.from_numpy(gradient)
        self.adam.step()

    def state(self) -> dict[str, Any]:
        moments = {name: value.tolist() for name, value in self.adam.state.get(self.numbers, {}).items()}
        return {"numbers": self.numbers.tolist(), "moments": moments}

    def restore(self, state: dict[str, Any]) -> None:
        with torch.no_grad():
            self.numbers.copy_(torch.tensor(state["numbers"], dtype=torch.float64))
        dtypes = {"step": torch.float32}
        self.adam.state[self.numbers] = {
            name: torch.tensor(value, dtype=dtypes.get(name, torch.float64)) for name, value in state["moments"].items()
        }


class Uncertainty(Learned[params.Uncertainty]):
    """w = exp(-s) / 2, with s learnt together with the network from sum(w L + s / 2); s starts at -0.5.

    Kendall, Gal and Cipolla, CVPR 2018, with s = log sigma^2 and the regression form for both losses, as multi-task
    libraries have it. The gradient in s, (1 - L exp(-s)) / 2, needs no backward pass.
    """

    initial = -0.5

    def learning_rate(self) -> float:
        return self.settings.learning_rate

    def weights(self, t: float, losses: Losses | None) -> Pair:
        if losses is not None:
            self.step((1 - np.array(losses.values) * np.exp(-self.numbers.detach().numpy())) / 2)
        return pair(np.exp(-self.numbers.detach().numpy()) / 2)


class GradNorm(Learned[params.GradNorm]):
    """Weights that bring w_i |grad L_i| to their mean times (relative training rate)^power; they sum to 2.

    Chen et al., ICML 2018: with G_i = w_i |grad L_i| in the last shared layer (here the one that makes the logits) and
    r_i = (L_i / L_i(0)) / mean, the weights descend on sum |G_i - mean(G) r_i^power|, the target held constant.
    """

    initial = 1.0
    asks_norms = True

    def __init__(self, settings: params.GradNorm, total: float, ticks: int, seed: int) -> None:
        super().__init__(settings, total, ticks, seed)
        self.first: list[float] = []

    def learning_rate(self) -> float:
        return self.settings.learning_rate

    def weights(self, t: float, losses: Losses | None) -> Pair:
        if losses is not None:
            self.first = self.first or list(losses.values)
            rates = np.array(losses.values) / (np.array(self.first) + EPSILON)
            norms = np.array(losses.norms)
            weighted = self.numbers.detach().numpy() * norms  # w_i |grad L_i|
            wanted = weighted.mean() * (rates / (rates.mean() + EPSILON)) ** self.settings.power
            self.step(np.sign(weighted - wanted) * norms)
            with torch.no_grad():
                self.numbers.clamp_(min=1e-3)
                self.numbers.mul_(2 / self.numbers.sum())
        return pair(self.numbers.detach().numpy())

    def state(self) -> dict[str, Any]:
        return super().state() | {"first": self.first}

    def restore(self, state: dict[str, Any]) -> None:
        super().restore(state)
        self.first = state["first"]


WEIGHTINGS: dict[type[params.Method], type[Weighting[Any]]] = {
    params.Fixed: Fixed,
    params.Linear: Linear,
    params.Reversed: Reversed,
    params.Cosine: Cosine,
    params.Exponential: Exponential,
    params.Steal: Steal,
    params.Uncertainty: Uncertainty,
    params.Dwa: Dwa,
    params.SoftAdapt: SoftAdapt,
    params.Relobralo: Relobralo,
    params.GradNorm: GradNorm,
    params.TimeMean: TimeMean,
    params.Shuffled: Shuffled,
    params.Random: Random,
}


def make_weighting(settings: params.Method, epochs: int, steps: int, seed: int) -> tuple[Weighting[Any], bool]:
    """The weighting of a section `train.<variant>`, and whether its clock counts iterations (`steps` in an epoch).

    Args:
        settings: the section.
        epochs: of the training.
        steps: in an epoch.
        seed: of methods that draw.
    """
    kind = WEIGHTINGS[type(settings)]
    asked = settings.clock if isinstance(settings, params.Clocked) else "published"
    by_iteration = (kind.clock if asked == "published" else asked) == "iteration"
    return kind(settings, epochs, epochs * steps if by_iteration else epochs, seed), by_iteration


def softmax(values: np.ndarray) -> np.ndarray:
    """exp(values) / sum, safe against overflow."""
    powers = np.exp(values - values.max())
    return np.asarray(powers / powers.sum())


def pair(values: np.ndarray) -> Pair:
    return float(values[0]), float(values[1])
