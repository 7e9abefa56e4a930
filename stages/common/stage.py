"""The shell round every stage: parameters in, one closing line out, and a clear end whatever happens."""

import ctypes
import errno
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

from stages.common.errors import Fault
from stages.common.params import read_params, section_model

PR_SET_PDEATHSIG = 1  # linux/prctl.h


def run_stage(name: str, main: Callable[..., str], *arguments: str) -> None:
    """Read the section `name` of params.yaml, run `main(section, *arguments)`, print the line that it returns.

    A Fault, a full disk, Ctrl-C and SIGTERM end in one sentence on stderr and the exit code 1, 1, 130 or 143;
    anything else is a bug and keeps its traceback.
    """
    die_with_parent()
    signal.signal(signal.SIGTERM, raise_exit)
    try:
        settings = section_model(name).model_validate(read_params(Path("params.yaml")).get(name, {}))
        print(f"{name}: {main(settings, *arguments)}", flush=True)
    except Fault as fault:
        sys.exit(f"{name}: {fault}")
    except KeyboardInterrupt:
        print(f"{name}: interrupted; nothing half-written was kept", file=sys.stderr)
        sys.exit(130)
    except OSError as error:
        sys.exit(f"{name}: {describe_os_error(error)}")


def describe_os_error(error: OSError) -> str:
    """A sentence for what the machine refuses; errors that are no user's business are raised again."""
    where = error.filename or "the output folder"
    mends = {
        errno.ENOSPC: "the disk is full; free some space and run `dvc repro` again",
        errno.EDQUOT: "the disk quota is used up; free some space and run `dvc repro` again",
        errno.EACCES: "permission denied; make it readable and its folder writable",
        errno.EROFS: "the file system is read-only; run on a writable one",
        errno.ENOENT: "no such file or folder; run from the project's root, or `dvc repro` to make it",
    }
    if error.errno not in mends:
        raise error
    return f"{where}: {mends[error.errno]}"


def die_with_parent() -> None:
    """Ask Linux for SIGTERM when the parent dies, so that a killed `dvc repro` leaves no orphan that writes on.

    It reaches this process only while `cmd:` in dvc.yaml is one command behind `exec`, which the shell replaces
    itself with.
    """
    if sys.platform == "linux" and "DVC_STAGE" in os.environ:
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def raise_exit(signum: int, frame: FrameType | None) -> Any:
    sys.exit(128 + signum)
