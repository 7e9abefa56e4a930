"""Which films to label next: those on which the networks are the least sure, or agree the least."""

from typing import Literal

import numpy as np

Measure = Literal["uncertainty", "disagreement"]


def entropy(probabilities: np.ndarray) -> np.ndarray:
    """The entropy of a pixel that is fracture or not, in bits, 0..1; float64 of the same shape.

    Args:
        probabilities: of fracture, float32 in 0..1.
    Source: Shannon 1948.
    """
    p = probabilities.astype(np.float64)
    both = np.stack([p, 1 - p])
    return np.asarray(-(both * np.log2(both, out=np.zeros_like(both), where=both > 0)).sum(axis=0))


def uncertainty(each: np.ndarray) -> float:
    """The mean entropy of a film's pixels under the mean of its networks, in bits, 0..1.

    Args:
        each: probabilities of each network, float32 (M, S, S).
    Source: uncertainty sampling, Settles 2009, section 3.1.
    """
    return float(entropy(each.mean(axis=0)).mean())


def disagreement(each: np.ndarray) -> float | None:
    """What the networks disagree about: the entropy of their mean less the mean of their entropies, in bits, 0..1.

    This is the mutual information of a pixel's class and the network (Houlsby et al. 2011), also the divergence of a
    committee (Jensen-Shannon). None for a single network.

    Args:
        each: probabilities of each network, float32 (M, S, S).
    """
    if len(each) < 2:
        return None
    return max(uncertainty(each) - float(entropy(each).mean()), 0.0)


def label_ranks(values: dict[str, float | None]) -> dict[str, int]:
    """The places of films among those to label next, 1 for the largest value; of equals the first by name.

    Args:
        values: of a measure, by film; films with None get no place.
    """
    known = {film: value for film, value in values.items() if value is not None}
    order = sorted(known, key=lambda film: (-known[film], film))
    return {film: place for place, film in enumerate(order, start=1)}
