"""dvc.lock, at the workspace or at any commit: which stage made what from what, by hash."""

import os
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from functools import cached_property
from io import BytesIO
from itertools import product
from os.path import normpath
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from stages.common.core.errors import UserError
from stages.common.data.layout import PARAMS
from tools.audit.repository import git, in_repository, log
from tools.audit.yaml_files import lookup, read_yaml

LOCK = "dvc.lock"


@dataclass(frozen=True)
class Stage:
    """An entry of dvc.lock. deps and outs: md5 by path (a folder's ends with .dir)."""

    name: str
    command: str
    deps: dict[str, str]
    params: dict[str, Any]
    outs: dict[str, str]

    @property
    def code(self) -> dict[str, str]:
        return {path: md5 for path, md5 in self.deps.items() if path.startswith("stages/")}

    @property
    def data(self) -> dict[str, str]:
        return {path: md5 for path, md5 in self.deps.items() if path not in self.code}


class Lock:
    """The stages of one dvc.lock.

    DVC keeps entries of stages that dvc.yaml no longer has; they say nothing about what is here.

    Args:
        text: of dvc.lock.
        declared: outputs of the stages of dvc.yaml, by their names; None takes what stands in dvc.lock.
    """

    def __init__(self, text: str, declared: dict[str, set[str]] | None = None) -> None:
        self.text = text
        self.entries = read_entries(text)
        stages = read_stages(self.entries)
        wanted = {name: set(stage.outs) for name, stage in stages.items()} if declared is None else declared
        self.stages = {name: stage for name, stage in stages.items() if name in wanted}
        self.lacking = sorted(wanted.keys() - stages.keys())
        recorded = {path for stage in self.stages.values() for path in stage.outs}
        self.unrecorded = sorted(path for outs in wanted.values() for path in outs - recorded)

    @cached_property
    def makers(self) -> dict[str, Stage]:
        """The stage that made each output, by the output's path."""
        return {path: stage for stage in self.stages.values() for path in stage.outs}

    @cached_property
    def hashes(self) -> dict[str, str]:
        """md5 of every output by its path."""
        return {path: md5 for stage in self.stages.values() for path, md5 in stage.outs.items()}

    def output_of(self, path: str) -> str | None:
        """The output that a path is or lies in."""
        return next((out for out in self.hashes if path == out or path.startswith(f"{out}/")), None)


DAMAGED = (
    "dvc.lock: expected the stages that ran, found a damaged file; `git checkout dvc.lock` brings back the "
    "committed one (where no commit has one, `rm dvc.lock`), and `dvc repro` runs what it lacks"
)


def read_entries(text: str) -> dict[str, Any]:
    """What a dvc.lock says of each stage, as it stands there.

    Raises:
        UserError: a write of it was cut off, by a full disk or a kill. DVC refuses every command then.
    """
    try:
        return dict(YAML(typ="safe").load(text)["stages"])
    except (YAMLError, TypeError, KeyError, ValueError):
        raise UserError(DAMAGED) from None


def read_stages(entries: dict[str, Any]) -> dict[str, Stage]:
    """The entries of a dvc.lock by name.

    Raises:
        UserError: one of them lacks a part, or names an output that lies elsewhere.
    """
    try:
        stages = {name: read_stage(name, entry) for name, entry in entries.items()}
    except (TypeError, KeyError, AttributeError):
        raise UserError(DAMAGED) from None
    for stage in stages.values():
        for path in stage.outs:
            if leads_out(path):
                raise UserError(
                    f"dvc.lock: expected outputs of {stage.name} in the project, found {path!r:.80}; `git checkout "
                    "dvc.lock` brings back the committed one"
                )
    return stages


def leads_out(path: str) -> bool:
    """Whether a path may lead out of the folder that it counts from; who removes or copies it would do so there."""
    return Path(path).is_absolute() or ".." in Path(path).parts


def read_stage(name: str, entry: dict[str, Any]) -> Stage:
    deps, outs = (
        {normpath(str(item["path"])): str(item["md5"]) for item in entry.get(key, [])} for key in ("deps", "outs")
    )
    params = {key: value for file in entry.get("params", {}).values() for key, value in file.items()}
    return Stage(name, str(entry["cmd"]), deps, params, outs)


def require_sound(root: Path) -> None:
    """Refuse a damaged dvc.lock, before DVC says only that its validation failed; DVC makes one that is not there.

    Raises:
        UserError: it is damaged.
    """
    if (root / LOCK).is_file():
        read_stages(read_entries((root / LOCK).read_text()))


def read_lock(root: Path) -> Lock:
    """dvc.lock of the workspace.

    Raises:
        UserError: there is none.
    """

    def read(name: str) -> str:
        if not (root / name).is_file():
            raise UserError(
                f"{name}: expected it in {root}, found none; start from the project's root, or run `dvc repro`"
            )
        return (root / name).read_text()

    pipeline, params = (read_yaml(name, read(name)) for name in ("dvc.yaml", str(PARAMS)))
    return Lock(read(LOCK), declared_outs(pipeline, params))


def declared_outs(pipeline: dict[str, Any], params: dict[str, Any]) -> dict[str, set[str]]:
    """The outputs of each stage of dvc.yaml; those of a matrix are called by their values, as in train@adaptive-1-1.

    `Repo().index.stages` of DVC says the same and takes twice as long as a whole trace; a test compares both.

    Args:
        pipeline: of dvc.yaml.
        params: of params.yaml.
    """
    declared = {}
    for name, stage in pipeline["stages"].items():
        outs = [path for kind in ("outs", "metrics", "plots") for path in stage.get(kind, [])]
        axes = {key: axis_values(axis, params) for key, axis in stage.get("matrix", {}).items()}
        for values in product(*axes.values()):
            called = f"{name}@{'-'.join(map(str, values))}" if axes else name
            declared[called] = {of_item(path, dict(zip(axes, values, strict=True))) for path in outs}
    return declared


def of_item(path: Any, item: dict[str, Any]) -> str:
    """A path of dvc.yaml, which may have options, with the values of a matrix for `${item.key}`."""
    text = next(iter(path)) if isinstance(path, dict) else str(path)
    for key, value in item.items():
        text = text.replace(f"${{item.{key}}}", str(value))
    return text


def axis_values(axis: list[Any] | str, params: dict[str, Any]) -> list[Any]:
    """The values of an axis of a matrix, which is a list or `${section.key}` of params.yaml.

    Raises:
        UserError: params.yaml has no list there.
    """
    if isinstance(axis, list):
        return axis
    name = axis.removeprefix("${").removesuffix("}")
    values = lookup(params, name)
    if not isinstance(values, list):
        raise UserError(f"{PARAMS}: expected {name}, the list that dvc.yaml makes stages from, found none; add it")
    return values


def history(root: Path, everywhere: bool = False) -> Iterator[tuple[str, str]]:
    """Every version of dvc.lock: commit and text, newest first; `everywhere` takes branches and experiments, too.

    The project may be a folder of the repository, from which `./` counts.
    """
    # A merge that took the dvc.lock of one side hides the commits of the other one from a simplified history.
    revisions = ["--all", "--glob=refs/exps/*", "--full-history"] if everywhere else []
    commits = log(root, "--format=%H", *revisions, paths=(LOCK,)).split()
    found = git(root, "cat-file", "--batch", stdin="".join(f"{commit}:./{LOCK}\n" for commit in commits))
    stream = BytesIO(os.fsencode(found))  # git counts bytes
    for commit in commits:
        head = stream.readline().split()
        if head[-1] == b"missing":  # the commit that removed it
            continue
        yield commit, stream.read(int(head[2])).decode(errors="replace")
        stream.readline()


def entry_in(text: str, stage: str) -> str:
    """What the text of a dvc.lock, as DVC writes it, says of a stage; blank where it has no such stage.

    To read YAML takes more than a hundred times as long, and a history has hundreds of versions.
    """
    entry = text.partition(f"\n  {stage}:\n")[2]
    following = re.search(r"^ {0,2}\S", entry, re.MULTILINE)
    return entry[: following.start() if following else None]


def outs_in(text: str, stage: str) -> str:
    """The outputs of a stage in the text of a dvc.lock; blank where it has no such stage."""
    return entry_in(text, stage).partition("\n    outs:\n")[2]


def is_committed(lock: Lock, stage: str, texts: Collection[str]) -> bool:
    """Whether a commit says the same of a stage: its command, inputs, parameters and outputs.

    Args:
        lock: of the workspace.
        stage: its name.
        texts: those of dvc.lock in all commits.
    """
    entry = entry_in(lock.text, stage)
    if not entry or all(entry_in(text, stage) != entry for text in texts):
        return False
    # Where no commit has the whole text, programs may read another entry than the one that stands there so.
    return lock.text in texts or read_entries(f"stages:\n  {stage}:\n{entry}")[stage] == lock.entries[stage]


def commits_of(root: Path, lock: Lock) -> dict[str, str]:
    """The commit that brought each stage's present outputs, by the stage's name.

    Blank where no commit of this branch has them, or none what dvc.lock says of how they were made.
    """
    commits = dict.fromkeys(lock.stages, "")
    if not in_repository(root):
        return commits
    texts = {commit: text.replace("\r\n", "\n") for commit, text in history(root)}
    lines = [line.split() for line in log(root, "--parents", "--format=%H %P", paths=(LOCK,)).splitlines()]
    parents = {commit: those for commit, *those in lines}
    for name, stage in lock.stages.items():
        # As DVC writes an output, which another one may have had the hash of.
        entries = [f"- path: {path}\n      hash: md5\n      md5: {md5}\n" for path, md5 in stage.outs.items()]
        has = {commit for commit, text in texts.items() if all(entry in outs_in(text, name) for entry in entries)}
        todo = [commit for commit in texts if commit in has][:1]
        visited, first = set[str](), set[str]()
        while todo:  # to the commits that have the result, and no parent that has it; a merge has several parents
            commit = todo.pop()
            if commit in has and commit not in visited:
                visited.add(commit)
                before = [parent for parent in parents.get(commit, ()) if parent in has]
                todo += before
                first |= set() if before else {commit}
        if is_committed(lock, name, texts.values()):
            commits[name] = next((commit for commit in reversed(texts) if commit in first), "")
    return commits
