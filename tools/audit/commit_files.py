"""The files of a commit. git takes what lies under the name of an object for the object: here its hash is computed."""

import hashlib
import os
from collections.abc import Iterable
from io import BytesIO
from pathlib import Path

from stages.common.core.errors import UserError
from tools.audit.repository import commit_of, git

FOLDER = "40000"  # git's mode
MODES = (FOLDER, "100644", "100755", "120000", "160000")  # all that git writes; it reads others, such as 040000


class DamagedObject(UserError):
    """An object of git that is not what its name says, or that is not there."""


def commit_files(root: Path, revision: str) -> dict[str, tuple[str, str]]:
    """Mode and blob of every file of a commit, by its path from the root.

    Args:
        root: of the project, which may be a folder of the repository.
        revision: a commit, a branch or a tag.
    Raises:
        UserError: there is no such commit.
        DamagedObject: of one of its folders, or of the commit.
    """
    commit = commit_of(root, revision)
    head = read_objects(root, [commit])[commit]
    top = head.removeprefix(b"tree ").partition(b"\n")[0].decode()
    prefix = git(root, "rev-parse", "--show-prefix").removesuffix("\n")
    files, todo = dict[str, tuple[str, str]](), [("", top)]
    while todo:
        trees, folders = read_objects(root, [tree for _, tree in todo]), todo
        todo = []
        for folder, tree in folders:
            for mode, name, oid in entries(trees[tree], len(commit) // 2):
                path = folder + name
                if mode != FOLDER:
                    files[path] = (mode, oid)
                elif f"{path}/".startswith(prefix) or prefix.startswith(f"{path}/"):
                    todo.append((f"{path}/", oid))
    return {path.removeprefix(prefix): found for path, found in files.items() if path.startswith(prefix)}


def committed_texts(root: Path, revision: str, names: Iterable[str]) -> list[str]:
    """Files of a commit, by their paths from the root.

    Raises:
        UserError: the commit lacks one.
    """
    files, blobs = commit_files(root, revision), list[str]()
    for name in names:
        if name not in files:
            raise UserError(f"{revision}: expected a commit with {name}, found one without; name another")
        blobs.append(files[name][1])
    contents = read_objects(root, blobs)
    return [contents[blob].decode(errors="replace") for blob in blobs]


def read_objects(root: Path, oids: list[str]) -> dict[str, bytes]:
    """The content of objects by their hash.

    Raises:
        DamagedObject: one is not there, or has another hash.
    """
    stream = BytesIO(os.fsencode(git(root, "cat-file", "--batch", stdin="".join(f"{oid}\n" for oid in oids))))
    found = {}
    for oid in oids:
        _, kind, *size = stream.readline().split()
        content = stream.read(int(size[0])) if size else b""
        stream.readline()
        algorithm = hashlib.sha256 if len(oid) == 64 else hashlib.sha1
        made = algorithm(b"%b %d\0" % (kind, len(content)) + content, usedforsecurity=False).hexdigest()
        if made != oid:
            raise DamagedObject(f"git: expected the object {oid}, found none or another in its place; clone anew")
        found[oid] = content
    return found


def entries(tree: bytes, length: int) -> list[tuple[str, str, str]]:
    """Mode, name and hash of what stands in a folder of a commit.

    Args:
        tree: as git stores it.
        length: of a hash, in bytes.
    Raises:
        DamagedObject: names that git would not write, such as one twice, of which each reader finds another.
    """
    found = []
    while tree:
        head, _, tree = tree.partition(b"\0")
        mode, _, name = head.partition(b" ")
        found.append((mode.decode(), os.fsdecode(name), tree[:length].hex()))
        tree = tree[length:]
    order = [f"{name}/" if mode == FOLDER else name for mode, name, _ in found]
    names = [name for _, name, _ in found]
    if order != sorted(set(order), key=os.fsencode) or len(set(names)) < len(names) or any(map(is_no_name, names)):
        raise DamagedObject("git: expected folders with each name once and in order, found another; clone anew")
    if others := {mode for mode, _, _ in found}.difference(MODES):
        raise DamagedObject(f"git: expected files and folders of the modes that it writes, found {min(others)}")
    return found


def is_no_name(name: str) -> bool:
    """Whether nothing in a folder can be called so."""
    return "/" in name or name.lower() in ("", ".", "..", ".git")
