"""Entries of dvc.lock of which dvc.yaml knows nothing. DVC keeps those of runs of other seeds and folds.

Whoever looks up a hash by hand must not find two for one output, or one of a run that cannot have been.
"""

import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

from pydantic import ValidationError

from stages import section_model
from stages.common.data.layout import PARAMS
from stages.common.data.run_id import VARIANTS, Run
from tools.audit.check_pipeline import RUNS, command_of, stage_of, stage_outs, stage_params
from tools.audit.check_record import PIPELINE, LockedStage, list_differences
from tools.audit.dvc_lock import LOCK
from tools.audit.findings import Check
from tools.audit.trace import Project
from tools.audit.yaml_files import params_here, read_yaml

SECTIONS = ("schema", "stages")  # of dvc.lock
CODE_PATH = re.compile(r"stages/[a-z0-9_/]+(\.[a-z]+)?")
NAME = re.compile(rf"({'|'.join(RUNS)})@({'|'.join(VARIANTS)})-(0|[1-9][0-9]*)-([1-9][0-9]*)")


def check_former(project: Project, check: Check) -> None:
    """What dvc.lock says beside the stages of dvc.yaml, such as DVC's data sets, of which the pipeline has none."""
    for name in read_yaml(LOCK, (project.root / LOCK).read_text()):
        if name not in SECTIONS:
            check.add(f"{LOCK}: {name}", "extra", "the pipeline has nothing of that name; remove it")
    for name in sorted(project.lock.entries.keys() - project.lock.stages.keys()):
        run = former_run(name)
        if not run:
            check.add(f"{LOCK}: {name}", "extra", f"{PIPELINE} never has such a stage; remove the entry")
            continue
        for what in unlike(project, stage_of(name), run, project.lock.entries[name]):
            check.add(f"{LOCK}: {name}: {what}", "extra", "no run, of whatever seed and fold, has it; remove the entry")


def former_run(name: str) -> Run | None:
    """The run of a stage that the pipeline could have with other seeds and folds; None where there is none."""
    match = NAME.fullmatch(name)
    if not match:
        return None
    run = Run(match[2], int(match[3]), int(match[4]))
    return run if allowed("train", "seeds", run.seed) and allowed("evaluate", "folds", run.fold) else None


def allowed(room: str, key: str, value: int) -> bool:
    """Whether a list among the parameters of a stage may have a value."""
    return fits(f"{room}.{key}", [value])


def unlike(project: Project, room: str, run: Run, entry: Any) -> Iterator[str]:
    """Keys and paths of an entry that the pipeline gives to no such run. Its code and the values of its parameters may
    have been others.

    Args:
        project: whose present runs have the same kind of inputs.
        room: the stage.
        run: its seed and fold.
        entry: of dvc.lock.
    """
    try:
        found = LockedStage.model_validate(entry)
    except ValidationError as error:
        yield from {".".join(str(part) for part in problem["loc"]): None for problem in error.errors()}
        return
    if found.cmd != command_of(room, run):
        yield "cmd"
    yield from (path for path, _ in list_differences([out.path for out in found.outs], stage_outs(room, run), "", ""))
    present = [stage for stage in project.lock.stages.values() if stage_of(stage.name) == room]
    read = {*stage_outs("train", run), *(dep for stage in present for dep in stage.deps)}
    for path, count in Counter(dep.path for dep in found.deps).items():
        if count > 1 or (path not in read and not CODE_PATH.fullmatch(path)):
            yield path
    keys = stage_params(room, run, params_here(project.root))
    for file, params in found.params.items():
        known = keys if file == str(PARAMS) else []
        yield from (key for key, value in params.items() if key not in known or not fits(key, value))


def fits(key: str, value: Any) -> bool:
    """Whether a parameter may have a value.

    Args:
        key: of params.yaml, such as `train.loop`.
    """
    room, _, name = key.partition(".")
    model = section_model(room)
    try:
        model.model_validate(model().model_dump() | {name: value})
    except ValidationError as error:  # of this value alone: others were others then
        return not any(problem["loc"][:1] == (name,) for problem in error.errors())
    return True
