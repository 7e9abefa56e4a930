"""The linear schedule as two numbers: alpha / (alpha + beta) at its start and at its end."""

from stages.train.params import Fixed, Linear, Method, Ramp
from tools.sweep.arms import like


def declared_shares(adaptive: Method) -> tuple[float, float] | None:
    """alpha / (alpha + beta) at the start and the end, as the section says; None where its method decides otherwise."""
    if isinstance(adaptive, Fixed):
        share = round(adaptive.alpha / (adaptive.alpha + adaptive.beta), 4)
        return share, share
    if not isinstance(adaptive, Linear):
        return None
    alphas = adaptive.alpha.start, adaptive.alpha.end
    first, last = (round(a / (a + b), 4) for a, b in zip(alphas, adaptive.betas, strict=True))
    return first, last


def known_shares(adaptive: Method) -> list[tuple[float, float]]:
    """What every search tries first: the schedule of params.yaml, it reversed, and half and half throughout."""
    first, last = declared_shares(adaptive) or (0.5, 0.5)
    return list(dict.fromkeys([(first, last), (last, first), (0.5, 0.5)]))


def linear(first: float, last: float, adaptive: Method) -> Linear:
    """The linear schedule whose alpha / (alpha + beta) runs from `first` to `last`; the rest is as in `adaptive`."""
    section = like(Linear, adaptive)
    start, end = (round(1 - share, 9) for share in (first, last))
    if section.beta_reading == "as_printed":
        start, end = end, start
    alpha = Ramp(start=round(first, 9), end=round(last, 9))
    return section.model_copy(update={"alpha": alpha, "beta": Ramp(start=start, end=end)})
