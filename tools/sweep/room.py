"""A disk without room: an experiment waits until there is some, since others write on that disk, too."""

import errno
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

from dvc.config import Config

from tools.sweep.patience import Away, Failed, patiently

LEAST = 50_000_000  # bytes below which a disk is full: a copy of the workspace, a network and its checkpoint take more
PROBE = 1_000_000  # bytes that are taken for a moment; no figure of a disk tells that a quota is used up
PAUSE = 5.0  # seconds between two looks
FREE = (
    "free some: `dvc push --all-commits` and `dvc exp push origin --all-commits`, then `dvc gc --workspace "
    "--all-commits --all-experiments`, which keeps what a commit or an experiment needs"
)
FULL = (errno.ENOSPC, errno.EDQUOT)
# What programs say of it: the C library, SQLite, and this project's own sentences.
SAID = (*map(os.strerror, FULL), "disk is full", "disk quota is used up")
Result = TypeVar("Result")


class NoRoom(Failed):
    """A disk stayed full; nothing else is known to be wrong with the experiment."""


def with_room(name: str, attempt: Callable[[], Result], stop: Callable[[], bool], folder: Path = Path()) -> Result:
    """What an attempt returns, which waits while a disk is full, and is made again where it failed for lack of room.

    Args:
        name: of the experiment.
        attempt: which may be repeated.
        stop: asked before each further attempt.
        folder: the project that the experiment runs in.
    Raises:
        NoRoom: the disk is still full after ten minutes.
        Exception: what the attempt raises for another reason.
    """

    def once() -> Result:
        if lack := shortage(folder):
            raise away(name, lack, lack)
        try:
            return attempt()
        except Exception as error:
            lack = shortage(folder)
            if not lack and not says_full(str(error)):
                raise
            raise away(name, lack or f"there was none for a moment; {fullest(folder)}", str(error)) from None

    return patiently(once, stop, PAUSE)


def away(name: str, lack: str, error: str) -> Away:
    return Away(f"{name}: no room on a disk: {lack}; {FREE}", NoRoom(f"{name}: no room on a disk: {error}"))


def says_full(text: str) -> bool:
    """Whether the end of a program's output tells that a disk is full, or a quota used up."""
    return any(said in text for said in SAID)


def shortage(folder: Path) -> str:
    """What is said of the first folder in which an experiment finds no room; empty where there is some in each.

    Args:
        folder: the project's root.
    """
    for place in places(folder):
        if shutil.disk_usage(place).free < LEAST:
            return f"{free_in(place)}, and an experiment takes {LEAST / 1e6:.0f} MB or more"
        try:
            with tempfile.TemporaryFile(dir=place) as file:  # without a name, so that nobody else sees it
                os.posix_fallocate(file.fileno(), 0, PROBE)
        except OSError as error:
            if error.errno in FULL:
                return f"{os.strerror(error.errno)} in {place}"
    return ""


def fullest(folder: Path) -> str:
    """What is said of the folder with the least room."""
    return free_in(min(places(folder), key=lambda place: shutil.disk_usage(place).free))


def free_in(place: Path) -> str:
    return f"{shutil.disk_usage(place).free / 1e6:.1f} MB are free in {place}"


def places(folder: Path) -> Iterator[Path]:
    """The folders in which an experiment writes, as far as they are there.

    They are the copy of the workspace and git, DVC's cache and its notes, checkpoints, and temporary files.
    """
    root = folder.resolve()
    config = Config(str(root / ".dvc"))
    named = (
        root / ".dvc/tmp",
        Path(config["cache"].get("dir", root / ".dvc/cache")),
        Path(os.environ.get("DVC_SITE_CACHE_DIR") or config["core"].get("site_cache_dir", root)),
        Path(os.environ.get("CHECKPOINT_DIR") or root / ".checkpoints"),
        Path(tempfile.gettempdir()),
    )
    for place in named:
        yield next(above for above in (place, *place.parents) if above.is_dir())
