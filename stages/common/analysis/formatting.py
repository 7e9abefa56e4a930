"""Numbers and labels as a person reads them."""

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


def label_in_words(label: str) -> str:
    """A label; a class of YOLO or a value of a mask to which no file gives a name is a number, and is said to be one.

    Args:
        label: of annotations.csv; blank where a shape has none.
    """
    if not label:
        return "without a name"
    return f"class {label} without a name" if label.replace(",", "").isdecimal() else label
