"""What all experiments of a sweep share, so that their scores compare: data, code, and params that are not searched."""

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from dvc.api import DVCFileSystem
from dvc.repo import Repo

from stages.common.core.errors import UserError
from stages.common.data.layout import DATASET
from stages.common.model.tracking import flat
from tools.audit.dvc_lock import LOCK, Lock
from tools.sweep.experiments import names, read_params

TRAINING = "train@adaptive-"  # begins the name of every training of a sweep


def define(params: dict[str, Any], searched: Collection[str], lock: Lock, code: dict[str, str]) -> dict[str, Any]:
    """What experiments of one sweep have in common, by name: params, and the hashes of data/dataset and of the code.

    Args:
        params: of an experiment.
        searched: dotted names of params, or of sections, that differ between experiments.
        lock: dvc.lock.
        code: DVC's hashes of what trains, by path.
    """
    path = DATASET.as_posix()
    return without(["report", *searched], params) | {path: lock.hashes.get(path, "")} | code


def present_code() -> dict[str, str]:
    """DVC's hashes of the code that trains, as it is in the workspace, by path."""
    with Repo(_wait_for_lock=True) as repo:
        training = next(stage for stage in repo.index.stages if stage.addressing.startswith(TRAINING))
        return {dep.def_path: dep.get_hash().value for dep in training.deps if dep.def_path.startswith("stages/")}


def recorded_code(lock: Lock) -> dict[str, str]:
    """The same of the code that trained, as dvc.lock has it."""
    return next((stage.code for name, stage in lock.stages.items() if name.startswith(TRAINING)), {})


def without(free: Collection[str], params: dict[str, Any]) -> dict[str, Any]:
    """Params by dotted name, but for some of them or of their sections.

    Args:
        free: dotted names of those to leave out.
        params: of an experiment.
    """
    return {key: value for key, value in flat(params).items() if not any(f"{key}.".startswith(f"{n}.") for n in free)}


def refuse_another(sweep: str, params: dict[str, Any], searched: Collection[str]) -> dict[str, Any]:
    """Compare params, data and code of new experiments with those of one that the sweep has already.

    Args:
        sweep: its name.
        params: of the new experiments, without what is searched.
        searched: dotted names of params, or of sections, that differ between experiments.
    Returns:
        What all experiments of the sweep have in common.
    Raises:
        UserError: another sweep of this name is here; the message names what differs.
    """
    here = define(params, searched, Lock(Path(LOCK).read_text()), present_code())
    if members := names(sweep):
        lock = Lock(DVCFileSystem(rev=members[0]).read_text(LOCK))
        there = define(read_params(members[0]), searched, lock, recorded_code(lock))
        refuse_differences(sweep, members[0], here, there)
    return here


def refuse_changed(sweep: str, planned: Mapping[str, dict[str, Any]]) -> None:
    """Compare planned experiments with those of the same names that are finished.

    Args:
        sweep: its name.
        planned: params of each finished experiment as they would be now, by its name.
    Raises:
        UserError: one was run with other params; the message names the experiment and what differs.
    """
    for experiment, params in planned.items():
        refuse_differences(sweep, experiment, without(["report"], params), without(["report"], read_params(experiment)))


def refuse_differences(sweep: str, member: str, here: dict[str, Any], there: dict[str, Any]) -> None:
    """
    Args:
        sweep: its name.
        member: what belongs to the sweep, in words.
        here: what new experiments have in common.
        there: what those of `member` have.
    Raises:
        UserError: they differ.
    """
    differing = [
        f"{key} is {here.get(key, 'absent')} here and {there.get(key, 'absent')} there"
        for key in sorted(here.keys() | there.keys())
        if here.get(key) != there.get(key)
    ]
    if differing:
        raise UserError(
            f"{sweep}: expected what {member} was run with, found others: {'; '.join(differing)}; "
            "choose another name, or go back to its params, data, code and ranges"
        )
