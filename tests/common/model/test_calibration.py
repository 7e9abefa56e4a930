"""Temperature scaling against its definition."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import expit, logit

from stages.common.model.calibration import apply_temperature


@given(st.floats(0.001, 0.999), st.floats(0.05, 20))
def test_it_divides_the_logit(chance: float, temperature: float) -> None:
    given_ = np.float32(chance)
    expected = expit(logit(np.float64(given_)) / temperature)
    np.testing.assert_allclose(apply_temperature(np.array([given_]), temperature), expected, rtol=1e-5, atol=1e-30)


def test_one_changes_no_bit_and_certainty_and_doubt_stay() -> None:
    chances = np.array([[0, 0.1, 0.5, 0.9, 1]], np.float32)
    assert apply_temperature(chances, 1.0) is chances
    for temperature in (0.1, 3.0):
        scaled = apply_temperature(chances, temperature)
        assert scaled.dtype == np.float32
        assert scaled[0, [0, 2, 4]].tolist() == [0, 0.5, 1]
        assert np.all(np.diff(scaled) >= 0)
