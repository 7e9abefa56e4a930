"""Signals that come more than once, raised in this process."""

import os
import signal
import time
from collections.abc import Iterator

import pytest

from stages.common.core.signals import SIGNALS, Interrupted, begin_working, stop_request


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    before = {signum: signal.getsignal(signum) for signum in SIGNALS}
    yield
    for signum, handler in before.items():
        signal.signal(signum, handler)


def test_a_training_that_is_asked_to_stop_twice_still_writes_its_checkpoint() -> None:
    """SLURM ends a training and the DVC above it, whose death is the second signal."""
    with stop_request() as stop:
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGTERM)
        assert stop()
        assert stop.code == os.EX_TEMPFAIL


def test_unfinished_output_is_removed_in_peace() -> None:
    begin_working()
    with pytest.raises(Interrupted):
        signal.raise_signal(signal.SIGTERM)
    signal.raise_signal(signal.SIGTERM)


def test_a_signal_while_an_object_goes_is_not_lost() -> None:
    """Python prints what is raised in `__del__`, and goes on; a clone of git was ended so, and the work was not."""

    class Closing:
        def __del__(self) -> None:
            signal.raise_signal(signal.SIGTERM)

    begin_working()
    Closing()
    with pytest.raises(Interrupted):
        time.sleep(10)


def test_a_second_ctrl_c_ends_the_process() -> None:
    with stop_request() as stop:
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGINT)
        assert stop.code == 128 + signal.SIGINT
        assert signal.getsignal(signal.SIGINT) == signal.SIG_DFL
    begin_working()
    with pytest.raises(Interrupted):
        signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) == signal.SIG_DFL
