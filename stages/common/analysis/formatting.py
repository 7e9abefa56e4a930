"""Numbers as a person reads them."""

import numpy as np


def number(value: float, style: str) -> str:
    """A dash for what is undefined or was not published."""
    return "–" if np.isnan(value) else format(value, style)


def span(value: float, low: float, high: float, style: str) -> str:
    """A value with its interval, where it has one."""
    shown = number(value, style)
    return shown if np.isnan(low) else f"{shown} ({number(low, style)} to {number(high, style)})"
