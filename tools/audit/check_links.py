"""Links in inputs and outputs: one through /proc leads each reader elsewhere, and this audit to what it expects.

`reports/comparison.csv -> /proc/self/cwd/good.csv` is another file for a reader who stands in `reports`. DVC itself
makes links where it is told to, into its cache.
"""

import os
from collections.abc import Iterator
from pathlib import Path

from tools.audit.check_documents import DOCUMENTS
from tools.audit.dvc_cache import cache_folder, files_below
from tools.audit.dvc_lock import Lock
from tools.audit.findings import Check
from tools.audit.recipes import encoder_file
from tools.audit.trace import Project
from tools.audit.yaml_files import inbox_of, lookup, params_here

MOST = 40  # links on a way, as Linux follows
OWN_OF_A_READER = "/proc"  # where a path is another file for each program; /dev/fd leads there


def check_links(project: Project, check: Check) -> None:
    """Name each link in an output that does not lead into DVC's cache, and in an input that has no one end."""
    for name, message in links(project.root, project.lock):
        check.add(public_name(project.root, name), "mismatch", message)


def public_name(root: Path, path: str) -> str:
    """What findings call a file: the inbox for one of a hospital's export, whose name may be a patient's.

    Args:
        root: of the project.
        path: from the root.
    """
    params = params_here(root)
    inbox, entries = inbox_of(params), lookup(params, "ingest.sources") or []
    kinds = {entry.get("source") if isinstance(entry, dict) else entry for entry in entries}
    return f"{inbox}: a file in it" if "hospital" in kinds and path.startswith(f"{inbox}/") else path


def links(root: Path, lock: Lock) -> Iterator[tuple[str, str]]:
    """The links that could be other files for other readers, each with a sentence.

    Args:
        root: of the project.
        lock: whose inputs and outputs are looked through; what encoders start from and documents of the audit are, too.
    """
    outs = lock.hashes
    caches = {way_of(cache) for cache in (cache_folder(root), root / ".dvc/cache/files/md5")} - {""}
    encoders = {encoder_file(stage) for stage in lock.stages.values()} - {""}
    for path in sorted({dep for stage in lock.stages.values() for dep in stage.data} - outs.keys() | encoders):
        for name in links_of(root, path):
            if way_of(root / name) == "":
                yield name, "a link that leads each reader elsewhere; put the file itself there"
    for path in sorted(outs):
        for name in links_of(root, path):
            end, folder = way_of(root / name), (root / name).parent
            if way_of(folder) != str(folder) or not any(end.startswith(f"{cache}/") for cache in caches):
                message = "a link leads elsewhere than into DVC's cache, where another reader could find another file"
                yield name, f"{message}; put the file itself there, or `dvc checkout --force {path}`"
    for path in DOCUMENTS:
        if (root / path).is_symlink():
            yield path, "a link, which could lead another reader elsewhere; put the file itself there"


def links_of(root: Path, path: str) -> Iterator[str]:
    """An input or output, if links are on the way to it, and the links among the files that DVC sees in it."""
    top = root / path
    if way_of(top) != str(top):
        yield path
    if top.is_dir():
        yield from (f"{path}/{name}" for name in files_below(root, path) if os.path.islink(f"{top}/{name}"))  # noqa: PTH114


def way_of(path: Path) -> str:
    """Where a path leads, by all links on its way; blank where that depends on who asks, or has no end."""
    todo, here, links = list(path.parts[:0:-1]), "", 0
    while todo:
        part = todo.pop()
        if part == "..":
            here = here.rpartition("/")[0]
            continue
        step = f"{here}/{part}"
        if step == OWN_OF_A_READER:
            return ""
        if not os.path.islink(step):  # noqa: PTH114 - fast
            here = step
            continue
        target, links = Path(os.readlink(step)), links + 1  # noqa: PTH115 - fast
        if links > MOST:
            return ""
        here = "" if target.is_absolute() else here
        todo += reversed(target.parts[1:] if target.is_absolute() else target.parts)
    return here
