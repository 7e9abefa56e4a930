"""Sweep: try many weightings, each as a DVC experiment that can be shown, applied and pushed like any other.

python -m tools.sweep search NAME [--trials 20] [--jobs 1] [--range KEY=LOW..HIGH[:log]]... [-S KEY=VALUE]...
python -m tools.sweep arms NAME [--seeds 1,2,3,4,5] [--jobs 1] [--dry-run] [-S KEY=VALUE]...
python -m tools.sweep report NAME

`search` lets Optuna choose; validation films judge and the test films stay unseen. Without --range it searches the
share of Dice in the loss at the start and the end of the linear schedule. `arms` trains the paper's schedule and what
it must beat from the same seeds, and tests each. `report` writes reports/sweep.html of all experiments that are named
NAME-something, also those of `dvc exp run --queue --name NAME`. Called again, each goes on where it was stopped.
"""

import argparse
import signal
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

from omegaconf import OmegaConf
from pydantic import ValidationError
from yaml import YAMLError

from stages import read_params, section_model
from stages.common.core.errors import UserError, error_list
from stages.common.core.files import write_text
from stages.common.core.params import describe_error
from tools.sweep.arms import arms
from tools.sweep.cost import expected_cost
from tools.sweep.experiments import Failed, names, read_experiment, run_experiment, targets

PAGE = Path("reports/sweep.html")
TRY_AGAIN = 75  # EX_TEMPFAIL of sysexits.h


def main(words: list[str]) -> int:
    options = read_options(words)
    params = read_params(Path("params.yaml"))
    with told_to_stop() as told:
        if options.command == "search":
            search(options, params, told)
        elif options.command == "arms" and not compare(options, params, told):
            return 0
        if told.is_set():
            print(f"sweep {options.name}: stopped; the same command goes on", file=sys.stderr)
            return TRY_AGAIN
    return report(options.name, params)


def read_options(words: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tools.sweep", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    found = {name: commands.add_parser(name) for name in ("search", "arms", "report")}
    for name, command in found.items():
        command.add_argument("name", type=plain_name, help="of the sweep; its experiments are called NAME-something")
        if name != "report":
            command.add_argument("--jobs", type=int, default=1, help="experiments at a time")
            command.add_argument("-S", "--set-param", action="append", default=[], type=pair, help="as for dvc exp run")
    found["search"].add_argument("--trials", type=int, default=20)
    found["search"].add_argument("--range", action="append", default=[], help="what to search instead of the shares")
    found["arms"].add_argument("--seeds", type=numbers, default=[1, 2, 3, 4, 5])
    found["arms"].add_argument("--dry-run", action="store_true", help="say what it would cost, and stop")
    return parser.parse_args(words)


def plain_name(text: str) -> str:
    if not text or not all(letter.isalnum() or letter in "-_" for letter in text):
        raise argparse.ArgumentTypeError(f"expected letters, digits, - and _, found {text!r}")
    return text


def numbers(text: str) -> list[int]:
    return [int(word) for word in text.split(",")]


def pair(text: str) -> tuple[str, str]:
    key, sign, value = text.partition("=")
    if not sign:
        raise argparse.ArgumentTypeError(f"expected KEY=VALUE, found {text!r}")
    return key, value


def overridden(params: dict[str, Any], changes: dict[str, str]) -> dict[str, Any]:
    """`params` with what -S will change, values read as YAML.

    Raises:
        UserError: a value is no YAML, or section `train` cannot be used with it; DVC refuses the other sections.
    """
    words = [f"{key}={value}" for key, value in changes.items()]
    try:
        found: Any = OmegaConf.to_container(OmegaConf.merge(OmegaConf.create(params), OmegaConf.from_dotlist(words)))
        section_model("train").model_validate(found["train"])
    except YAMLError as error:
        raise UserError(
            f"-S: expected values in YAML, found {', '.join(words)}: {' '.join(str(error).split())}"
        ) from None
    except ValidationError as error:
        raise error_list(
            "-S: these parameters cannot be used", [f"train.{describe_error(e)}" for e in error.errors()]
        ) from None
    return dict(found)


def search(options: argparse.Namespace, params: dict[str, Any], told: threading.Event) -> None:
    """Search until enough trials are done."""
    from optuna.exceptions import StorageInternalError  # MLflow and Optuna take seconds to import
    from sqlalchemy.exc import OperationalError

    from tools.sweep.search import Search, parse_range

    try:
        ranges = [parse_range(text) for text in options.range]
    except ValueError as error:
        raise UserError(
            f"--range: expected KEY=LOW..HIGH or KEY=LOW..HIGH:log with LOW < HIGH, found {error}"
        ) from None
    try:
        Search(options.name, params, ranges, dict(options.set_param), say, told).run(options.trials, options.jobs)
    except (OperationalError, StorageInternalError) as error:
        reason = str(error.__cause__ or error).splitlines()[0]
        raise UserError(
            f"optuna.db: expected to write the study, found: {reason}; free some space or end who else writes, and "
            "run it again: what is done stays"
        ) from None


def compare(options: argparse.Namespace, params: dict[str, Any], told: threading.Event) -> bool:
    """Run every arm that has not been run; False after a dry run."""
    known = set(names(options.name))
    todo = {f"{options.name}-{arm}": changes for arm, changes in arms().items() if f"{options.name}-{arm}" not in known}
    fixed = dict(options.set_param) | {"train.seeds": "[" + ",".join(map(str, options.seeds)) + "]"}
    params = overridden(params, fixed)
    print(expected_cost(params, len(todo), options.seeds, Path("data/dataset")))
    if options.dry_run:
        return False
    stages = targets("train", params) + targets("evaluate", params)

    def one(name: str, changes: dict[str, Any]) -> str:
        if told.is_set():
            return ""
        say(f"{name}: starts")
        try:
            run_experiment(name, fixed | changes, stages, options.name, told.is_set)
        except Failed as failed:
            return "" if told.is_set() else str(failed)
        say(f"{name}: validation Dice {read_experiment(name).score:.3f}")
        return ""

    with ThreadPoolExecutor(options.jobs) as pool:
        failures = list(filter(None, pool.map(one, todo.keys(), todo.values())))
    if failures:
        raise UserError(
            "\n".join([f"{len(failures)} of {len(todo)} arms failed; the same command tries them again", *failures])
        )
    return True


def report(name: str, params: dict[str, Any]) -> int:
    """Write the page of a sweep."""
    from tools.sweep.page import render

    found = [read_experiment(experiment) for experiment in names(name)]
    if not found:
        raise UserError(
            f"{name}: expected experiments named {name}-something, found none; see `dvc exp list --all-commits`"
        )
    write_text(PAGE, render(name, found, params))
    print(f"sweep {name}: {len(found)} experiments -> {PAGE}")
    return 0


def say(text: str) -> None:
    print(f"sweep: {text}", file=sys.stderr, flush=True)


@contextmanager
def told_to_stop() -> Iterator[threading.Event]:
    """An event that Ctrl-C and SIGTERM set, once; a second one ends the program."""
    told = threading.Event()

    def hear(signum: int, frame: FrameType | None) -> None:
        told.set()
        signal.signal(signum, signal.SIG_DFL)

    before = {signum: signal.signal(signum, hear) for signum in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield told
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except UserError as fault:
        sys.exit(f"sweep: {fault}")
