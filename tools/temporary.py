"""Folders for clones of the project, with films of patients in them: none outlives its process for long."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from stages.common.core.process import has_ended, process_name

PREFIX, OWNER = "wrist-clone-", "process"  # of temporary folders, and of the file in each that names its process


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """An empty folder that is removed at the end; those of killed processes are removed first, before they fill a disk.

    Each lies beside the name of its process. Without that name a folder stays.
    """
    remove_abandoned()
    path = Path(tempfile.mkdtemp(prefix=PREFIX))
    owner = path / OWNER
    try:
        owner.write_text(process_name(os.getpid()))
        (path / "project").mkdir()
        yield path / "project"
    finally:
        if owner.exists():
            shutil.rmtree(path, ignore_errors=True)


def remove_abandoned() -> None:
    """Remove the folders that killed processes left."""
    for left in Path(tempfile.gettempdir()).glob(f"{PREFIX}*/{OWNER}"):
        with suppress(OSError):  # of another user, or gone by now
            if (name := left.read_text()) and has_ended(name):
                shutil.rmtree(left.parent, ignore_errors=True)


def temporary_folders() -> list[Path]:
    """Those that are there: of processes that run, and of results that were kept."""
    return sorted(Path(tempfile.gettempdir()).glob(f"{PREFIX}*"))
