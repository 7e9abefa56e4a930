"""The paper's adaptive linear weights (equation 3)."""

from stages.train.params import Weights


def weights_at(t: float, total: float, settings: Weights) -> tuple[float, float]:
    """alpha(t) for Dice and beta(t) for BCE.

    alpha(t) = alpha.start + (alpha.end - alpha.start) * t / total. As printed, equation 3 lets beta run the other
    way: beta(t) = beta.start + (beta.end - beta.start) * (total - t) / total, so beta(0) = beta.end and
    beta(total) = beta.start. `beta_reading: start_to_end` reads the names in time instead, like alpha's.

    Args:
        t: epochs completed, 0 <= t <= total. (Counted from 0 as callbacks of the paper's framework do, so that the
            last epoch trains with t = total - 1.)
        total: epochs in all, > 0.
    Raises:
        ValueError: t lies outside 0..total.
    """
    if not 0 <= t <= total or total <= 0:
        raise ValueError(f"expected 0 <= t <= total and total > 0, found t = {t}, total = {total}")
    share = t / total
    beta_share = 1 - share if settings.beta_reading == "as_printed" else share
    return ramp(settings.alpha.start, settings.alpha.end, share), ramp(
        settings.beta.start, settings.beta.end, beta_share
    )


def ramp(start: float, end: float, share: float) -> float:
    return start + (end - start) * share
