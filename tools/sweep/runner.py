"""Sweeps: many weightings, each tried as a DVC experiment that can be shown, applied and pushed like any other.

`run_search` lets Optuna choose; validation films judge and the test films stay unseen. `run_arms` trains the paper's
schedule and what it must beat from the same seeds, and tests each. `write_page` writes reports/sweep.html of all
experiments named NAME-something, also those of `dvc exp run --queue --name NAME`. Rerun each to resume.
"""

import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from stages.common.core.errors import UserError
from stages.common.core.files import write_text
from stages.common.core.signals import StopRequest, stop_request
from stages.common.data.layout import DATASET, SWEEP_PAGE
from stages.evaluate.params import Params as Evaluate
from stages.train.params import Method
from stages.train.params import Params as Train
from tools.sweep.arms import arms
from tools.sweep.cost import expected_cost
from tools.sweep.definition import refuse_another
from tools.sweep.exchange import pull
from tools.sweep.experiments import Failed, names, read_experiment, read_sweep, run_experiment, targets
from tools.sweep.overrides import ADAPTIVE, overridden, replace_adaptive


def run_search(name: str, overrides: list[str], ranges: list[str], trials: int, jobs: int) -> int:
    """Search until enough trials are done, then write the page; returns the exit code.

    Args:
        name: of the sweep.
        overrides: of params.yaml in Hydra's grammar, which all trials have.
        ranges: what to search, as KEY=LOW..HIGH; none are the shares of Dice at the schedule's start and end.
        trials: judged or cut short, in all.
        jobs: at a time.
    Raises:
        UserError: an override or a range cannot be read, or the study cannot be written.
    """
    from tools.sweep.search import Search, parse_range
    from tools.sweep.study import ERRORS, is_shared, storage_error

    try:
        parsed = [parse_range(text) for text in ranges]
    except ValueError as error:
        raise UserError(
            f"--range: expected KEY=LOW..HIGH or KEY=LOW..HIGH:log with LOW < HIGH, found {error}"
        ) from None
    params = overridden(overrides)
    definition = refuse_another(name, params, [item.key for item in parsed] or [ADAPTIVE])
    train, folds = trained_params(params)
    with stop_request() as stop:
        try:
            Search(name, train, folds, parsed, overrides, say, stop, definition).run(trials, jobs)
        except ERRORS as error:
            raise storage_error(error) from None
        if is_shared():
            pull(name)
        return stopped(name, stop) or write_page(name, train.adaptive)


def run_arms(name: str, overrides: list[str], seeds: list[int], jobs: int, dry_run: bool) -> int:
    """Train and test every arm that has not been run, then write the page; returns the exit code.

    Args:
        name: of the sweep.
        overrides: of params.yaml in Hydra's grammar, which all arms have.
        seeds: each arm is trained from each.
        jobs: arms at a time.
        dry_run: say what it would cost, and stop.
    Raises:
        UserError: an arm failed; the others are done.
    """
    finished = set(names(name))
    shared = [*overrides, f"train.seeds={seeds}"]
    params = overridden(shared)
    refuse_another(name, params, [ADAPTIVE])
    train, folds = trained_params(params)
    sections = {f"{name}-{arm}": section for arm, section in arms(train.adaptive).items()}
    todo = {experiment: section for experiment, section in sections.items() if experiment not in finished}
    print(expected_cost(train, len(todo), DATASET))
    if dry_run:
        return 0
    stages = [*targets("train", train.seeds, folds), *targets("evaluate", train.seeds, folds)]

    def run_arm(experiment: str, section: Method) -> str:
        if stop():
            return ""
        say(f"{experiment}: starts")
        try:
            run_experiment(experiment, [*shared, *replace_adaptive(section)], stages, name, stop)
        except Failed as failed:
            return "" if stop() else str(failed)
        say(f"{experiment}: validation Dice {read_experiment(experiment).score:.3f}")
        return ""

    with stop_request() as stop:
        with ThreadPoolExecutor(jobs) as pool:
            failures = list(filter(None, pool.map(run_arm, todo.keys(), todo.values())))
        if failures:
            raise UserError(
                "\n".join([f"{len(failures)} of {len(todo)} arms failed; rerun the command to retry them", *failures])
            )
        return stopped(name, stop) or write_page(name, train.adaptive)


def trained_params(params: dict[str, Any]) -> tuple[Train, list[int]]:
    """The section `train`, and the folds."""
    return Train.model_validate(params["train"]), Evaluate.model_validate(params["evaluate"]).folds


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
    write_text(SWEEP_PAGE, render(name, experiments, adaptive))
    summarise(name, {item.name: item.score for item in experiments})
    print(f"sweep {name}: {len(experiments)} experiments -> {SWEEP_PAGE}")
    return 0


def say(text: str) -> None:
    print(f"sweep: {text}", file=sys.stderr, flush=True)
