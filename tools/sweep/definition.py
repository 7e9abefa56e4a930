"""What all experiments of a sweep share, so that their scores compare: data, code, and params that are not searched."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from dvc.repo import Repo

from stages import STAGES
from stages.common.core.errors import UserError
from stages.common.data.layout import DATASET
from stages.common.model.tracking import flat
from tools.audit.dvc_lock import LOCK, Lock
from tools.sweep.experiments import Experiment, how_to_remove, names, read_lock, read_params, targets
from tools.sweep.overrides import overridden

DATASET_PATH = DATASET.as_posix()
SCORED = ("train", "evaluate")  # the stages of an experiment that is tested


def define(params: dict[str, Any], searched: Collection[str], lock: Lock, code: dict[str, str]) -> dict[str, Any]:
    """What experiments of one sweep have in common, by name: params, and the hashes of data/dataset and of the code.

    Args:
        params: of an experiment.
        searched: dotted names of params, or of sections, that differ between experiments.
        lock: dvc.lock.
        code: DVC's hashes of what trains, by path.
    """
    return without(["report", *searched], params) | {DATASET_PATH: lock.hashes.get(DATASET_PATH, "")} | code


def data_params(params: dict[str, Any]) -> dict[str, Any]:
    """The params that decide what data/dataset holds."""
    return {stage: params.get(stage) for stage in STAGES[: STAGES.index("train")]}


def present_code(stages: Iterable[str]) -> dict[str, str]:
    """DVC's hashes of the code of some stages, as it is in the workspace, by path.

    Args:
        stages: without seed and fold.
    """
    with Repo(_wait_for_lock=True) as repo:
        names = tuple(f"{stage}@adaptive-" for stage in stages)  # their code is that of any seed and fold
        deps = {dep.def_path: dep for s in repo.index.stages if s.addressing.startswith(names) for dep in s.deps}
        return {path: dep.get_hash().value for path, dep in deps.items() if path.startswith("stages/")}


def recorded_code(lock: Lock, params: dict[str, Any], stages: Iterable[str]) -> dict[str, str]:
    """The same of the code that ran, as an experiment's dvc.lock has it.

    DVC keeps entries of seeds and folds that the experiment did not run; they are passed over.

    Args:
        lock: of the experiment.
        params: of the experiment.
        stages: without seed and fold.
    """
    seeds, folds = params["train"]["seeds"], params["evaluate"]["folds"]
    ran = [lock.stages.get(target) for stage in stages for target in targets(stage, seeds, folds)]
    return {path: md5 for stage in ran if stage is not None for path, md5 in stage.code.items()}


def without(free: Collection[str], params: dict[str, Any]) -> dict[str, Any]:
    """Params by dotted name, but for some of them or of their sections.

    Args:
        free: dotted names of those to leave out.
        params: of an experiment.
    """
    return {key: value for key, value in flat(params).items() if not any(f"{key}.".startswith(f"{n}.") for n in free)}


def refuse_another(
    sweep: str, params: dict[str, Any], searched: Collection[str], stages: Collection[str] = SCORED
) -> dict[str, Any]:
    """Compare params, data and code of new experiments with those of one that the sweep has already.

    Args:
        sweep: its name.
        params: of the new experiments, without what is searched.
        searched: dotted names of params, or of sections, that differ between experiments.
        stages: what each experiment runs.
    Returns:
        What all experiments of the sweep have in common.
    Raises:
        UserError: another sweep of this name is here; the message names what differs.
    """
    here = define(params, searched, Lock(Path(LOCK).read_text()), present_code(stages))
    if data_params(params) != data_params(overridden([])):
        del here[DATASET_PATH]  # the experiments make other data than those of the workspace
    for member in names(sweep):
        lock, theirs = read_lock(member), read_params(member)
        there = define(theirs, searched, lock, recorded_code(lock, theirs, stages))
        if DATASET_PATH not in here:
            del there[DATASET_PATH]
        refuse_differences(sweep, member, here, there)
    return here


def refuse_mixed(sweep: str, experiments: Sequence[Experiment]) -> None:
    """Compare data and code of experiments that are to stand in one table, whatever command ran them.

    Args:
        sweep: their name.
        experiments: at least one.
    Raises:
        UserError: some were trained or tested with others; the message names what differs.
    """
    stages = ["train"] if any(item.test is None for item in experiments) else SCORED
    code = {item.name: recorded_code(item.lock, item.params, stages) for item in experiments}
    data = {item.name: {DATASET_PATH: item.lock.hashes.get(DATASET_PATH, "")} for item in experiments}
    first_of: dict[str, Experiment] = {}  # of the same data params: others make other data
    for item in experiments:
        same = first_of.setdefault(repr(data_params(item.params)), item)
        refuse_scores(sweep, experiments[0].name, item.name, code)
        refuse_scores(sweep, same.name, item.name, data)


def refuse_scores(sweep: str, one: str, other: str, of_each: dict[str, dict[str, str]]) -> None:
    """Compare what two experiments were made with.

    Args:
        sweep: its name.
        one, other: experiments.
        of_each: what must be equal, by experiment.
    Raises:
        UserError: it differs.
    """
    if differing := differences(of_each[one], of_each[other], f"in {one}", f"in {other}"):
        raise UserError(
            f"{sweep}: the scores of {one} and {other} do not compare: {differing}; leave one of them out "
            f"({how_to_remove('NAME')}), or run it again under another name"
        )


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
    if differing := differences(here, there, "here", "there"):
        raise UserError(
            f"{sweep}: expected what {member} was run with, found others: {differing}; "
            "choose another name, or go back to its params, data, code and ranges"
        )


def differences(ours: dict[str, Any], theirs: dict[str, Any], here: str, there: str) -> str:
    """What differs, by name; nothing where they are equal.

    Args:
        ours, theirs: what is compared.
        here, there: whose it is, in words.
    """
    return "; ".join(
        f"{key} is {ours.get(key, 'absent')} {here} and {theirs.get(key, 'absent')} {there}"
        for key in sorted(ours.keys() | theirs.keys())
        if ours.get(key) != theirs.get(key)
    )
