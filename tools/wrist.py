"""The console script `wrist`: signals are handled and instructions are pinned before anything else is imported."""

from pathlib import Path

from stages.common.core.arithmetic import pin_instructions
from stages.common.core.errors import UserError, describe_encoding
from stages.common.core.git import stay_in_repository
from stages.common.core.library_path import refuse_own_libraries
from stages.common.core.shell import run_command
from stages.common.core.signals import begin_loading
from stages.common.data.layout import PARAMS

READ = (PARAMS, *map(Path, ("dvc.yaml", "dvc.lock", ".dvcignore", ".dvc/config", ".dvc/config.local")))
"""Files of the project that every command may read, here or in DVC."""
# What SQLite says of a disk that is full, fails or is read-only, in the notes of DVC and in the store of MLflow.
REFUSED = (
    "database or disk is full",
    "disk I/O error",  # also of a full disk
    "attempt to write a readonly database",
    "unable to open database file",
)


def main() -> None:
    begin_loading("wrist")
    stay_in_repository()
    pin_instructions(torch=False)
    refuse_own_libraries()
    run_command("wrist", work)


def refuse_pipes() -> None:
    """Refuse what would be waited for without end.

    Raises:
        UserError: a file that is read is a pipe, a device or a folder.
    """
    for path in READ:
        if path.exists() and not path.is_file():
            raise UserError(f"{path}: expected a file, found a pipe, a device or a folder; remove it")


def describe_project_file(error: UnicodeDecodeError) -> str:
    """A sentence for a file of the project that is no UTF-8; else it is a bug."""
    for name in READ:
        if name.is_file() and name.read_bytes() == error.object:
            return describe_encoding(name, error)
    raise error


def work() -> int:
    """Run the command.

    Raises:
        UserError: a mistake of the user, a file that cannot be had, or a database that could not be written.
    """
    refuse_pipes()
    from tools.command_line import app

    try:
        return int(app() or 0)
    except (UserError, OSError):
        raise
    except UnicodeDecodeError as error:
        raise UserError(describe_project_file(error)) from error
    except Exception as error:
        if type(error).__module__.startswith("dulwich."):  # by which DVC reads a repository
            raise UserError(f"git's files cannot be read: {error}; `git fsck` may say more, or clone anew") from error
        said = next((words for words in REFUSED if words in str(error)), "")
        if not said:
            raise
        raise UserError(
            f"expected to write to a database of DVC or MLflow, found: {said}; free some space, make its folder "
            "writable, and rerun the command"
        ) from error


if __name__ == "__main__":  # else `python -m tools.wrist` would end well and do nothing
    main()
