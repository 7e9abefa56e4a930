"""Numbers as a person reads them."""

import numpy as np


def number(value: float, style: str) -> str:
    """A dash for what is undefined or was not published."""
    return "–" if np.isnan(value) else format(value, style)


def span(value: float, low: float, high: float, style: str) -> str:
    """A value with its interval, where it has one.

    Args:
        value: in the unit of the bounds.
        low: lower bound; NaN where there is no interval.
        high: upper bound.
        style: of `format`, for all three.
    """
    shown = number(value, style)
    return shown if np.isnan(low) else f"{shown} ({number(low, style)} to {number(high, style)})"
