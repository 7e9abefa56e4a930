"""Numbers, labels and machines as a person reads them."""

import numpy as np

from stages.common.data.records import NUMBERS, Machine

CPUS = {
    "DEFAULT": "a CPU without AVX instructions",
    "AVX2": "a CPU with instructions up to AVX2",
    "AVX512": "a CPU with instructions up to AVX-512",
}


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


def machine_in_words(machine: Machine, tested_on: str) -> str:
    """What computed a training, and the probabilities of its test films where that was another device.

    Args:
        machine: of model.json.
        tested_on: the device of metrics.json.
    """
    threads, processes = machine["threads"], machine["processes"]
    counted = f"{threads} thread{'' if threads == 1 else 's'}, {processes} process{'' if processes == 1 else 'es'}"
    device = device_in_words(machine["device"])
    tested = "" if tested_on == machine["device"] else f"; tested on {device_in_words(tested_on)}"
    return f"{device}; {NUMBERS[machine['precision']]}; torch {machine['torch']}, {counted}{tested}"


def device_in_words(device: str) -> str:
    """What computes.

    Args:
        device: of a `Machine`.
    """
    return CPUS.get(device, device)
