"""The console script `wrist`: signals are handled and instructions are pinned before anything else is imported."""

from stages.common.core.arithmetic import pin_instructions
from stages.common.core.errors import UserError
from stages.common.core.library_path import refuse_own_libraries
from stages.common.core.shell import run_command
from stages.common.core.signals import begin_loading

# What SQLite says of a disk that is full, fails or is read-only, in the notes of DVC and in the store of MLflow.
REFUSED = (
    "database or disk is full",
    "disk I/O error",  # also of a full disk
    "attempt to write a readonly database",
    "unable to open database file",
)


def main() -> None:
    begin_loading("wrist")
    pin_instructions(torch=False)
    refuse_own_libraries()
    run_command("wrist", work)


def work() -> int:
    """Run the command.

    Raises:
        UserError: a database could not be written.
    """
    from tools.command_line import app

    try:
        return int(app() or 0)
    except UserError:
        raise
    except Exception as error:
        said = next((words for words in REFUSED if words in str(error)), "")
        if not said:
            raise
        raise UserError(
            f"expected to write to a database of DVC or MLflow, found: {said}; free some space, make its folder "
            "writable, and rerun the command"
        ) from error
