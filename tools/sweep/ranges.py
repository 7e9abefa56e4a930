"""What a search varies: params, each between two numbers."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Range:
    """One param to search, from `KEY=LOW..HIGH` or, evenly over orders of magnitude, `KEY=LOW..HIGH:log`."""

    key: str
    low: float
    high: float
    log: bool


def parse_range(text: str) -> Range:
    """
    Raises:
        ValueError: the text, which is no range.
    """
    key, _, span = text.partition("=")
    span, _, scale = span.partition(":")
    low, _, high = span.partition("..")
    try:
        parsed = Range(key, float(low), float(high), scale == "log")
    except ValueError:
        raise ValueError(text) from None
    if not key or scale not in ("", "log") or parsed.low >= parsed.high or (parsed.log and parsed.low <= 0):
        raise ValueError(text)
    return parsed
