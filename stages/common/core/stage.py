"""The shell round every stage: parameters in, one closing line out, and a clear end whatever happens."""

import ctypes
import errno
import os
import signal
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

from stages.common.core.errors import UserError

PR_SET_PDEATHSIG = 1  # linux/prctl.h


def run_stage(name: str, load: Callable[[], Callable[[], str]]) -> None:
    """Run a stage and print the line that it returns.

    A UserError, a full disk, Ctrl-C and SIGTERM end in one sentence on stderr and the exit code 1, 1, 130 or 143;
    anything else is a bug and keeps its traceback.

    Args:
        load: imports the stage, which can take seconds, and returns its work.
    """
    die_with_parent()
    signal.signal(signal.SIGTERM, raise_exit)
    try:
        print(f"{name}: {load()()}", flush=True)
    except UserError as fault:
        sys.exit(f"{name}: {fault}")
    except KeyboardInterrupt:
        print(f"{name}: interrupted; nothing half-written was kept", file=sys.stderr)
        sys.exit(130)
    except OSError as error:
        sys.exit(f"{name}: {describe_os_error(error)}")


def describe_os_error(error: OSError) -> str:
    """A sentence for what the machine refuses; errors that are no user's business are raised again."""
    where = error.filename or "the output folder"
    fixes = {
        errno.ENOSPC: "the disk is full; free some space and run `dvc repro` again",
        errno.EDQUOT: "the disk quota is used up; free some space and run `dvc repro` again",
        errno.EACCES: "permission denied; make it readable and its folder writable",
        errno.EROFS: "the file system is read-only; run on a writable one",
        errno.ENOENT: "no such file or folder; run from the project's root, or `dvc repro` to make it",
    }
    if error.errno not in fixes:
        raise error
    return f"{where}: {fixes[error.errno]}"


def die_with_parent() -> None:
    """Ask Linux for SIGTERM when the parent dies, so that a killed `dvc repro` leaves no orphan that writes on.

    It reaches this process only while `cmd:` in dvc.yaml is one command behind `exec`, which the shell replaces
    itself with.
    """
    if sys.platform == "linux" and "DVC_STAGE" in os.environ:
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def raise_exit(signum: int, frame: FrameType | None) -> Any:
    sys.exit(128 + signum)
