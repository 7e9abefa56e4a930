"""Temperature scaling: one number that makes a network's probabilities milder or sharper (Guo et al. 2017)."""

import numpy as np


def apply_temperature(chances: np.ndarray, temperature: float) -> np.ndarray:
    """sigmoid(logit(p) / T), float32 of the same shape; T above 1 is milder, 1 changes nothing. 0.5 stays 0.5.

    Args:
        chances: float32 in 0..1.
        temperature: T > 0.
    """
    if temperature == 1:
        return chances
    for_, against = chances.astype(np.float64), 1 - chances.astype(np.float64)
    for_, against = for_ ** (1 / temperature), against ** (1 / temperature)
    return np.asarray(for_ / (for_ + against), np.float32)
