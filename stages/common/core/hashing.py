"""SHA-256 of files, folders and JSON values, as hex digits."""

import hashlib
import json
from pathlib import Path
from typing import Any


def sha256(path: Path) -> str:
    """SHA-256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def json_sha256(content: Any) -> str:
    """SHA-256 of a JSON value, keys sorted."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def folder_sha256(folder: Path, pattern: str = "*") -> str:
    """One hash over the names and bytes of the files below a folder."""
    total = hashlib.sha256()
    for path in sorted(path for path in folder.rglob(pattern) if path.is_file()):
        total.update(f"{path.relative_to(folder).as_posix()} {sha256(path)}\n".encode())
    return total.hexdigest()
