"""DVC's cache, read without DVC: objects lie under the md5 of their bytes, folders are lists of them."""

import configparser
import hashlib
import json
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path

import pathspec

THREADS = 8  # hashing leaves the interpreter to others; reading waits for the disk


def cache_folder(root: Path) -> Path:
    """Where the project keeps its objects: cache.dir of its own, local first, else .dvc/cache."""
    for name in ("config.local", "config"):
        config = configparser.ConfigParser(strict=False)
        config.read(root / ".dvc" / name)
        if config.has_option("cache", "dir"):
            return (root / ".dvc" / config["cache"]["dir"]).resolve() / "files/md5"
    return root / ".dvc/cache/files/md5"


def object_path(root: Path, md5: str) -> Path:
    return cache_folder(root) / md5[:2] / md5[2:]


@lru_cache(maxsize=4096)
def listing(root: Path, md5: str) -> dict[str, str] | None:
    """The files of a folder by relative path, md5 each, from its `.dir` object; None where the cache lacks it."""
    place = object_path(root, md5)
    if not place.is_file():
        return None
    return {item["relpath"]: item["md5"] for item in json.loads(place.read_text())}


def folder_md5(files: dict[str, str]) -> str:
    """DVC's hash of a folder: md5 of the JSON list of its files, sorted by path."""
    items = [{"md5": files[path], "relpath": path} for path in sorted(files)]
    return hashlib.md5(json.dumps(items, sort_keys=True).encode(), usedforsecurity=False).hexdigest() + ".dir"


def file_md5(path: Path) -> str:
    """md5 of a file's bytes, hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def hash_files(paths: list[Path]) -> dict[Path, str]:
    """md5 of many files; blank for one that is not there."""
    # A share for each thread, large files first: handing over single files costs more than hashing small ones.
    dealt = sorted(paths, key=size, reverse=True)
    with ThreadPoolExecutor(THREADS) as pool:
        shares = pool.map(hash_share, (dealt[start::THREADS] for start in range(THREADS)))
        return {path: md5 for share in shares for path, md5 in share.items()}


def hash_share(paths: list[Path]) -> dict[Path, str]:
    return {path: file_md5(path) if path.is_file() else "" for path in paths}


def hash_folder(root: Path, folder: str) -> dict[str, str]:
    """md5 of a folder's files by relative path."""
    places = {name: root / folder / name for name in files_below(root, folder)}
    hashes = hash_files(list(places.values()))
    return {name: hashes[place] for name, place in places.items()}


def size(path: Path) -> int:
    """Bytes of a file; 0 for one that is not there."""
    return path.stat().st_size if path.is_file() else 0


def files_below(root: Path, folder: str) -> Iterator[str]:
    """Relative paths of the files that DVC sees in a folder: those that .dvcignore names are none of them."""
    lines = (root / ".dvcignore").read_text().splitlines() if (root / ".dvcignore").is_file() else []
    ignored, top = pathspec.PathSpec.from_lines("gitignore", lines), str(root / folder)
    for place, _, names in os.walk(top):
        below = place[len(top) + 1 :]
        for name in names:
            path = f"{below}/{name}" if below else name
            if not ignored.match_file(f"{folder}/{path}") and os.path.isfile(f"{top}/{path}"):  # noqa: PTH113 - fast
                yield path
