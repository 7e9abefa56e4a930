"""dvc.lock against dvc.yaml: every stage has the command, inputs, parameters and outputs that the pipeline gives it."""

import re
import stat
from collections import Counter
from collections.abc import Iterable, Iterator
from os.path import normpath
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from stages.common.core.errors import UserError
from stages.common.data.layout import PINS
from tools.audit.dvc_cache import files_below, size
from tools.audit.dvc_lock import LOCK, Stage, read_stage
from tools.audit.findings import Check
from tools.audit.trace import Project

PIPELINE = "dvc.yaml"
PATH = re.compile(r"    - path: (.+)")  # a whole line of an input or output


class LockedFile(BaseModel):
    """An input or output in dvc.lock. size: bytes. nfiles: of a folder."""

    model_config = ConfigDict(extra="forbid", strict=True)
    path: str
    hash: Literal["md5"]
    md5: Annotated[str, Field(pattern=r"^[0-9a-f]{32}(\.dir)?$")]
    size: int = Field(ge=0)
    nfiles: int | None = Field(None, ge=0)
    isexec: bool | None = None


class LockedStage(BaseModel):
    """A stage in dvc.lock."""

    model_config = ConfigDict(extra="forbid", strict=True)
    cmd: str
    deps: list[LockedFile] = []
    params: dict[str, dict[str, Any]] = {}
    outs: list[LockedFile] = []


def pipeline(root: Path) -> dict[str, Any]:
    """Every stage that DVC sees in the project, by the file and name with which DVC calls it.

    Raises:
        UserError: DVC cannot read the pipeline.
    """
    from dvc.exceptions import DvcException
    from dvc.repo import Repo  # half a second, of which a comparison of hashes has no need

    try:
        with Repo(str(root)) as repo:
            return {stage.addressing: stage for stage in repo.index.stages}
    except DvcException as error:
        wrong = LOCK if LOCK in str(error) else PIPELINE
        raise UserError(f"{wrong}: DVC cannot read the pipeline: {error}; correct it") from None


def check_record(project: Project, check: Check) -> None:
    """Every entry of dvc.lock, key by key; sizes and numbers of files are compared with the disk."""
    if check.whole(LOCK):
        check_lock_form(project, check)
        check_lock_paths(project, check)
    stages = pipeline(project.root)
    for name, stage in stages.items():
        if stage.path_in_repo != PIPELINE:
            check.add(stage.path_in_repo, "extra", f"DVC reads stages here, too; they belong into {PIPELINE}")
        elif name in project.lock.stages:
            check_entry(project, check, name, stage)
    outside = set(project.lock.hashes) | tracked_inputs(stages)
    for stage in project.lock.stages.values():
        for path in stage.data:
            if not any(overlap(path, other) for other in outside):
                check.add(f"{LOCK}: {stage.name}: {path}", "extra", "no stage makes it, and it is no source of films")


def check_lock_form(project: Project, check: Check) -> None:
    """The text of dvc.lock, which people search by hand: DVC writes no comments, no aliases and no second document."""
    from dvc.utils.serialize import dumps_yaml, loads_yaml

    text = (project.root / LOCK).read_bytes().decode(errors="replace")
    check.add_first_line(LOCK, text, dumps_yaml(in_order(loads_yaml(text))), "DVC")


def in_order(content: Any) -> Any:
    """What a dvc.lock holds, with the keys of its entries in the order in which DVC writes them."""
    entries = content.get("stages") if isinstance(content, dict) else None
    if not isinstance(entries, dict):
        return content
    stages = {name: arranged(entry, LockedStage) for name, entry in entries.items()}
    for entry in stages.values():
        for key in {"deps", "outs"} & set(entry):
            entry[key] = [arranged(item, LockedFile) for item in entry[key] or []]
    return content | {"stages": stages}


def arranged(values: Any, model: type[BaseModel]) -> Any:
    """Values with the keys in the order of a model's fields, and before all others; what has no keys as it is."""
    if not isinstance(values, dict):
        return values
    return {key: values[key] for key in (*model.model_fields, *values) if key in values}


def check_lock_paths(project: Project, check: Check) -> None:
    """Where dvc.lock says `path: NAME`, by which people look for a hash: inputs and outputs of its entries alone."""
    text = (project.root / LOCK).read_bytes().decode(errors="replace")
    entries = [read_stage(name, entry) for name, entry in project.lock.entries.items()]
    paths_of_stages = Counter(path for stage in entries for path in (*stage.deps, *stage.outs))
    lines = [line for line in text.split("\n") if "path: " in line]  # as people look for it
    matches = [(line, PATH.fullmatch(line)) for line in lines]
    found = Counter(match[1].strip("'\"") if match else line.strip() for line, match in matches)
    for path, count in (found - paths_of_stages).items():
        message = f"it stands there {count} times more than stages read or write it, where people look for its MD5"
        check.add(f"{LOCK}: path: {path}", "extra", f"{message}; remove it")


def tracked_inputs(stages: dict[str, Any]) -> set[str]:
    """What the pipeline may start from: the inbox, which ingest reads, and the pins of sources."""
    return {dep for name, stage in stages.items() if name == "ingest" for dep in paths(stage.deps)} | {str(PINS)}


def covered(path: str, items: Iterable[str]) -> bool:
    """Whether one of the items is a path, or a folder in which it lies."""
    return any(path == item or path.startswith(f"{item}/") for item in items)


def overlap(path: str, other: str) -> bool:
    """Whether two paths are one, or one lies in the other."""
    return path == other or path.startswith(f"{other}/") or other.startswith(f"{path}/")


def paths(items: list[Any]) -> list[str]:
    """The paths of DVC's inputs or outputs as dvc.yaml writes them, sorted; parameters have none."""
    return sorted(normpath(item.def_path) for item in items if not hasattr(item, "params"))


def check_entry(project: Project, check: Check, name: str, stage: Any) -> None:
    """One entry of dvc.lock against the stage of dvc.yaml.

    Args:
        project: whose dvc.lock is read.
        check: gets the discrepancies.
        name: of the stage.
        stage: DVC's own, from dvc.yaml.
    """
    where = f"{LOCK}: {name}"
    try:
        entry = LockedStage.model_validate(project.lock.entries[name])
    except ValidationError as error:
        for problem in error.errors():
            key = ".".join(str(part) for part in problem["loc"])
            check.add(f"{where}: {key}", "mismatch", f"{problem['msg']}; run `dvc repro`")
        return
    if entry.cmd != stage.cmd:
        check.add(f"{where}: cmd", "mismatch", f"it ran {entry.cmd!r}, {PIPELINE} has {stage.cmd!r}")
    asked = {dep.def_path: sorted(dep.params) for dep in stage.deps if hasattr(dep, "params")}
    keys = {file: sorted(values) for file, values in entry.params.items()}
    for kind, found, expected in (
        ("deps", [item.path for item in entry.deps], paths(stage.deps)),
        ("outs", [item.path for item in entry.outs], paths(stage.outs)),
        ("params", pairs(keys), pairs(asked)),
    ):
        for path, message in list_differences(found, expected, LOCK, PIPELINE):
            check.add(f"{where}: {kind}: {path}", "mismatch", message)
    for item in (*entry.deps, *entry.outs):
        check_extent(project, check, where, item)


def pairs(keys: dict[str, list[str]]) -> list[str]:
    """Names of parameters with their file."""
    return [f"{file}: {key}" for file in sorted(keys) for key in keys[file]]


def list_differences(found: list[str], expected: list[str], here: str, there: str) -> Iterator[tuple[str, str]]:
    """What a list has too much, too little, too often or in another order, each with a sentence.

    Args:
        found: the list in question.
        expected: without repetitions.
        here, there: the files from which they are.
    """
    for name in sorted({*found, *expected}):
        if name not in expected:
            yield name, f"{here} has it, {there} does not"
        elif name not in found:
            yield name, f"{there} has it, {here} does not"
        elif (count := found.count(name)) > 1:
            yield name, f"it stands in {here} {count} times"
    if sorted(found) == sorted(expected) and found != expected:
        yield "order", f"expected the order of {there}"


def check_extent(project: Project, check: Check, where: str, item: LockedFile) -> None:
    """Size and number of files of an input or output whose hash is right, and that no output is a program.

    Args:
        project: whose files are counted.
        check: gets the discrepancies.
        where: the stage, as a finding names it.
        item: of dvc.lock.
    """
    if item.isexec and not can_run(project.root / item.path):
        check.add(f"{where}: {item.path}: isexec", "mismatch", "DVC would make a program of it, and it is none here")
    if not check.decided(item.path):
        return
    for key, value in extent(project.root, item.path, item.md5.endswith(".dir")).items():
        if getattr(item, key) != value:
            message = f"{getattr(item, key)} is recorded, {value} is here"
            check.add(f"{where}: {item.path}: {key}", "mismatch", message)


def can_run(path: Path) -> bool:
    """Whether a file may be run, as every file may on some file systems."""
    return path.is_file() and bool(path.stat().st_mode & stat.S_IXUSR)


def extent(root: Path, path: str, is_folder: bool) -> dict[str, int | None]:
    """Bytes of a file or folder, and the number of files of a folder, as dvc.lock names them."""
    if not is_folder:
        return {"size": size(root / path), "nfiles": None}
    sizes = [size(root / path / name) for name in files_below(root, path)]
    return {"size": sum(sizes), "nfiles": len(sizes)}


def command_words(stage: Stage) -> list[str]:
    """The words of a stage's command, which is one call of the stage's own module.

    Raises:
        UserError: it is anything else, and does not run here.
    """
    words = stage.command.split()
    module = f"stages.{stage.name.partition('@')[0]}"
    if words[:4] != ["exec", "python", "-m", module] or not all(word.isalnum() for word in words[4:]):
        raise UserError(f"{stage.name}: expected the command `exec python -m {module}`, found {stage.command!r}")
    return words[1:]
