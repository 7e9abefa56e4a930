"""The shell round every stage and tool: whatever ends the work, a user reads one sentence and gets its exit code."""

import errno
import sys
from collections.abc import Callable
from concurrent.futures import BrokenExecutor
from typing import NoReturn

from stages.common.core.errors import UserError
from stages.common.core.signals import Interrupted


def run_command(name: str, work: Callable[[], int]) -> NoReturn:
    """Do the work of a command and exit with the code that it returns.

    A user's mistake and a full disk exit with 1, Ctrl-C with 130, SIGTERM with 143, each after one sentence on stderr.
    Anything else is a bug and keeps its traceback.

    Args:
        name: the command, which starts each sentence.
        work: returns the exit code.
    """
    try:
        sys.exit(work())
    except UserError as error:
        sys.exit(f"{name}: {error}")
    except (Interrupted, KeyboardInterrupt) as interruption:
        print(f"{name}: interrupted; no unfinished output was kept", file=sys.stderr)
        sys.exit(getattr(interruption, "code", 130))
    except BrokenExecutor:
        sys.exit(f"{name}: a worker process was killed, often by a lack of memory; free some, or set WORKERS to fewer")
    except OSError as error:
        sys.exit(f"{name}: {describe_os_error(error)}")


def describe_os_error(error: OSError) -> str:
    """A sentence for what the machine refuses; other errors are bugs and are raised again."""
    where = error.filename or "the output folder"
    fixes = {
        errno.ENOSPC: "the disk is full; free some space and rerun the command",
        errno.EDQUOT: "the disk quota is used up; free some space and rerun the command",
        errno.EACCES: "permission denied; make it readable and its folder writable",
        errno.EROFS: "the file system is read-only; run on a writable one",
        errno.ENOENT: "no such file or folder; run from the project's root, or `dvc repro` to make it",
    }
    if error.errno not in fixes:
        raise error
    return f"{where}: {fixes[error.errno]}"
