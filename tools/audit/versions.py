"""All versions of the outputs that DVC ever kept: of the workspace, commits, experiments, and runs without a commit."""

import csv
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from stages.common.core.errors import UserError, error_list
from stages.common.data.layout import RAW
from stages.common.data.tables import MANIFEST
from tools.audit.dvc_cache import all_objects, cache_folder, damaged_objects, is_own, joined_md5, listing, size, stored
from tools.audit.dvc_lock import Lock, Stage, history, read_stage
from tools.audit.trace import Project
from tools.audit.users_data import users_outputs

Item = tuple[str, str]  # path and md5 of an output
Makers = dict[str, dict[str, list[Stage]]]  # by path, then by md5


@dataclass(frozen=True)
class Version:
    """Outputs that belong together.

    name: `workspace` or a commit; blank where nothing was committed. outs: md5 by path. raw: md5 of its data/raw; blank
    where that is not known. raws: of the data/raw that each output was made from, which can be an older one.
    """

    name: str
    outs: dict[str, str]
    raw: str
    raws: dict[str, str]


def versions_of(project: Project) -> list[Version]:
    """The workspace, then all commits and experiments, runs that DVC remembers, and folders that nothing refers to."""
    raw = str(RAW)
    locks = [
        ("workspace", project.lock),
        *((name, lock_of(text)) for name, text in history(project.root, everywhere=True)),
    ]
    versions = [
        Version(name, lock.hashes, lock.hashes.get(raw, ""), raws_of(project.root, lock)) for name, lock in locks
    ]
    versions += remembered_runs(project.root, [stage for _, lock in locks for stage in lock.stages.values()])
    of_pipeline = {md5 for version in versions for md5 in version.outs.values()}
    listed = of_pipeline | users_outputs(project.root, of_pipeline).keys()
    for md5, path in all_objects(project.root):
        own = is_own(project.root, path)  # else the cache may hold folders of other projects
        if md5.endswith(".dir") and md5 not in listed:
            if MANIFEST.name in (listing(project.root, md5) or {}):
                versions.append(Version("", {raw: md5}, md5, {raw: md5}))
            elif own:
                versions.append(Version("", {"a folder that nothing refers to": md5}, "", {}))
    return versions


def raws_of(root: Path, lock: Lock) -> dict[str, str]:
    """md5 of the data/raw that each output was made from, by the records of the stages between; blank where unknown.

    A stage that was not run again since another one wrote anew what it reads keeps an older data/raw.
    """
    found = {str(RAW): lock.hashes.get(str(RAW), "")}
    for stage in lock.stages.values():  # DVC writes the stages in any order
        trace_raw(root, lock, stage, found)
    return found


def trace_raw(root: Path, lock: Lock, stage: Stage, found: dict[str, str]) -> str:
    """The data/raw of a stage's outputs, which are entered in `found`."""
    if known := {found[out] for out in stage.outs if out in found}:
        found |= dict.fromkeys(stage.outs, raw := known.pop())
        return raw
    found |= dict.fromkeys(stage.outs, "")  # a circle, which DVC refuses, ends here
    raws = set[str]()
    for path, md5 in stage.data.items():
        inside = {out: of for out, of in lock.hashes.items() if out.startswith(f"{path}/")}
        if path == str(RAW):
            raws.add(md5)
        elif path in lock.makers and lock.hashes[path] == md5:
            raws.add(trace_raw(root, lock, lock.makers[path], found))
        elif inside and joined_md5(root, path, inside) == md5:
            raws |= {trace_raw(root, lock, lock.makers[out], found) for out in inside}
        elif path in lock.makers or inside:
            raws.add("")  # made by a run of which the lock says nothing more
    raw = raws.pop() if len(raws) == 1 else ""
    found |= dict.fromkeys(stage.outs, raw)
    return raw


def lock_of(text: str) -> Lock:
    """A dvc.lock of the history; one without stages where a full disk had left half of it, and that was committed."""
    try:
        return Lock(text)
    except UserError:
        return Lock("stages: {}")


def remembered_runs(root: Path, known: list[Stage]) -> Iterator[Version]:
    """Every run of a stage in DVC's run cache, whether it was committed or not, once for each data/raw behind it.

    Args:
        root: of the project.
        known: the runs that commits have.
    """
    runs = []
    for path in sorted(cache_folder(root).parents[1].glob("runs/*/*/*")):
        with suppress(YAMLError, OSError, KeyError, TypeError, AttributeError):  # half a file of a run that was killed
            runs.append(read_stage("", YAML(typ="safe").load(path.read_text())))
    makers, found = makers_of([*known, *runs]), dict[Item, set[str]]()
    for stage in runs:
        for raw in sorted(raws_behind(stage, makers, found)):
            yield Version("", stage.outs, raw, dict.fromkeys(stage.outs, raw))


def makers_of(runs: Iterable[Stage]) -> Makers:
    """The runs that made each output, by its path and its md5."""
    makers: Makers = {}
    for stage in runs:
        for path, md5 in stage.outs.items():
            makers.setdefault(path, {}).setdefault(md5, []).append(stage)
    return makers


def raws_behind(stage: Stage, makers: Makers, found: dict[Item, set[str]]) -> set[str]:
    """md5 of each data/raw from which a run can have had what it read; a blank one where no record says it.

    Args:
        stage: the run.
        makers: of `makers_of`.
        found: the data/raw behind outputs; receives those that are looked for here.
    """
    if raw := (stage.outs | stage.deps).get(str(RAW)):
        return {raw}
    raws = set[str]()
    for item in stage.data.items():
        path, md5 = item
        known = makers.get(path, {}).get(md5, [])
        if known and item not in found:
            found[item] = {""}  # a circle, which DVC refuses, ends here
            found[item] = set[str]().union(*(raws_behind(maker, makers, found) for maker in known))
        if known:
            raws |= found[item]
        elif path in makers or any(other.startswith(f"{path}/") for other in makers):
            raws.add("")
    return raws or {""}


def require_sound_objects(root: Path, versions: list[Version]) -> None:
    """Refuse objects of the cache that are not what their names say.

    By lists and tables is known whose films are whose, and by its name which film a picture is: a changed one would
    hide a film of a patient, and of exchanged ones another patient's would go. Emptied ones, which a withdrawal that
    was killed leaves, hide nothing.

    Args:
        root: of the project.
        versions: of all outputs.
    Raises:
        UserError: names each damaged object.
    """
    damaged = damaged_objects(root, (md5 for version in versions for md5 in version.outs.values()), others=False)
    if filled := sorted(str(path) for path in damaged if size(path)):
        raise error_list(
            "expected objects of DVC's cache that have the MD5 of their names, found others; remove them, and "
            "`dvc fetch` or `dvc repro`",
            filled,
        )


def cached_rows(root: Path, folder: str, table: str = MANIFEST.name) -> list[dict[str, str]] | None:
    """The manifest, or another table, in a cached version of data/raw; None where the cache lacks it."""
    md5 = (listing(root, folder) or {}).get(table, "") if folder else ""
    path = stored(root, md5) if md5 else None
    if path is None or not path.is_file():
        return None
    return table_rows(path)


def table_rows(path: Path) -> list[dict[str, str]]:
    """The rows of a CSV file, with its cells as they stand there."""
    return list(csv.DictReader(StringIO(path.read_text(errors="replace"))))
