"""From logits to probabilities: temperature, sigmoid, averages, in this order and only here.

Temperature scaling is one number that makes a network's probabilities milder or sharper (Guo et al. 2017). It divides
logits, since a logit of 17 is already a probability of 1 in float32, from which nothing leads back.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from stages.common.data.records import ImageCalibration

if TYPE_CHECKING:  # an exported network runs without torch
    from torch import Tensor

SMALLEST = 1e-6  # a probability of 0 or 1 has no finite logit
LogitFunction = Callable[[np.ndarray], "Tensor | np.ndarray"]  # uint8 films (N, C, H, W) to logits float32 (N, H, W)


def to_probabilities(logits: "Tensor | np.ndarray", temperature: float = 1.0) -> np.ndarray:
    """sigmoid(logits / T), float32 of the same shape; T above 1 is milder, 1 changes nothing. A logit of 0 stays 0.5.

    Tensors go through torch's sigmoid and arrays through NumPy's exponential. Both are right to float32; their last
    bits differ.

    Args:
        logits: float32, of any shape, on the CPU.
        temperature: T > 0.
    """
    if isinstance(logits, np.ndarray):
        return sigmoid(logits / np.float32(temperature))
    return np.asarray((logits / temperature).sigmoid().numpy())


def sigmoid(logits: np.ndarray) -> np.ndarray:
    """1 / (1 + exp(-x)), of the same shape and dtype. SciPy has it, too, and takes longer to load than films take."""
    with np.errstate(over="ignore"):  # an infinite exponential gives 0
        return np.asarray(1 / (1 + np.exp(-logits)))


def mean_probabilities(
    networks: Sequence[LogitFunction], temperatures: Sequence[float], films: np.ndarray, mirror: bool = False
) -> np.ndarray:
    """The mean probability over networks, float32 (N, H, W).

    Args:
        networks: at least one.
        temperatures: of each network, > 0.
        films: uint8 (N, C, H, W).
        mirror: average over the films and their mirror images, left to right, too.
    """
    each = zip(networks, temperatures, strict=True)
    mean = np.mean([to_probabilities(network(films), temperature) for network, temperature in each], axis=0)
    if mirror:
        mirrored = mean_probabilities(networks, temperatures, np.ascontiguousarray(films[..., ::-1]))
        mean = (mean + mirrored[..., ::-1]) / 2
    return np.asarray(mean, np.float32)


def finite_logit(scores: np.ndarray | np.floating) -> np.ndarray:
    """log(p / (1 - p)) of probabilities, float64 of the same shape; 0 and 1 count as one in a million from there."""
    p = np.clip(scores.astype(np.float64), SMALLEST, 1 - SMALLEST)
    return np.asarray(np.log(p / (1 - p)))


def film_probability(scores: np.ndarray | np.floating, calibration: ImageCalibration) -> np.ndarray:
    """The probability that a film has a fracture, float64 (N,) in 0..1.

    Args:
        scores: the largest probability of each film's map, float (N,) in 0..1, or of one.
        calibration: fitted by the stage evaluate.
    """
    return sigmoid(calibration["slope"] * finite_logit(scores) + calibration["intercept"])
