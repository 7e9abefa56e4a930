"""Sweeps: many weightings, each tried as a DVC experiment that can be shown, applied and pushed like any other.

`run_search` lets Optuna choose; validation films judge and the test films stay unseen. `run_arms` trains the paper's
schedule and what it must beat from the same seeds, `run_grid` all combinations of some values, and both test each.
`write_page` writes reports/sweep.html of all experiments named NAME-number or NAME-arm, also those of `dvc exp run
--queue --name NAME`. Rerun each to resume.
"""

import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from stages.common.core.busy import busy
from stages.common.core.errors import UserError
from stages.common.core.files import write_text
from stages.common.core.signals import StopRequest, stop_request
from stages.common.data.layout import DATASET, RAW, SWEEP_PAGE
from stages.common.data.tables import MANIFEST, SPLIT
from stages.train.params import Method, read_weights
from tools.sweep.arms import arms
from tools.sweep.capacity import choose_jobs
from tools.sweep.clone import Job, find_origin, refuse_unknown_code
from tools.sweep.cost import expected_cost
from tools.sweep.definition import refuse_another, refuse_changed, refuse_mixed
from tools.sweep.exchange import has_remote, pull
from tools.sweep.execution import Where, run_jobs
from tools.sweep.experiments import names, read_sweep, targets, trained_params
from tools.sweep.overrides import ADAPTIVE, expand, overridden, replace_adaptive
from tools.sweep.patience import Failed, say
from tools.sweep.ranges import Range, parse_range

FETCHING = "sweep: brings experiments of other machines"


def run_search(name: str, overrides: list[str], ranges: list[str], trials: int, jobs: int | None) -> int:
    """Search until enough trials are done, then write the page; returns the exit code.

    Args:
        name: of the sweep.
        overrides: of params.yaml in Hydra's grammar, which all trials have.
        ranges: what to search, as KEY=LOW..HIGH; none are the shares of Dice at the schedule's start and end.
        trials: judged or cut short, in all.
        jobs: at a time; None: as many as fit on this machine.
    Raises:
        UserError: an override or a range cannot be read, or the study cannot be written.
    """
    from tools.sweep.search import Search
    from tools.sweep.study import ERRORS, is_shared, storage_error

    try:
        parsed = [parse_range(text) for text in ranges]
    except ValueError as error:
        raise UserError(
            f"--range: expected KEY=LOW..HIGH or KEY=LOW..HIGH:log with LOW < HIGH, found {error}"
        ) from None
    refuse_unknown_code()
    params = overridden(overrides)
    with busy("sweep: compares with what is there"):
        check_ranges(parsed, overrides, read_weights(params["train"]["adaptive"]))
        definition = refuse_another(name, params, [item.key for item in parsed] or [ADAPTIVE], ["train"])
    train, folds = trained_params(params)
    if is_shared():
        find_origin()  # other machines can take up what runs here
    jobs = jobs or choose_jobs([params])
    with stop_request() as stop:
        try:
            Search(name, train, folds, parsed, overrides, say, stop, definition).run(trials, jobs)
            if is_shared():
                fetch_members(name, stop)
        except ERRORS as error:
            raise storage_error(error) from None
        code = stopped(name, stop)
    return code or write_page(name, train.adaptive)


def check_ranges(ranges: Sequence[Range], overrides: list[str], adaptive: Method) -> None:
    """
    Args:
        ranges: of a search.
        overrides: of params.yaml in Hydra's grammar, which all trials have.
        adaptive: the section that they leave.
    Raises:
        UserError: a param is named twice, is unknown, or cannot have the values of its range.
    """
    fixed = {word.lstrip("+~").partition("=")[0] for word in overrides}
    for number, item in enumerate(ranges):
        if item.key in fixed:
            raise UserError(f"--range {item.key}: -S gives it one value; leave one of the two out")
        if item.key in {other.key for other in ranges[:number]}:
            raise UserError(f"--range: expected each param once, found {item.key} twice")
        fraction = item.low + 0.618 * (item.high - item.low)  # a search tries any number, and most are not whole
        for value in (item.low, item.high, fraction):
            try:
                overridden([*overrides, *replace_adaptive(adaptive), f"{item.key}={value}"])
            except UserError as error:
                reason = str(error).splitlines()[-1].rpartition(" so: ")[2].strip(" -")
                raise UserError(f"--range {item.key}: {value:g} is impossible: {reason}") from None


def run_arms(name: str, overrides: list[str], seeds: list[int], where: Where, dry_run: bool) -> int:
    """Train and test every arm that has not been run, then write the page; returns the exit code.

    Args:
        name: of the sweep.
        overrides: of params.yaml in Hydra's grammar, which all arms have.
        seeds: each arm is trained from each.
        where: the arms run.
        dry_run: say what it would cost, and stop.
    Raises:
        UserError: an arm failed; the others are done.
    """
    if any(word.lstrip("+~").startswith("train.seeds") for word in overrides):
        raise UserError("-S train.seeds: the seeds of arms are those of --seeds; leave it out")
    shared = [*overrides, f"train.seeds={seeds}"]
    train, _ = trained_params(overridden(shared))
    experiments = {
        f"{name}-{arm}": [*shared, *replace_adaptive(section)] for arm, section in arms(train.adaptive).items()
    }
    return run_sweep(name, [ADAPTIVE], experiments, where, dry_run)


def run_grid(name: str, overrides: list[str], where: Where, dry_run: bool) -> int:
    """Train and test every combination of values that has not been run, then write the page; returns the exit code.

    Args:
        name: of the sweep.
        overrides: of params.yaml in Hydra's grammar; several values of a key are separated by commas.
        where: the experiments run.
        dry_run: say what it would cost, and stop.
    Raises:
        UserError: no key has several values, a combination is impossible, or an experiment failed; the others are done.
    """
    combinations, keys = expand(overrides)
    if not keys:
        raise UserError("-S: expected a key with several values, such as KEY=1,2, found none")
    experiments = {f"{name}-{number}": words for number, words in enumerate(combinations, start=1)}
    return run_sweep(name, keys, experiments, where, dry_run)


def run_sweep(name: str, searched: list[str], experiments: dict[str, list[str]], where: Where, dry_run: bool) -> int:
    """Run what is not done yet of the experiments of a sweep, then write its page; returns the exit code.

    Args:
        name: of the sweep.
        searched: dotted names of params, or of sections, that differ between experiments.
        experiments: overrides of params.yaml in Hydra's grammar, by the experiment's name.
        where: they run.
        dry_run: say what it would cost, and stop.
    Raises:
        UserError: before any work, an override is impossible, or a finished experiment of the same name has other
            params; or an experiment failed, and the others are done.
    """
    refuse_unknown_code()
    params = {experiment: overridden(words) for experiment, words in experiments.items()}
    if where.exchanges and not dry_run:
        fetch_members(name, lambda: where.task is None)  # nobody looks on while a task of an array waits
    elif not dry_run:
        fetch_offered(name)
    with busy("sweep: compares with what is there"):
        refuse_another(name, next(iter(params.values())), searched)
        finished = set(names(name))
        refuse_changed(name, {experiment: params[experiment] for experiment in experiments if experiment in finished})
    todo = [experiment for experiment in experiments if experiment not in finished]
    if dry_run or where.task is None:
        print(f"{len(todo)} of {len(experiments)} experiments are left to run.")
        if todo:
            print(expected_cost([params[experiment] for experiment in todo]))
    if dry_run:
        return 0
    if where.task is not None:
        todo = pick(todo, list(experiments), where.task)
    jobs = [Job(experiment, experiments[experiment], stages_of(params[experiment]), name) for experiment in todo]
    if jobs and where.jobs is None and not where.exchanges:
        where = replace(where, jobs=choose_jobs(params[experiment] for experiment in todo))
    with stop_request() as stop:
        if failures := run_jobs(jobs, where, stop):
            heading = f"{len(failures)} of {len(todo)} experiments failed; rerun the command to retry them"
            raise UserError("\n".join([heading, *failures]))
        if where.exchanges and where.task is None and not stop():
            fetch_members(name, stop)
            # Workers go on with what an earlier call asked for, also where this one asks for other values.
            refuse_changed(name, {member: params[member] for member in names(name) if member in params})
        code = stopped(name, stop)
    if code or where.task is not None:
        return code
    return write_page(name, read_weights(next(iter(params.values()))["train"]["adaptive"]))


def fetch_members(name: str, stop: Callable[[], bool]) -> None:
    """Bring the experiments of a sweep from the git remote.

    Args:
        name: of the sweep.
        stop: asked before each further attempt, while the git remote is away.
    Raises:
        UserError: it does not answer.
    """
    try:
        with busy(FETCHING):
            pull(name, stop)
    except Failed as failed:
        raise UserError(str(failed)) from None


def fetch_offered(name: str) -> None:
    """Bring the experiments that other machines pushed, such as tasks of an array, so that none is trained again here.

    Without a git remote there are none; where it does not answer, the experiments run here, after a sentence.

    Args:
        name: of the sweep.
    """
    if not has_remote():
        return
    try:
        with busy(FETCHING):
            pull(name, lambda: True)
    except Failed as failed:
        say(f"{failed}; what other machines have done is run again here")


def pick(todo: list[str], every: list[str], task: int) -> list[str]:
    """The experiment of one task of an array; none where it is done.

    Args:
        todo: experiments that are not done.
        every: all of the sweep.
        task: counted from 0.
    Raises:
        UserError: there is no such task.
    """
    if task >= len(every):
        raise UserError(f"--task: expected 0 to {len(every) - 1}, as there are {len(every)} experiments, found {task}")
    if every[task] not in todo:
        say(f"{every[task]}: is done")
    return [experiment for experiment in todo if experiment == every[task]]


def stages_of(params: dict[str, Any]) -> list[str]:
    """The stages that an experiment with these params runs."""
    train, folds = trained_params(params)
    return [*targets("train", train.seeds, folds), *targets("evaluate", train.seeds, folds)]


def stopped(name: str, stop: StopRequest) -> int:
    """The exit code of a sweep that was asked to stop, after a sentence; 0 if it was not."""
    if not stop():
        return 0
    print(f"sweep {name}: stopped; rerun the command to resume", file=sys.stderr)
    return stop.code


def write_page(name: str, adaptive: Method) -> int:
    """Write the page of a sweep; returns the exit code.

    Args:
        adaptive: the weights of params.yaml.
    """
    from tools.mlflow_store.summarise import summarise
    from tools.sweep.page import render

    experiments = read_sweep(name)
    with busy("sweep: compares data and code"):
        refuse_mixed(name, experiments)
    summarise(name, {item.name: item.score for item in experiments})
    if missing := [str(path) for path in (RAW / MANIFEST.name, DATASET / SPLIT.name) if not path.exists()]:
        print(
            f"sweep {name}: {len(experiments)} experiments; their page needs data: `dvc pull {' '.join(missing)}` and "
            f"`wrist sweep report {name}`"
        )
        return 0
    with busy("sweep: draws intervals and its page"):
        write_text(SWEEP_PAGE, render(name, experiments, adaptive))
    print(f"sweep {name}: {len(experiments)} experiments -> {SWEEP_PAGE}")
    return 0
