"""The shell round every stage and tool: whatever ends the work, a user reads one sentence and gets its exit code."""

import atexit
import os
import sys
from collections.abc import Callable
from concurrent.futures import BrokenExecutor
from io import TextIOWrapper
from locale import getpreferredencoding
from typing import NoReturn

from stages.common.core.errors import UserError, describe_exhaustion, describe_os_error
from stages.common.core.printed import plain_lines
from stages.common.core.signals import Interrupted, end_working


def run_command(name: str, work: Callable[[], int]) -> NoReturn:
    """Do the work of a command and exit with the code that it returns.

    A user's mistake, a full disk and full memory exit with 1, Ctrl-C with 130, SIGTERM with 143, each after one
    sentence on stderr. Anything else is a bug and keeps its traceback. A note on an interruption says what it left.

    Args:
        name: the command, which starts each sentence.
        work: returns the exit code, or raises SystemExit with it.
    """
    codes: list[int] = []
    atexit.register(skip_teardown, codes)  # before any library registers: the last that is called
    status: int | str | None
    try:
        prepare_output()
        status = work()
    except SystemExit as end:
        status = end.code
    except UserError as error:
        status = f"{name}: {plain_lines(str(error))}"
    except (Interrupted, KeyboardInterrupt) as interruption:
        left = getattr(interruption, "__notes__", ["no unfinished output was kept"])
        print(f"{name}: interrupted; {left[0]}", file=sys.stderr)
        status = getattr(interruption, "code", 130)
    except BrokenExecutor:
        status = f"{name}: a worker process was killed, often by a lack of memory; free some, or set WORKERS to fewer"
    except OSError as error:
        status = f"{name}: {plain_lines(describe_os_error(error))}"
    except Exception as error:
        status = f"{name}: {plain_lines(describe_exhaustion(error))}"
    end_working()
    codes.append(1 if isinstance(status, str) else status or 0)
    sys.exit(status)


def prepare_output() -> None:
    """Take what a caller closed (`>&-`) as thrown away, and write escapes for what an output's encoding lacks.

    Raises:
        UserError: text files would be read in another encoding than UTF-8, by which names could be taken for others.
    """
    sys.stdout, sys.stderr = (stream or open(os.devnull, "w") for stream in (sys.stdout, sys.stderr))  # noqa: PTH123, SIM115
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    encoding = getpreferredencoding(False)
    if encoding.lower().replace("-", "") != "utf8":
        raise UserError(f"expected UTF-8 as the encoding of texts, found {encoding}; set PYTHONUTF8=1")


def skip_teardown(codes: list[int]) -> None:
    """Leave with the code in `codes`, if there is one, before the interpreter takes its modules apart.

    With torch and timm loaded that takes two seconds and does nothing that the end of a process does not do.
    """
    if not codes:  # a bug, whose traceback the interpreter has printed
        return
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except (OSError, ValueError):  # nobody reads any more, or the disk is full: the interpreter says it in its own way
        return
    os._exit(codes[0])
