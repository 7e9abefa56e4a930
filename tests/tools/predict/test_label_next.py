"""Which films to label next."""

import numpy as np
import pytest
from scipy.spatial.distance import jensenshannon
from scipy.stats import entropy

from tools.predict.label_next import disagreement, label_ranks, uncertainty


def test_uncertainty_and_disagreement_are_those_of_scipy() -> None:
    each = np.random.default_rng(1).random((2, 5, 4), dtype=np.float32)
    mean = each.mean(axis=0).ravel()
    assert uncertainty(each) == pytest.approx(np.mean([entropy([p, 1 - p], base=2) for p in mean]), rel=1e-6)
    pairs = zip(each[0].ravel(), each[1].ravel(), strict=True)
    apart = [jensenshannon([p, 1 - p], [q, 1 - q], base=2) ** 2 for p, q in pairs]
    assert disagreement(each) == pytest.approx(np.mean(apart), rel=1e-4)


def test_networks_that_agree_are_unsure_together() -> None:
    half, sure = np.full((3, 2, 2), 0.5, np.float32), np.stack([np.zeros((2, 2)), np.ones((2, 2))])
    assert (uncertainty(half), disagreement(half)) == (1, 0)
    assert (uncertainty(sure), disagreement(sure)) == (1, 1), "each is sure, of the contrary"
    assert (uncertainty(sure[:1]), disagreement(sure[:1])) == (0, None)


def test_the_film_to_label_first_has_the_largest_value_and_blanks_have_no_place() -> None:
    assert label_ranks({"b": 0.1, "a": 0.1, "c": None, "d": 0.4}) == {"d": 1, "a": 2, "b": 3}
