"""What all experiments of a sweep share, so that their scores compare: params and data, but for what is searched."""

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from dvc.api import DVCFileSystem

from stages.common.core.errors import UserError
from stages.common.data.layout import DATASET
from stages.common.model.tracking import flat
from tools.audit.dvc_lock import LOCK, Lock
from tools.sweep.experiments import names, read_params


def define(params: dict[str, Any], searched: Collection[str], lock: str) -> dict[str, Any]:
    """What experiments of one sweep have in common, by name: their params and the hash of data/dataset.

    Args:
        params: of an experiment.
        searched: dotted names of params, or of sections, that differ between experiments.
        lock: the text of dvc.lock.
    """
    path = DATASET.as_posix()
    return without(["report", *searched], params) | {path: Lock(lock).hashes.get(path, "")}


def without(free: Collection[str], params: dict[str, Any]) -> dict[str, Any]:
    """Params by dotted name, but for some of them or of their sections.

    Args:
        free: dotted names of those to leave out.
        params: of an experiment.
    """
    return {key: value for key, value in flat(params).items() if not any(f"{key}.".startswith(f"{n}.") for n in free)}


def refuse_another(sweep: str, params: dict[str, Any], searched: Collection[str]) -> dict[str, Any]:
    """Compare the params and the data of new experiments with those of one that the sweep has already.

    Args:
        sweep: its name.
        params: of the new experiments, without what is searched.
        searched: dotted names of params, or of sections, that differ between experiments.
    Returns:
        What all experiments of the sweep have in common.
    Raises:
        UserError: another sweep of this name is here; the message names what differs.
    """
    here = define(params, searched, Path(LOCK).read_text())
    if members := names(sweep):
        there = define(read_params(members[0]), searched, DVCFileSystem(rev=members[0]).read_text(LOCK))
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
            "choose another name, or go back to its params, data and ranges"
        )
