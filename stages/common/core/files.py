"""Files that are written whole or not at all, with bytes that depend on their content only."""

import json
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from stages.common.core.errors import UserError


@contextmanager
def new_folder(target: Path) -> Iterator[Path]:
    """A folder that becomes `target` when the block ends well, and vanishes when it does not.

    It is built beside `target`, so that the last step is a rename on one file system. What an earlier, killed call left
    is removed first, and what a killed worker left in it, before it gets its name.
    """
    parent = target.parent.resolve()  # workers may stand elsewhere
    scratch, former = (parent / f".{target.name}-partial-{side}" for side in ("new", "old"))
    for stale in (scratch, former):
        shutil.rmtree(stale, ignore_errors=True)
    scratch.mkdir(parents=True)
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


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file by renaming a finished one into its place."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}-partial-", delete=False) as file:
        scratch = Path(file.name)
        try:
            file.write(content)
            file.close()
            scratch.chmod(0o644)
            scratch.replace(path)
        finally:
            scratch.unlink(missing_ok=True)


def write_text(path: Path, content: str) -> None:
    write_bytes(path, content.encode())


def write_json(path: Path, content: Any) -> None:
    """JSON with sorted keys; a NaN is a programming error and raises ValueError."""
    write_text(path, json.dumps(content, indent=1, sort_keys=True, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    return json.loads(need(path).read_text())


def write_table(path: Path, table: pd.DataFrame) -> None:
    """CSV with `\\n` line ends and the shortest decimal that reads back as the same float."""
    write_text(path, table.to_csv(index=False, lineterminator="\n"))


def write_png(path: Path, image: np.ndarray) -> None:
    """Lossless PNG of a uint8 or uint16 grey image (H, W), a bool mask (as 0 and 255), or uint8 RGB (H, W, 3)."""
    if image.dtype == bool:
        image = image.astype(np.uint8) * 255
    if image.dtype not in (np.uint8, np.uint16):
        raise ValueError(f"a PNG holds uint8 or uint16, not {image.dtype}")
    buffer = BytesIO()
    Image.fromarray(image).save(buffer, format="PNG", compress_level=4)
    write_bytes(path, buffer.getvalue())


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
    """`path`, if it is there; else a UserError that says how to get it."""
    if not path.exists():
        raise UserError(f"{path}: expected a file of an earlier stage, found none; run `dvc repro` to make it")
    return path
