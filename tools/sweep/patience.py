"""Waiting for what comes back by itself or by a person's hand: a server, a remote, room on a disk."""

import sys
import time
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

from stages.common.core.busy import CLEAR

PATIENCE = 600.0  # seconds that it may be away
Result = TypeVar("Result")


class Failed(Exception):
    """An experiment ended without a result."""


class NotFetched(Failed):
    """The data of an experiment did not come from DVC's remote, so that none of its stages began."""


class Away(Exception):
    """What an attempt needs is not there; `failure` is raised where it stays so."""

    def __init__(self, sentence: str, failure: Exception) -> None:
        super().__init__(sentence)
        self.failure = failure


def patiently(attempt: Callable[[], Result], stop: Callable[[], bool], pause: float) -> Result:
    """What an attempt returns, which is made again for ten minutes while it raises Away; says so once.

    Args:
        attempt: which may be repeated.
        stop: asked before each further attempt.
        pause: seconds between two attempts.
    Raises:
        Exception: the failure of the last attempt.
    """
    begin: float | None = None  # of the wait: the first attempt may have taken hours
    while True:
        try:
            result = attempt()
        except Away as away:
            now = time.monotonic()
            if stop() or now - (begin or now) >= PATIENCE:
                raise away.failure from None
            if begin is None:
                say(f"{away}; trying for {PATIENCE:.0f} s")
                begin = now
            time.sleep(pause)
        else:
            if begin is not None:
                say("goes on")
            return result


def say(text: str) -> None:
    """Print a line of progress, on a terminal over what `busy` says.

    Where its file lies on a full disk, a later line brings it along.
    """
    start = CLEAR if sys.stderr is not None and sys.stderr.isatty() else ""
    with suppress(OSError):
        print(f"{start}sweep: {text}", file=sys.stderr, flush=True)
