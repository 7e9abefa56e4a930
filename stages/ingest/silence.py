"""Codecs written in C print their complaints past Python, into the middle of a log."""

import os
from threading import Lock
from types import TracebackType


class NoStderr:
    """What is written to file descriptor 2 is lost while any thread is inside: the first in turns it off, the last on.

    Each thread that kept the descriptor by itself could keep the one that another had turned off.
    """

    def __init__(self) -> None:
        self.lock, self.inside, self.kept = Lock(), 0, -1

    def __enter__(self) -> None:
        with self.lock:
            self.inside += 1
            if self.inside == 1:
                self.kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
                os.dup2(nowhere, 2)
                os.close(nowhere)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        with self.lock:
            self.inside -= 1
            if self.inside == 0:
                os.dup2(self.kept, 2)
                os.close(self.kept)


NO_STDERR = NoStderr()
