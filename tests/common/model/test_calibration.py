"""Temperature, sigmoid and averages against their definitions in float64."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import expit

from stages.common.model.calibration import mean_probabilities, to_probabilities

KINDS = [np.asarray, torch.from_numpy]  # ONNX Runtime gives arrays, torch tensors
# float32 rounds a quotient of up to 88 by 88 * 2^-24 = 5e-6, which exp makes relative; beyond 88, exp is 0 or denormal.
FLOAT32 = {"rtol": 1e-5, "atol": float(np.finfo(np.float32).tiny)}


@pytest.mark.parametrize("kind", KINDS)
def test_a_temperature_divides_logits_that_a_probability_in_float32_cannot_hold(kind: type) -> None:
    # sigmoid(20) is 1 in float32: no temperature brings it back
    logits = np.array([-40, -20, 0, 20, 40], np.float32)
    found = to_probabilities(kind(logits), 3.0)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expit(logits.astype(np.float64) / 3), **FLOAT32)
    assert np.all(np.diff(found) > 0)


@given(st.floats(-40, 40, width=32), st.floats(0.05, 20))
def test_both_kinds_of_logits_give_the_same_probabilities(logit: float, temperature: float) -> None:
    expected = expit(np.float64(logit) / temperature)
    for kind in KINDS:
        found = to_probabilities(kind(np.array([logit], np.float32)), temperature)
        np.testing.assert_allclose(found, expected, **FLOAT32)


def test_without_a_temperature_torch_keeps_its_bits() -> None:
    logits = torch.from_numpy(np.random.default_rng(0).normal(0, 6, 10_000).astype(np.float32))
    np.testing.assert_array_equal(to_probabilities(logits), logits.sigmoid().numpy())


def test_averages_are_means_of_probabilities_and_not_of_logits() -> None:
    left = np.array([[[4, 0]]], np.float32)  # what a network says that marks the left pixel, whatever it is shown
    networks, films = [lambda _: left, lambda _: -2 * left], np.zeros((1, 1, 1, 2), np.uint8)
    mean = mean_probabilities(networks, [1.0, 4.0], films)
    np.testing.assert_allclose(mean, [[[(expit(4) + expit(-2)) / 2, 0.5]]], **FLOAT32)
    mirrored = mean_probabilities(networks[:1], [1.0], films, mirror=True)
    np.testing.assert_allclose(mirrored, [[[(expit(4) + 0.5) / 2] * 2]], **FLOAT32)
