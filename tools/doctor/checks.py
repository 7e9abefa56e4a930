"""The environment check: what this machine will do with the pipeline, before it does it."""

import sys
from collections.abc import Callable
from functools import partial

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from stages import read_params
from stages.common.core.busy import busy
from stages.common.core.errors import UserError
from stages.common.core.printed import plain_lines
from stages.common.data.layout import PARAMS
from stages.evaluate.params import Params as Evaluate
from stages.ingest.params import Params as Ingest
from stages.preprocess.params import Params as Preprocess
from stages.train.params import Params as Train
from tools.doctor.before_repro import inbox, lock
from tools.doctor.findings import CheckResult, Severity
from tools.doctor.machine import gpus, memory, space, threads
from tools.doctor.packages import packages
from tools.doctor.records import dead_runs, results
from tools.doctor.services import kaggle, remotes, site_cache, tracking

Check = Callable[[], list[CheckResult]]
MARKS = {Severity.GOOD: "[green]good[/]", Severity.WARN: "[yellow]warning[/]", Severity.BAD: "[red]fault[/]"}


def check_environment(fix: bool) -> int:
    """Run all checks and print what they say; returns the number of faults.

    Args:
        fix: close MLflow runs whose process is gone.
    """
    try:
        params = read_params(PARAMS)
    except UserError as fault:
        return show([CheckResult(str(PARAMS), Severity.BAD, str(fault))])
    ingest = Ingest.model_validate(params["ingest"])
    train, folds = Train.model_validate(params["train"]), Evaluate.model_validate(params["evaluate"]).folds
    size = Preprocess.model_validate(params["preprocess"]).size
    checks: dict[str, Check] = {
        "packages": packages,
        "the device": partial(gpus, train.loop),
        "threads": partial(threads, train.loop),
        "memory": partial(memory, train, size),
        "the disk": partial(space, train.seeds, folds),
        "DVC's record": lock,
        "the inbox": partial(inbox, ingest),
        "DVC's notes": site_cache,
        "DVC's remotes": remotes,
        "the MLflow store": tracking,
        "MLflow's runs": partial(dead_runs, fix),
        "trained models": results,
        "Kaggle's credentials": partial(kaggle, ingest),
    }
    return show([finding for what, check in checks.items() for finding in spoken(what, check)])


def spoken(what: str, check: Check) -> list[CheckResult]:
    """What a check finds, which says on a terminal that it goes on: a remote or a store may not answer for minutes."""
    with busy(f"doctor: checks {what}"):
        return check()


def show(findings: list[CheckResult]) -> int:
    """Print the results; returns the number of those that will fail."""
    console = Console(width=None if sys.stdout.isatty() else 160)
    table = Table("what", "", "found", box=None, padding=(0, 2, 0, 0), header_style="dim")
    for finding in findings:
        what, message = (escape(plain_lines(text)) for text in (finding.what, finding.message))
        table.add_row(what, MARKS[finding.state], message)
    console.print(table, soft_wrap=False)
    bad = sum(finding.state == Severity.BAD for finding in findings)
    print("doctor: " + (f"{bad} faults" if bad else "ready"))
    return bad
