"""A word every second on a terminal, while work goes on that has no progress bar; nothing in a log.

Only the standard library is imported here, since it speaks while libraries load.
"""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event, Thread

FIRST, NEXT = 1.0, 1.0  # seconds until the first word, and between two
CLEAR = "\r\x1b[K"  # back to the start of the line, and erase it (ECMA-48)


class Busy:
    """Says on standard error what takes its time, and for how long, from each `start` until `stop`."""

    def __init__(self, text: str) -> None:
        self.text, self.done = text, Event()
        self.thread: Thread | None = None

    def start(self) -> None:
        """Begin, if a person watches; a second call before `stop` does nothing."""
        if sys.stderr is not None and sys.stderr.isatty() and self.thread is None:
            self.done.clear()
            self.thread = Thread(target=self.speak, daemon=True)
            self.thread.start()

    def speak(self) -> None:
        begin, pause, spoken = time.monotonic(), FIRST, False
        while not self.done.wait(pause):
            sys.stderr.write(f"{CLEAR}{self.text} ... {time.monotonic() - begin:.0f} s")
            sys.stderr.flush()
            pause, spoken = NEXT, True
        if spoken:
            sys.stderr.write(CLEAR)
            sys.stderr.flush()

    def stop(self) -> None:
        """End, and leave the line empty; a second call does nothing."""
        self.done.set()
        if self.thread is not None:
            self.thread.join()
            self.thread = None


@contextmanager
def busy(text: str) -> Iterator[None]:
    """Say on a terminal that the block is at work.

    Args:
        text: what it does, such as `report: draws intervals`.
    """
    speaker = Busy(text)
    speaker.start()
    try:
        yield
    finally:
        speaker.stop()
