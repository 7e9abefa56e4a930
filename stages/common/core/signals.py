"""Ctrl-C and SIGTERM: one sentence and the right exit code, whenever they arrive.

A process goes through two phases. While it loads (torch alone takes seconds), a signal ends it at once: nothing has
begun, and an exception raised inside an import would be wrapped by libraries. While it works, a signal raises
`Interrupted`, so that unfinished output is removed. Work that can pause and resume asks a `StopRequest` instead.

A second Ctrl-C ends the process as it is; a second SIGTERM changes nothing. It is no second wish: a runner such as
SLURM sends SIGTERM to all processes of a job, DVC dies of it, and its death sends another to its stage.

Only the standard library is imported, here and in `busy`, so that the handlers are in place before anything else.
"""

import ctypes
import gc
import os
import signal
import sys
import warnings
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Timer
from types import FrameType

from stages.common.core.busy import Busy

PR_SET_PDEATHSIG = 1  # linux/prctl.h
SIGNALS = (signal.SIGINT, signal.SIGTERM)
LOADING: list[Busy] = []  # what speaks while this process loads


class Interrupted(BaseException):
    """Ctrl-C or SIGTERM arrived during work; `code` is the shell's exit code for it, 130 or 143."""

    def __init__(self, signum: int) -> None:
        super().__init__(signum)
        self.code = 128 + signum


def begin_loading(name: str) -> None:
    """From now on a signal ends the process at once, and so does the death of DVC.

    Garbage collection waits until the work begins: libraries leave hundreds of thousands of objects that stay, and
    looking through them again and again takes two fifths of the time to load torch and timm.
    """
    gc.disable()

    def end(signum: int, frame: FrameType | None) -> None:
        os.write(sys.stderr.fileno(), f"{name}: interrupted before any work began\n".encode())
        os._exit(128 + signum)

    for signum in SIGNALS:
        signal.signal(signum, end)
    die_with_parent()
    hide_warnings()
    LOADING.append(Busy(f"{name}: loads its libraries"))
    LOADING[-1].start()


def hide_warnings() -> None:
    """Libraries warn their programmers, not who runs this program; `python -W` and PYTHONWARNINGS bring it back."""
    if not sys.warnoptions:
        warnings.simplefilter("ignore")


def begin_working() -> None:
    """From now on the first signal raises `Interrupted`."""
    while LOADING:
        LOADING.pop().stop()
    gc.freeze()  # what libraries left stays until the end
    gc.enable()

    def interrupt(signum: int, frame: FrameType | None) -> None:
        if in_finaliser(frame):  # Python would print what is raised there, and go on
            Timer(0.01, os.kill, (os.getpid(), signum)).start()
            return
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        signal.signal(signal.SIGTERM, lambda signum, frame: None)
        raise Interrupted(signum)

    for signum in SIGNALS:
        signal.signal(signum, interrupt)


def end_working() -> None:
    """From now on nothing is raised in what libraries do at the end, which Python would print and pass over.

    SIGTERM changes nothing: the work is done, and its exit code says how. Ctrl-C ends the process as it is.
    """
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)


def in_finaliser(frame: FrameType | None) -> bool:
    """Whether a frame belongs to the `__del__` or a `weakref.finalize` of an object that goes, or is called by one."""
    while frame is not None and not (frame.f_code.co_name == "__del__" or frame.f_code.co_filename == weakref.__file__):
        frame = frame.f_back
    return frame is not None


class StopRequest:
    """Whether a signal asked the work to stop at its next pause, and the exit code that says so.

    SIGTERM comes from a runner that needs the machine: the code means "run it again" (EX_TEMPFAIL, 75). Ctrl-C comes
    from a person: 130.
    """

    def __init__(self) -> None:
        self.asked, self.code = False, os.EX_TEMPFAIL

    def __call__(self) -> bool:
        return self.asked

    def exit_if_asked(self) -> None:
        """End here if asked to: nothing has begun that would be lost."""
        if self.asked:
            sys.exit(self.code)

    def receive(self, signum: int, frame: FrameType | None) -> None:
        self.asked = True
        if signum == signal.SIGINT:
            self.code = 128 + signum
            signal.signal(signum, signal.SIG_DFL)


@contextmanager
def stop_request() -> Iterator[StopRequest]:
    """Signals only set a `StopRequest` while the block runs."""
    stop = StopRequest()
    before = {signum: signal.signal(signum, stop.receive) for signum in SIGNALS}
    try:
        yield stop
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)


@contextmanager
def starting_processes() -> Iterator[None]:
    """For a block of the main thread that starts processes.

    They never see Ctrl-C, which a terminal sends to the whole group. A handler would come too late: a process that has
    just started still imports. A blocked signal is inherited.

    Signals to this process take effect after the block. A handler that raised in it could leave a process that was
    started and not told what to do, which prints a traceback; and a blocked signal can still call the handler, through
    a thread of a library that does not block it.
    """
    received: list[int] = []
    handlers = {signum: signal.signal(signum, lambda signum, _: received.append(signum)) for signum in SIGNALS}
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        for signum, handler in handlers.items():
            signal.signal(signum, handler)
        for number in received:
            signal.raise_signal(number)


def die_with_parent() -> None:
    """Ask Linux for SIGTERM when DVC dies, so that a killed `dvc repro` leaves no stage that writes on.

    It reaches this process only while `cmd:` in dvc.yaml is one command behind `exec`, which the shell replaces
    itself with.
    """
    if sys.platform != "linux" or "DVC_STAGE" not in os.environ:
        return
    parent = os.getppid()
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    orphan = parent == 1 and b"dvc" not in Path("/proc/1/cmdline").read_bytes()  # in a container DVC can be process 1
    if orphan or os.getppid() != parent:  # it died before Linux was asked
        os.kill(os.getpid(), signal.SIGTERM)
