import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages.train.params import Ramp, Weights
from stages.train.schedule import weights_at

WEIGHTS = Weights(alpha=Ramp(start=0.2, end=0.8), beta=Ramp(start=0.1, end=0.9), beta_reading="as_printed")
TURNED = WEIGHTS.model_copy(update={"beta_reading": "start_to_end"})


@pytest.mark.parametrize(
    ("t", "alpha", "beta"),
    # equation 3 by hand for T = 4: alpha = .2 + .6 t/4, beta = .1 + .8 (4 - t)/4
    [(0, 0.2, 0.9), (1, 0.35, 0.7), (2, 0.5, 0.5), (3, 0.65, 0.3), (4, 0.8, 0.1)],
)
def test_equation_three_as_printed(t: int, alpha: float, beta: float) -> None:
    assert weights_at(t, 4, WEIGHTS) == pytest.approx((alpha, beta))


def test_the_other_reading_runs_from_start_to_end() -> None:
    assert weights_at(0, 4, TURNED)[1] == pytest.approx(0.1)
    assert weights_at(4, 4, TURNED)[1] == pytest.approx(0.9)


@given(st.integers(1, 500), st.data())
def test_weights_stay_between_their_ends_and_mirror(total: int, data: st.DataObject) -> None:
    t = data.draw(st.integers(0, total))
    alpha, beta = weights_at(t, total, WEIGHTS)
    assert 0.2 - 1e-12 <= alpha <= 0.8 + 1e-12
    assert 0.1 - 1e-12 <= beta <= 0.9 + 1e-12
    assert beta == pytest.approx(weights_at(total - t, total, TURNED)[1])


def test_a_fixed_weight_is_a_schedule_whose_start_is_its_end() -> None:
    fixed = Weights(alpha=Ramp(start=0.3, end=0.3), beta=Ramp(start=0.7, end=0.7), beta_reading="as_printed")
    assert {weights_at(t, 9, fixed) for t in range(10)} == {(0.3, 0.7)}


@pytest.mark.parametrize(("t", "total"), [(-1, 4), (5, 4), (0, 0)])
def test_times_outside_training_are_refused(t: int, total: int) -> None:
    with pytest.raises(ValueError, match="expected 0 <= t"):
        weights_at(t, total, WEIGHTS)


def test_no_loss_at_all_is_refused() -> None:
    zero = Ramp(start=0.0, end=0.0)
    with pytest.raises(ValueError, match="above 0"):
        Weights(alpha=zero, beta=zero, beta_reading="as_printed")
