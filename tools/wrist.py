"""The console script `wrist`: signals are handled and instructions are pinned before anything else is imported."""

import errno
import os

from stages.common.core.arithmetic import pin_instructions
from stages.common.core.library_path import refuse_own_libraries
from stages.common.core.shell import run_command
from stages.common.core.signals import begin_loading

FULL = "database or disk is full"  # as SQLite says it, in the notes of DVC and in the store of MLflow


def main() -> None:
    begin_loading("wrist")
    pin_instructions(torch=False)
    refuse_own_libraries()
    run_command("wrist", work)


def work() -> int:
    """Run the command; of a full disk a database says what a file says of it.

    Raises:
        OSError: a database could not be written.
    """
    from tools.command_line import app

    try:
        return int(app() or 0)
    except Exception as error:
        if FULL in str(error):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "a database of DVC or MLflow") from error
        raise
