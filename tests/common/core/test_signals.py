"""Signals that come more than once, raised in this process."""

import os
import signal
import subprocess
import sys
import time
import weakref
from collections.abc import Iterator

import pytest

from stages.common.core.signals import SIGNALS, Interrupted, begin_working, stop_request
from tests.helpers.paths import ROOT


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


def test_a_signal_while_a_finaliser_runs_is_not_lost() -> None:
    """Torch registers some with `weakref.finalize`; Python prints what is raised there, too."""

    class Closing:
        pass

    begin_working()
    closing = Closing()
    weakref.finalize(closing, signal.raise_signal, signal.SIGTERM)
    del closing
    with pytest.raises(Interrupted):
        time.sleep(10)


def test_sigterm_after_the_work_leaves_its_exit_code() -> None:
    """What libraries do at the end would print a traceback, and the command ended with 0 all the same."""
    words = (
        "import atexit, os, signal, sys\n"
        "from stages.common.core.shell import run_command\n"
        "from stages.common.core.signals import begin_loading, begin_working\n"
        "def work():\n"
        "    begin_working()\n"
        "    atexit.register(os.kill, os.getpid(), signal.SIGTERM)\n"
        "    return 5\n"
        "begin_loading('x')\n"
        "run_command('x', work)\n"
    )
    done = subprocess.run([sys.executable, "-c", words], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (5, "")


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
