"""Removal of files, of objects of DVC's cache for all workspaces that share them, and of objects of its remotes."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from dvc.repo import Repo

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


def remove_from_remotes(root: Path, hashes: Iterable[str]) -> dict[str, int]:
    """Remove objects from every DVC remote; how many there were in each.

    Raises:
        UserError: a remote cannot be reached or refuses; all others are done.
    """
    from stages.common.model.tracking import describe  # with MLflow: seconds, of which removing files has no need

    counts, failures = dict[str, int](), list[str]()
    with Repo(str(root)) as repo:
        for name in sorted(repo.config["remote"]):
            try:
                counts[name] = remove_from_remote(repo.cloud.get_remote_odb(name), hashes)
            except Exception as error:  # each kind of remote fails in its own way
                failures.append(f"remote {name}: {describe(error)}")
    if failures:
        raise error_list("the files may still be there; make the remote reachable and withdraw again", failures)
    return counts


def remove_from_remote(remote: Any, hashes: Iterable[str]) -> int:
    """Remove objects from one remote (an object store of DVC); how many there were."""
    paths = [path for path in map(remote.oid_to_path, sorted(hashes)) if remote.fs.exists(path)]
    for path in paths:
        remote.fs.remove(path)
    return len(paths)
