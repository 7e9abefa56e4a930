"""What of an output this command wrote itself, and nobody changed since: nothing else is replaced."""

import fcntl
import os
import shutil
from collections.abc import Container, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from stages.common.core.busy import busy
from stages.common.core.errors import UserError
from stages.common.core.files import check_replaceable, lock, read_json, scratch_folder, write_bytes, write_json
from stages.common.core.hashing import sha256
from tools.predict.films import WRITTEN


def require_own_folder(folder: Path, names: Container[str], is_own: bool) -> None:
    """Refuse to replace a folder that a command did not write.

    Args:
        folder: that is to be replaced, if there is one.
        names: of the files that the command writes into it.
        is_own: whether the folder holds the command's own marker.
    Raises:
        UserError: it is a file or a link, holds anything else or lacks the marker.
    """
    if folder.is_symlink():
        raise UserError(f"{folder}: expected a new folder or one of this command's, found a link; name another")
    check_replaceable(folder, names)
    if folder.is_dir() and any(folder.iterdir()) and not is_own:
        raise UserError(f"{folder}: expected a new folder or one of this command's, found another; name another")


def require_own_files(output: Path, names: Iterable[str]) -> None:
    """Refuse to replace files below an output that this command did not write, or that somebody changed since.

    Args:
        output: the folder of predictions.
        names: of the files that are to be replaced, if they are there.
    Raises:
        UserError: one is not as `written.json` has it.
    """
    known = read_written(output)
    for path, name in ((output / name, name) for name in names):
        there = path.exists() or path.is_symlink()
        if there and not (path.is_file() and sha256(path) in known.get(name, ())):
            raise UserError(
                f"{path}: expected a new file or one of this command's that nobody changed, found another, which would "
                "be replaced; move it elsewhere, or choose another --output"
            )


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Keep other calls from the files above the folders of films, which all of them write; waits until it can.

    Args:
        folder: the output, which is there.
    """
    handle = os.open(folder, os.O_RDONLY)
    try:
        with busy("predict: waits for another call"):
            lock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


@contextmanager
def own_files(output: Path) -> Iterator[Path]:
    """A folder whose files go to the same places below `output` when the block ends well. The caller is `alone_in` it.

    Their hashes are noted first, beside those of what they replace, so that a call that is killed leaves no file that
    the next one takes for somebody else's.

    Raises:
        UserError: of `require_own_files`, also for what was changed while the block ran.
    """
    output.mkdir(parents=True, exist_ok=True)
    with scratch_folder(output / WRITTEN) as scratch:
        try:
            yield scratch
            names = sorted(path.relative_to(scratch).as_posix() for path in scratch.rglob("*") if path.is_file())
            require_own_files(output, names)
            hashes = {name: {sha256(folder / name) for folder in (output, scratch) if (folder / name).exists()}
                      for name in names}  # fmt: skip
            write_json(output / WRITTEN, read_written(output) | {name: sorted(hashes[name]) for name in names})
            for name in names:
                write_bytes(output / name, (scratch / name).read_bytes())
        finally:
            shutil.rmtree(scratch, ignore_errors=True)


def read_written(output: Path) -> dict[str, list[str]]:
    """SHA-256 of this command's files above the folders of films, by their names below the output: the last two.

    Raises:
        UserError: the record is another's, or damaged.
    """
    path = output / WRITTEN
    if not path.exists():
        return {}
    try:
        content = read_json(path) if path.is_file() else None
    except UserError:
        content = None
    if not isinstance(content, dict) or not all(isinstance(hashes, list) for hashes in content.values()):
        raise UserError(
            f"{path}: expected a new file or one of this command's, found another; move it elsewhere, or choose "
            "another --output"
        )
    return content
