"""Where programs that are started look for libraries: not in the folder in which they start, which is the project's."""

import os

LIBRARY_PATH = "LD_LIBRARY_PATH"


def absolute(folders: str) -> str:
    """A list of folders without those that count from where a program starts, as empty ones do.

    It is never blank: cv2 adds an empty folder to a blank one.
    """
    return ":".join(folder for folder in folders.split(":") if folder.startswith("/")) or os.devnull


def refuse_own_libraries() -> None:
    """Let no program that this one starts load libraries from the current folder."""
    os.environ[LIBRARY_PATH] = absolute(os.environ.get(LIBRARY_PATH, ""))
