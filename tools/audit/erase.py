"""Removal of files, and of objects of DVC's cache for all workspaces that share them."""

from collections.abc import Iterable
from pathlib import Path

from stages.common.core.errors import error_list
from tools.audit.dvc_cache import object_paths


def erase_all(root: Path, hashes: Iterable[str], files: Iterable[Path]) -> None:
    """Remove objects of the cache and files.

    Raises:
        UserError: some cannot be removed; all others are.
    """
    objects = [path for md5 in hashes for path in sorted(object_paths(root, md5))]
    kept = [*map(erase, objects), *map(remove, files)]
    if any(kept):
        raise error_list("these files are still there; change what is named and withdraw again", filter(None, kept))


def erase(path: Path) -> str:
    """Remove an object of the cache, and its content for every workspace that has a hard link to it.

    Returns:
        why it is still there; blank where it is not.
    """
    try:
        if path.exists() and path.stat().st_nlink > 1:
            path.chmod(0o644)
            path.write_bytes(b"")
    except OSError as error:
        return f"{path}: {error.strerror}"
    return remove(path)


def remove(path: Path) -> str:
    """Remove a file or link that may be gone already; why it is still there, blank where it is not."""
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        return f"{path}: {error.strerror}"
    return ""
