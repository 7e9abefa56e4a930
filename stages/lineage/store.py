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


def hash_files(paths: list[Path]) -> list[str]:
    """md5 of many files; blank for one that is not there."""
    found = [""] * len(paths)
    with ThreadPoolExecutor(THREADS) as pool:
        # A share for each thread: handing over single files costs more than to hash small ones.
        for start, share in enumerate(pool.map(hash_share, (paths[start::THREADS] for start in range(THREADS)))):
            found[start::THREADS] = share
    return found


def hash_share(paths: list[Path]) -> list[str]:
    return [file_md5(path) if path.is_file() else "" for path in paths]


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
