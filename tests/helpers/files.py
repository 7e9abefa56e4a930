"""Hashes of files and folders, and damage to them."""

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path


def tree_hash(folder: Path) -> str:
    """One hash over names and bytes of a folder, or of one file."""
    total = hashlib.sha256()
    for path in [folder] if folder.is_file() else sorted(p for p in folder.rglob("*") if p.is_file()):
        total.update(str(path.relative_to(folder)).encode() + b"\0" + path.read_bytes())
    return total.hexdigest()


@contextmanager
def flipped(path: Path) -> Iterator[None]:
    """One bit in the middle of a file is another while the block runs."""
    before = path.read_bytes()
    middle = len(before) // 2
    path.write_bytes(before[:middle] + bytes([before[middle] ^ 1]) + before[middle + 1 :])
    try:
        yield
    finally:
        path.write_bytes(before)


class MemoryFiles:
    """Files in memory, as ingest sees those of a source."""

    label = ""

    def __init__(self, content: Mapping[str, str | bytes]) -> None:
        self.content = content

    def names(self) -> list[str]:
        return sorted(self.content)

    def called(self, name: str) -> str:
        return name

    def read(self, name: str) -> bytes:
        content = self.content[name]
        return content.encode() if isinstance(content, str) else content
