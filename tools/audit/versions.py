"""All versions of the outputs that DVC ever kept: of the workspace, commits, experiments, and runs without a commit."""

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from stages.common.core.errors import UserError
from stages.common.data.layout import RAW
from stages.common.data.tables import MANIFEST
from tools.audit.dvc_cache import all_objects, cache_folder, listing, stored
from tools.audit.dvc_lock import Lock, history, read_stage
from tools.audit.trace import Project
from tools.audit.users_data import users_outputs


@dataclass(frozen=True)
class Version:
    """Outputs that belong together.

    name: `workspace` or a commit; blank where nothing was committed. outs: md5 by path. raw: md5 of the data/raw that
    they were made from; blank where that is not known.
    """

    name: str
    outs: dict[str, str]
    raw: str


def versions_of(project: Project) -> list[Version]:
    """The workspace, then all commits and experiments, runs that DVC remembers, and folders that nothing refers to."""
    raw = str(RAW)
    locks = [
        ("workspace", project.lock),
        *((name, lock_of(text)) for name, text in history(project.root, everywhere=True)),
    ]
    versions = [Version(name, lock.hashes, lock.hashes.get(raw, "")) for name, lock in locks]
    versions += remembered_runs(project.root)
    listed = {md5 for version in versions for md5 in version.outs.values()} | users_outputs(project.root).keys()
    for md5, path in all_objects(project.root):
        own = path.is_relative_to(project.root)  # else the cache may hold folders of other projects
        if md5.endswith(".dir") and md5 not in listed:
            if MANIFEST.name in (listing(project.root, md5) or {}):
                versions.append(Version("", {raw: md5}, md5))
            elif own:
                versions.append(Version("", {"a folder that nothing refers to": md5}, ""))
    return versions


def lock_of(text: str) -> Lock:
    """A dvc.lock of the history; one without stages where a full disk had left half of it, and that was committed."""
    try:
        return Lock(text)
    except UserError:
        return Lock("stages: {}")


def remembered_runs(root: Path) -> Iterator[Version]:
    """Every run of a stage in DVC's run cache, whether it was committed or not."""
    for path in sorted(cache_folder(root).parents[1].glob("runs/*/*/*")):
        try:
            stage = read_stage("", YAML(typ="safe").load(path.read_text()))
        except (YAMLError, OSError, KeyError, TypeError, AttributeError):  # half a file of a run that was killed
            continue
        known = stage.deps | stage.outs
        yield Version("", stage.outs, known.get(str(RAW), ""))


def cached_rows(root: Path, folder: str) -> list[dict[str, str]] | None:
    """The manifest in a cached version of data/raw; None where the cache lacks it."""
    md5 = (listing(root, folder) or {}).get(MANIFEST.name, "") if folder else ""
    path = stored(root, md5) if md5 else None
    if path is None or not path.is_file():
        return None
    return table_rows(path)


def table_rows(path: Path) -> list[dict[str, str]]:
    """The rows of a CSV file, with its cells as they stand there."""
    return list(csv.DictReader(StringIO(path.read_text(errors="replace"))))
