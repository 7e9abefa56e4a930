"""Folders for clones of the project, with films of patients in them: none outlives its process for long."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from stages.common.core.process import has_ended, process_name

PATIENCE = 60  # seconds for what still works in a folder that is to be removed
PREFIX, OWNER = "wrist-clone-", "process"  # of temporary folders, and of the file in each that names its process


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """An empty folder that is removed at the end, when nothing works in it any more.

    Those of killed processes are removed first, before they fill a disk. Each lies beside the name of its process.
    Without that name a folder stays.
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
            psutil.wait_procs(processes_in(path), PATIENCE)
            shutil.rmtree(path, ignore_errors=True)


def processes_in(folder: Path) -> list[psutil.Process]:
    """What works in a folder: a training that was asked to stop writes its state, and would make the folder anew."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):  # of another user, or gone by now
            if Path(process.cwd()).is_relative_to(folder):
                found.append(process)
    return found


def remove_abandoned() -> None:
    """Remove the folders that killed processes left."""
    for left in Path(tempfile.gettempdir()).glob(f"{PREFIX}*/{OWNER}"):
        with suppress(OSError):  # of another user, or gone by now
            if (name := left.read_text()) and has_ended(name):
                shutil.rmtree(left.parent, ignore_errors=True)


def temporary_folders() -> list[Path]:
    """Those that are there: of processes that run, and of results that were kept."""
    return sorted(Path(tempfile.gettempdir()).glob(f"{PREFIX}*"))
