"""Whether probabilities mean what they say: reliability diagram, expected calibration error, Brier score."""

import numpy as np
import pandas as pd

from stages.evaluate.curves import LEVELS, Levels

CELLS = 15  # of the reliability diagram, as is usual


def reliability(levels: Levels) -> pd.DataFrame:
    """How often fracture is where the network says so, in 15 equal steps of its probability.

    Returns:
        columns low, high, pixels, predicted (mean probability, to 1/131072), observed (share of fracture); empty steps
        are left out.
    """
    number = np.arange(LEVELS)
    cell = number * CELLS // LEVELS
    middle = (number + 0.5) / LEVELS
    pixels, fracture, sums = (
        np.bincount(cell, values, CELLS) for values in (levels.every, levels.fracture, levels.every * middle)
    )
    kept, low = pixels > 0, np.arange(CELLS) / CELLS
    table = pd.DataFrame({"low": low, "high": low + 1 / CELLS, "pixels": pixels.astype(int)})[kept]
    return table.assign(predicted=sums[kept] / pixels[kept], observed=fracture[kept] / pixels[kept]).reset_index(
        drop=True
    )


def calibration_error(table: pd.DataFrame) -> float:
    """Expected calibration error of a reliability table: the mean of |predicted - observed|, weighted by pixels.

    Naeini, Cooper and Hauskrecht, AAAI 2015. Background dominates it: read it beside the diagram.
    """
    return float(np.average((table["predicted"] - table["observed"]).abs(), weights=table["pixels"]))


def brier(probabilities: np.ndarray, masks: np.ndarray) -> float:
    """Mean squared difference of probability and truth (Brier 1950), 0..1."""
    return float(np.mean(np.square(probabilities - masks), dtype=np.float64))
