"""The linear schedule as two numbers: alpha / (alpha + beta) at its start and at its end."""

from typing import Any


def declared_shares(adaptive: dict[str, Any]) -> tuple[float, float] | None:
    """alpha / (alpha + beta) at the start and the end, as the section `train.adaptive` says; None where its method
    decides otherwise."""
    alpha, beta = adaptive["alpha"], adaptive["beta"]
    if adaptive["method"] == "fixed":
        share = round(alpha["start"] / (alpha["start"] + beta["start"]), 4)
        return share, share
    if adaptive["method"] != "linear":
        return None
    betas = (beta["end"], beta["start"]) if adaptive["beta_reading"] == "as_printed" else (beta["start"], beta["end"])
    first, last = (round(a / (a + b), 4) for a, b in zip((alpha["start"], alpha["end"]), betas, strict=True))
    return first, last


def known_shares(adaptive: dict[str, Any]) -> list[tuple[float, float]]:
    """What every search tries first: the schedule of params.yaml, it reversed, and half and half throughout."""
    first, last = declared_shares(adaptive) or (0.5, 0.5)
    return list(dict.fromkeys([(first, last), (last, first), (0.5, 0.5)]))


def linear(first: float, last: float, reading: str) -> dict[str, Any]:
    """The linear schedule whose alpha / (alpha + beta) runs from `first` to `last`, in a reading of equation 3."""
    betas = (
        (round(1 - last, 9), round(1 - first, 9))
        if reading == "as_printed"
        else (round(1 - first, 9), round(1 - last, 9))
    )
    values = {"alpha.start": round(first, 9), "alpha.end": round(last, 9), "beta.start": betas[0], "beta.end": betas[1]}
    return {"train.adaptive.method": "linear"} | {f"train.adaptive.{key}": value for key, value in values.items()}
