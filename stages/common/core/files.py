"""Files that are written whole or not at all, with bytes that depend on their content only."""

import fcntl
import json
import os
import re
import shutil
from collections.abc import Container, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
from PIL import Image

from stages.common.core.errors import UserError

WRITERS = 4  # processes that may write one folder at a time, the last of which wins
HALF_WRITTEN = re.compile(r"\.(.+)-partial-[^/]*")  # the name of a file or folder until it is finished


@contextmanager
def new_folder(target: Path) -> Iterator[Path]:
    """A folder that becomes `target` when the block ends well, and vanishes when it does not.

    It is built beside `target`, so that the last step is a rename on one file system. Two calls for one target, such as
    that of a process whose parent was killed and its successor's, build apart from one another. What killed calls left
    is removed first, and what a killed worker left in it, before it gets its name.

    Raises:
        UserError: `target` is a mount point, which cannot be replaced.
    """
    target = target.parent.resolve() / target.name  # workers may stand elsewhere
    if target.is_mount():
        raise UserError(f"{target}: expected a folder that can be replaced, found a mount point; name a folder in it")
    target.parent.mkdir(parents=True, exist_ok=True)
    with scratch_folder(target) as scratch:
        former = scratch.with_name(f"{scratch.name}-old")
        try:
            yield scratch
            for rest in sorted(scratch.rglob(".*-partial-*")):
                rest.unlink()
            if target.exists():
                target.rename(former)  # deleting it here would leave nothing for as long as that takes
            scratch.rename(target)
        finally:
            if former.exists() and not target.exists():
                former.rename(target)
            for stale in (scratch, former):
                shutil.rmtree(stale, ignore_errors=True)


@contextmanager
def scratch_folder(target: Path) -> Iterator[Path]:
    """An empty folder beside `target` that no other call uses as long as the block and this process last.

    Raises:
        UserError: too many processes write `target`.
    """
    folders = [target.with_name(f".{target.name}-partial-{number}") for number in range(1, WRITERS + 1)]
    for folder in folders:
        remove_unless_in_use(folder)
        remove_unless_in_use(folder.with_name(f"{folder.name}-old"))
    for folder in folders:
        try:
            folder.mkdir()
            handle = os.open(folder, os.O_RDONLY)
        except (FileExistsError, FileNotFoundError):  # another call has it, or took it for what a killed one left
            continue
        try:
            lock(handle, fcntl.LOCK_SH)
            if folder.exists():  # else another call took it for what a killed one left, before it was locked
                yield folder
                return
        finally:
            os.close(handle)
    raise UserError(f"{target}: {WRITERS} other processes write it now; wait for them, or end them")


def remove_unless_in_use(folder: Path) -> None:
    """Remove what a killed call left; Linux releases its lock, however it ended."""
    try:
        handle = os.open(folder, os.O_RDONLY)
    except OSError:  # there is none
        return
    try:
        if lock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB):
            shutil.rmtree(folder, ignore_errors=True)  # while it is locked: its maker may be about to lock it
    finally:
        os.close(handle)


def lock(handle: int, kind: int) -> bool:
    """Lock an open folder; False if another process has it. On a file system without such locks nobody can tell."""
    try:
        fcntl.flock(handle, kind)
    except BlockingIOError:
        return False
    except OSError:
        pass
    return True


def finished_name(path: str) -> str:
    """A path with the names that half-written files and folders would have got, had their writer not been killed."""
    return "/".join(HALF_WRITTEN.sub(r"\1", part) for part in path.split("/"))


def check_replaceable(target: Path, own: Container[str]) -> None:
    """Refuse to replace what a user's command did not write.

    Args:
        target: a folder that is to be replaced, if there is one.
        own: names of the files that the command writes into it.
    Raises:
        UserError: it is a file, or holds anything else.
    """
    if not target.exists():
        return
    foreign = [path.name for path in sorted(target.iterdir()) if path.name not in own] if target.is_dir() else []
    if foreign or not target.is_dir():
        actual = f"one with {foreign[0]!r}" if foreign else "a file"
        raise UserError(f"{target}: expected a new folder or one of this command's, found {actual}; name another")


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file by renaming a finished one into its place; who may read it is up to the user's umask."""
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_name(f".{path.name}-partial-{uuid4().hex[:8]}")
    try:
        with scratch.open("xb") as file:
            file.write(content)
        scratch.replace(path)
    finally:
        scratch.unlink(missing_ok=True)


def write_text(path: Path, content: str) -> None:
    """Write UTF-8; bytes of file names that are no UTF-8 become escapes such as \\udce4."""
    write_bytes(path, content.encode(errors="backslashreplace"))


def json_text(content: Any) -> str:
    """JSON with sorted keys.

    Raises:
        ValueError: there is a NaN or an infinity, which are no JSON.
    """
    return json.dumps(content, indent=1, sort_keys=True, allow_nan=False) + "\n"


def write_json(path: Path, content: Any) -> None:
    """Write `json_text`; a NaN is a programming error."""
    write_text(path, json_text(content))


def read_json(path: Path) -> Any:
    """What a JSON file of the pipeline holds.

    Raises:
        UserError: there is none, or it is damaged.
    """
    try:
        return json.loads(need(path).read_text())
    except ValueError:
        raise UserError(f"{path}: expected JSON, found a damaged file; remove it and run `dvc repro`") from None


def write_png(path: Path, image: np.ndarray) -> None:
    """Lossless PNG of a uint8 or uint16 grey image (H, W), a bool mask (as 0 and 255), or uint8 RGB (H, W, 3).

    Rows are stored as differences to the row above and compressed by their runs, which takes a quarter of the time of
    zlib's search for repeats, and as many bytes for a film (benchmarks/README.md).
    """
    import cv2  # a tenth of a second, and most that import this module write no picture

    if image.dtype == bool:
        image = image.astype(np.uint8) * 255
    if image.dtype not in (np.uint8, np.uint16):
        raise ValueError(f"a PNG holds uint8 or uint16, not {image.dtype}")
    runs = [cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_RLE, cv2.IMWRITE_PNG_FILTER, cv2.IMWRITE_PNG_FILTER_UP]
    colours_first = image[:, :, ::-1] if image.ndim == 3 else image  # OpenCV's pictures are BGR
    write_bytes(path, cv2.imencode(".png", np.ascontiguousarray(colours_first), runs)[1].tobytes())


def read_png(path: Path) -> np.ndarray:
    """The pixels of a PNG that this pipeline wrote: uint8 or uint16, (H, W) or (H, W, 3)."""
    try:
        with Image.open(need(path), formats=("PNG",)) as image:
            pixels = np.asarray(image)
    except (OSError, SyntaxError, ValueError) as error:
        raise UserError(
            f"{path}: expected a PNG, found an unreadable file ({error}); remove it and run `dvc repro`"
        ) from error
    return pixels.astype(np.uint16) if pixels.dtype == np.int32 else pixels


def need(path: Path) -> Path:
    """`path`, if it is a file; else a UserError that says how to get it."""
    if not path.exists():
        raise UserError(f"{path}: expected a file of an earlier stage, found none; run `dvc repro` to make it")
    if not path.is_file():  # a pipe that nobody writes to is waited for
        raise UserError(f"{path}: expected a file, found a folder, pipe or device; remove it")
    return path
