"""What all experiments of a sweep share, so that their scores compare: params and data, but for what is searched."""

from collections.abc import Collection
from pathlib import Path
from typing import Any

from dvc.api import DVCFileSystem

from stages.common.core.errors import UserError
from stages.common.data.layout import DATASET
from stages.common.model.tracking import flat
from tools.audit.dvc_lock import LOCK, Lock
from tools.sweep.experiments import names, read_params


def refuse_another(sweep: str, params: dict[str, Any], searched: Collection[str]) -> None:
    """Compare the params and the data of new experiments with those of one that the sweep has already.

    Args:
        sweep: its name.
        params: of the new experiments, without what is searched.
        searched: dotted names of params, or of sections, that differ between experiments.
    Raises:
        UserError: another sweep of this name is here; the message names what differs.
    """
    members = names(sweep)
    if not members:
        return
    free = ("report", *searched)
    here, there = flat(params), flat(read_params(members[0]))
    path = DATASET.as_posix()
    here[path] = Lock(Path(LOCK).read_text()).hashes.get(path, "")
    there[path] = Lock(DVCFileSystem(rev=members[0]).read_text(LOCK)).hashes.get(path, "")
    differing = [
        f"{key} is {here.get(key, 'absent')} here and {there.get(key, 'absent')} there"
        for key in sorted(here.keys() | there.keys())
        if here.get(key) != there.get(key) and not any(f"{key}.".startswith(f"{name}.") for name in free)
    ]
    if differing:
        raise UserError(
            f"{sweep}: expected what {members[0]} of this sweep was run with, found others: {'; '.join(differing)}; "
            "choose another name, or go back to its params and data"
        )
