"""The command line of `wrist` in this process."""

import gc
import signal

from stages.common.core.signals import SIGNALS
from tools.command_line import app


def wrist(*words: str) -> int:
    """Run a command; returns its exit code, and raises its UserError."""
    before = {signum: signal.getsignal(signum) for signum in SIGNALS}
    try:
        app(list(words), prog_name="wrist")
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)
        gc.unfreeze()  # what a command's process keeps to its end would stay in this one
    return 0
