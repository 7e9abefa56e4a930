"""Objects in DVC's remotes: those that this cache lacks are brought here, those of a patient are removed there."""

import errno
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from dvc.repo import Repo

from stages.common.core.errors import error_list
from stages.common.core.files import write_bytes
from tools.audit.dvc_cache import content_md5, listing, object_path
from tools.audit.folders import look_below
from tools.audit.versions import Version
from tools.audit.words import NO_TEXT, Words

AWAY = "expected files of DVC, found none: it is away, or nothing was ever pushed there, and `dvc remote remove` is due"
UNASKED = "expected remotes that say what they have, found these, and removed nothing; make them reachable"


def bring_records(root: Path, versions: list[Version]) -> list[str]:
    """Bring what says whose the objects of all versions are, where this cache lacks it: lists, tables and pages.

    In a clone that pulled the last version only, nothing else does. Pictures are known by their names in lists.

    Args:
        root: of the project.
        versions: of all outputs.
    Returns:
        What remotes have beside these versions: of runs without a commit, of experiments and commits that are not in
        this clone, half-written files, and objects of other projects.
    Raises:
        UserError: a remote cannot be reached.
    """
    outs = {md5 for version in versions for md5 in version.outs.values()}
    bring(root, outs)
    inside = {md5: name for out in outs if out.endswith(".dir") for name, md5 in (listing(root, out) or {}).items()}
    bring(root, (md5 for md5, name in inside.items() if not name.lower().endswith(NO_TEXT)))
    known, others = outs | inside.keys(), list[str]()

    def look(remote: Any) -> int:
        paths = sorted(map(str, remote.fs.find(remote.path)))
        others.extend(path for path in paths if "".join(path.split("/")[-2:]) not in known)
        return len(paths)

    for_each_remote(root, look, UNASKED)
    return others


def bring(root: Path, hashes: Iterable[str]) -> None:
    """Copy objects that the cache lacks from the first remote that has them.

    Raises:
        UserError: a remote cannot be reached.
    """
    lacking = {md5 for md5 in hashes if not object_path(root, md5).is_file()}

    def fetch(remote: Any) -> int:
        found = [md5 for md5 in sorted(lacking) if remote.fs.exists(remote.oid_to_path(md5))]
        for md5 in found:
            content = remote.fs.cat_file(remote.oid_to_path(md5))
            if content_md5(content) != md5.removesuffix(".dir"):
                raise OSError(errno.EIO, f"its object {md5} is damaged; remove it there")
            write_bytes(object_path(root, md5), content)
        lacking.difference_update(found)
        return len(found)

    if lacking:
        for_each_remote(root, fetch, UNASKED)
        listing.cache_clear()


def remove_from_remotes(root: Path, hashes: Iterable[str], words: Words) -> dict[str, int]:
    """Remove objects from every DVC remote, and records of runs whose parameters have a word; how many in each.

    Raises:
        UserError: a remote cannot be reached or refuses; all others are done.
    """
    heading = "the files may still be there, and nothing was removed here; make the remote reachable and withdraw again"
    return for_each_remote(root, lambda remote: remove_from_remote(remote, hashes, words), heading)


def remove_from_remote(remote: Any, hashes: Iterable[str], words: Words) -> int:
    """Remove objects and records of runs from one remote (an object store of DVC); how many there were."""
    paths = [path for path in map(remote.oid_to_path, sorted(hashes)) if remote.fs.exists(path)]
    runs = f"{remote.path.removesuffix('/files/md5')}/runs"  # where `dvc push --run-cache` puts them
    found = remote.fs.find(runs) if remote.fs.exists(runs) else []
    paths += [path for path in found if words.pattern.search(remote.fs.cat_file(path))]
    for path in paths:
        remote.fs.remove(path)
    return len(paths)


def require_open(store: Path) -> None:
    """Refuse a store with a folder that this user cannot look into: what is in it would seem not to be there.

    Raises:
        PermissionError: there is one.
    """
    top = store.parents[1] if store.parts[-2:] == ("files", "md5") else store  # where records of runs lie, too
    _, closed = look_below(top)
    if closed:
        raise PermissionError(errno.EACCES, f"{closed[0]} cannot be looked into; make it readable")


def for_each_remote(root: Path, work: Callable[[Any], int], heading: str) -> dict[str, int]:
    """What `work` returns for the object store of each remote, by the remote's name.

    Args:
        root: of the project.
        work: gets a store that is there.
        heading: of the message about those that fail.
    Raises:
        UserError: it failed, or a store is not there; all others are done.
    """
    from stages.common.model.tracking import describe  # with MLflow: seconds, of which removing files has no need

    counts, failures = dict[str, int](), list[str]()
    with Repo(str(root)) as repo:
        for name in sorted(repo.config["remote"]):
            try:
                remote = repo.cloud.get_remote_odb(name)
                # A disk that is not mounted, or a server that does not answer, seems to be empty to some file systems.
                if not remote.fs.exists(remote.path):
                    raise FileNotFoundError(errno.ENOENT, AWAY)
                if remote.fs.protocol == "local":
                    require_open(Path(remote.path))
                counts[name] = work(remote)
            except Exception as error:  # each kind of remote fails in its own way
                failures.append(f"remote {name}: {describe(error)}")
    if failures:
        raise error_list(heading, failures)
    return counts
