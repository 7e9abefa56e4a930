"""Exact multilevel thresholding of a histogram by dynamic programming.

A criterion is a sum over classes of a score of the class's interval of levels, so the best split into k classes
ending at level b is the best split into k - 1 classes ending at some a < b plus the score of (a, b]: O(k L^2) for L
levels, exact, where a search over all combinations costs O(L^(k-1)).
"""

import numpy as np

from stages.threshold.params import Criterion


def multilevel_thresholds(histogram: np.ndarray, classes: int, criterion: Criterion) -> np.ndarray:
    """Optimal thresholds that split a grey-level histogram into `classes` parts.

    Args:
        histogram: counts per grey level, shape (L,), non-negative.
        classes: number of parts, >= 2.
        criterion: `otsu` (between-class variance), `cross_entropy` (minimum cross entropy) or `kapur` (entropy).
    Returns:
        int (classes - 1,), increasing; a pixel belongs to part i when t[i-1] < level <= t[i]. Of several equally
        good thresholds in a run of empty levels the lowest is returned.
    Raises:
        ValueError: fewer occupied levels than classes.
    Source: Otsu 1979; Li and Lee 1993; Kapur, Sahoo and Wong 1985; Luessi et al. 2009 for the dynamic programme.
    """
    histogram = np.asarray(histogram, dtype=np.float64)
    occupied = np.flatnonzero(histogram)
    if len(occupied) < classes:
        raise ValueError(
            f"expected at least {classes} occupied grey levels for {classes} classes, found {len(occupied)}"
        )
    # Empty levels never move an optimum, so the programme runs over occupied ones only.
    score = interval_scores(histogram[occupied], occupied.astype(np.float64), criterion)
    best = score[0]
    cuts = []
    for _ in range(classes - 1):
        # candidate[a, b]: the earlier classes end at a, the last covers a + 1 .. b
        candidate = best[:-1, None] + score[1:, :]
        cut = candidate.argmax(axis=0)
        best = candidate[cut, np.arange(len(occupied))]
        cuts.append(cut)
    end, thresholds = len(occupied) - 1, []
    for cut in reversed(cuts):
        end = int(cut[end])
        thresholds.append(int(occupied[end]))
    return np.array(thresholds[::-1])


def interval_scores(counts: np.ndarray, levels: np.ndarray, criterion: Criterion) -> np.ndarray:
    """score[a, b]: what a class of the levels a..b adds to the criterion, -inf for b < a; float64 (L, L)."""
    share = counts / counts.sum()
    weight = between(share)
    with np.errstate(divide="ignore", invalid="ignore"):
        if criterion == "kapur":
            score = np.log(weight) - between(share * np.log(share)) / weight
        else:
            # Levels start at 1 for the cross entropy, whose logarithm has no value at a mean of 0.
            mass = between(share * (levels + 1 if criterion == "cross_entropy" else levels))
            score = mass**2 / weight if criterion == "otsu" else mass * np.log(mass / weight)
    return np.where(np.tri(len(levels), k=-1, dtype=bool), -np.inf, score)


def between(values: np.ndarray) -> np.ndarray:
    """sum[a, b] = values[a] + ... + values[b]; float64 (L, L), meaningful for b >= a."""
    total = np.concatenate([[0.0], np.cumsum(values)])
    sums: np.ndarray = total[None, 1:] - total[:-1, None]
    return sums


def split_levels(image: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
    """The class of every pixel, 0 for the darkest: uint8 like the image; a level at a threshold falls below it."""
    return np.searchsorted(thresholds, image, side="left").astype(np.uint8)
