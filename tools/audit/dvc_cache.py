"""DVC's cache: objects lie under the md5 of their bytes, folders are lists of them.

DVC itself says where the cache lies and which files of a folder count. Two things are done here, and a test holds them
to DVC's answers: lists are read ten times as fast as by DVC's class, and files are hashed by all their bytes, where DVC
takes one whose size and time are the same for unchanged.
"""

import hashlib
import json
import os
import re
import stat
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

from dvc.config import Config, ConfigError

from stages.common.core.errors import UserError
from tools.audit.folders import all_below

MD5 = re.compile(r"[0-9a-f]{32}(\.dir)?")
DEFAULT_SITE_CACHE = Path("/var/tmp/dvc")  # of DVC itself, on Linux
THREADS = 8  # hashing leaves the interpreter to others; reading waits for the disk


@cache
def cache_folder(root: Path) -> Path:
    """The folder of the project's objects, by DVC's configuration of the system, the user and the project.

    Raises:
        UserError: DVC cannot read its configuration.
    """
    try:
        config = Config(str(root / ".dvc"))  # a third of the time that it takes to open a Repo
    except ConfigError as error:
        raise UserError(f"DVC's configuration cannot be read: {error}; correct the file that it names") from None
    return Path(cache_in(config) or root / ".dvc/cache") / "files/md5"


def cache_in(config: Any) -> str:
    """The folder of the cache in DVC's settings: the remote that `cache.local` names comes before `cache.dir`."""
    named = config.get("cache", {}).get("local")
    place = config.get("remote", {}).get(named, {}).get("url") if named else config.get("cache", {}).get("dir")
    return str(place or "")


def committed_cache(root: Path) -> Path | None:
    """The folder of the cache by the settings that a commit has, which every clone takes over; None for the default.

    Raises:
        UserError: DVC cannot read them.
    """
    try:
        folder = cache_in(Config(str(root / ".dvc")).load_one("repo"))
    except ConfigError as error:
        raise UserError(f"DVC's configuration cannot be read: {error}; correct the file that it names") from None
    return Path(folder) if folder else None


def cache_folders(root: Path) -> set[Path]:
    """The folders of objects: of the cache, and of the default one, which keeps what was made before it was moved."""
    return {cache_folder(root), root / ".dvc/cache/files/md5"}


def object_path(root: Path, md5: str) -> Path:
    return cache_folder(root) / below_objects(md5)


def below_objects(md5: str) -> Path:
    """Where an object lies in a folder of objects.

    Args:
        md5: of a record; or the name of what DVC did not finish, as `all_objects` gives it.
    Raises:
        UserError: it leads elsewhere. A forged record could name a path out of the cache, and withdraw removes it.
    """
    below = Path(md5[:2]) / md5[2:]
    if "/" in md5 or ".." in below.parts or len(below.parts) != 2:
        raise UserError(
            f"dvc.lock: expected the MD5 of a file or folder, found {md5!r:.80}; `git checkout dvc.lock` brings back "
            "the committed one"
        )
    return below


def object_paths(root: Path, md5: str) -> set[Path]:
    """Where an object may lie."""
    return {folder / below_objects(md5) for folder in cache_folders(root)}


def stored(root: Path, md5: str) -> Path:
    """Where an object lies: in the cache, unless only the default one has it, from before the cache was moved."""
    path = object_path(root, md5)
    return path if path.is_file() else next(filter(Path.is_file, object_paths(root, md5)), path)


def all_objects(root: Path) -> list[tuple[str, Path]]:
    """Every file in the cache and in the default one, with its md5; what DVC did not finish has another name."""
    paths = [path for folder in sorted(cache_folders(root)) for path in all_below(folder) if path.is_file()]
    return [(path.parent.name + path.name, path) for path in paths]


def is_own(root: Path, path: Path) -> bool:
    """Whether an object lies in a cache of this project alone; one outside of it may be shared, also behind a link."""
    return lies_in(root, path.parents[1])


@cache
def lies_in(root: Path, folder: Path) -> bool:
    return folder.resolve().is_relative_to(root.resolve())


def site_cache(root: Path) -> Path:
    """Where DVC keeps what it knows of this project's files, names included; it is made again when it is gone."""
    from dvc.repo import Repo  # half a second, of which a trace has no need

    with Repo(str(root)) as repo:
        return Path(repo.site_cache_dir)


def site_caches(root: Path) -> set[Path]:
    """Where DVC keeps it today, and where it did before `make setup`, or while DVC_SITE_CACHE_DIR was another."""
    here = site_cache(root)
    return {here, DEFAULT_SITE_CACHE / here.parent.name / here.name}


@lru_cache(maxsize=4096)
def listing(root: Path, md5: str) -> dict[str, str] | None:
    """The files of a folder by relative path, md5 each, from its `.dir` object; None where the cache lacks it.

    A list with what is no MD5, or with a path out of the folder, was changed and counts as none.
    """
    path = stored(root, md5)
    try:
        files = {str(item["relpath"]): str(item["md5"]) for item in json.loads(path.read_text())}
        sound = all(MD5.fullmatch(of) and ".." not in f"/{name}".split("/") for name, of in files.items())
        return files if sound and not any(name.startswith("/") for name in files) else None
    except (OSError, ValueError, TypeError, KeyError):  # none, or one that was cut off or changed
        return None


def content_md5(content: bytes) -> str:
    """md5 of bytes, hex."""
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def folder_list(files: dict[str, str]) -> tuple[str, bytes]:
    """DVC's list of a folder, and its hash: the JSON of its files, md5 by path, sorted by path."""
    items = [{"md5": files[path], "relpath": path} for path in sorted(files)]
    content = json.dumps(items, sort_keys=True).encode()
    return content_md5(content) + ".dir", content


def folder_md5(files: dict[str, str]) -> str:
    """DVC's hash of a folder, of md5 by path."""
    return folder_list(files)[0]


@lru_cache(maxsize=4096)
def files_of(root: Path, out: str, md5: str) -> dict[str, str] | None:
    """The files of an output by relative path, md5 each: by its list, or where the cache lacks that, as they are here.

    Args:
        root: of the project.
        out: from the root.
        md5: of the folder.
    Returns:
        None where there is neither, or what is here has another hash.
    """
    if not MD5.fullmatch(md5):
        return None
    listed = listing(root, md5)
    if listed is None or folder_md5(listed) != md5:
        listed = hash_folder(root, out)
    return listed if folder_md5(listed) == md5 else None


def joined_md5(root: Path, folder: str, outs: dict[str, str]) -> str:
    """DVC's hash of a folder whose parts are outputs of several stages; blank where one is not here.

    Args:
        root: of the project.
        folder: from the root.
        outs: md5 of each output in it, by its path from the root.
    """
    files = dict[str, str]()
    for out, md5 in outs.items():
        listed = files_of(root, out, md5) if md5.endswith(".dir") else {"": md5}
        if listed is None:
            return ""
        files |= {f"{out}/{name}".rstrip("/").removeprefix(f"{folder}/"): of for name, of in listed.items()}
    return folder_md5(files)


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


def damaged_objects(root: Path, outputs: Iterable[str], others: bool) -> dict[Path, str]:
    """Objects of the cache whose bytes are not those of their name, by which DVC knows them: the md5 that they have.

    Args:
        root: of the project.
        outputs: md5 of files and folders, whose objects are looked at.
        others: whether all others in a cache of the project alone are, too.
    """
    listed = set(outputs)
    listed |= {md5 for out in listed for md5 in (listing(root, out) or {}).values()}
    objects = {path: md5 for md5, path in all_objects(root) if MD5.fullmatch(md5)}
    asked = [path for path, md5 in objects.items() if md5 in listed or (others and is_own(root, path))]
    return {path: found for path, found in hash_files(asked).items() if found != objects[path].removesuffix(".dir")}


def hash_share(paths: list[Path]) -> dict[Path, str]:
    return {path: file_md5(path) if path.is_file() else "" for path in paths}


def hash_folder(root: Path, folder: str) -> dict[str, str]:
    """md5 of a folder's files by relative path."""
    paths = {name: root / folder / name for name in files_below(root, folder)}
    hashes = hash_files(list(paths.values()))
    return {name: hashes[path] for name, path in paths.items()}


def size(path: Path) -> int:
    """Bytes of a file; 0 for one that is not there."""
    try:
        facts = path.stat()
    except OSError:
        return 0
    return facts.st_size if stat.S_ISREG(facts.st_mode) else 0


def files_below(root: Path, folder: str) -> Iterator[str]:
    """Relative paths of the files that DVC sees in a folder, which are those that no .dvcignore excludes."""
    top = str(root.resolve() / folder)
    ignored = ignores(root.resolve())
    for path in ignored.find(ignored.fs, top):
        if os.path.isfile(path):  # noqa: PTH113 - fast
            yield path[len(top) + 1 :]


@cache
def ignores(root: Path) -> Any:
    """DVC's own reader of .dvcignore files."""
    from dvc.fs import localfs
    from dvc.ignore import DvcIgnoreFilter  # half a second, of which a trace has no need

    return DvcIgnoreFilter(localfs, str(root))
