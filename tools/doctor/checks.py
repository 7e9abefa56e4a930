"""The environment check: what this machine will do with the pipeline, before it does it."""

import sys
from collections.abc import Callable
from functools import partial

from rich.console import Console
from rich.table import Table

from stages import read_params
from stages.common.core.errors import UserError
from stages.common.data.layout import PARAMS
from stages.evaluate.params import Params as Evaluate
from stages.ingest.params import Params as Ingest
from stages.preprocess.params import Params as Preprocess
from stages.train.params import Params as Train
from tools.doctor.findings import CheckResult, Severity
from tools.doctor.machine import gpus, memory, space, threads
from tools.doctor.packages import packages
from tools.doctor.records import dead_runs, results
from tools.doctor.services import kaggle, remotes, site_cache, tracking

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
    train, folds = Train.model_validate(params["train"]), Evaluate.model_validate(params["evaluate"]).folds
    size = Preprocess.model_validate(params["preprocess"]).size
    checks: list[Callable[[], list[CheckResult]]] = [
        packages,
        partial(gpus, train.loop),
        partial(threads, train.loop),
        partial(memory, train, size),
        partial(space, train.seeds, folds),
        site_cache,
        remotes,
        tracking,
        partial(dead_runs, fix),
        results,
        partial(kaggle, Ingest.model_validate(params["ingest"])),
    ]
    return show([finding for check in checks for finding in check()])


def show(findings: list[CheckResult]) -> int:
    """Print the results; returns the number of those that will fail."""
    console = Console(width=None if sys.stdout.isatty() else 160)
    table = Table("what", "", "found", box=None, padding=(0, 2, 0, 0), header_style="dim")
    for finding in findings:
        table.add_row(finding.what, MARKS[finding.state], finding.message)
    console.print(table, soft_wrap=False)
    bad = sum(finding.state == Severity.BAD for finding in findings)
    print("doctor: " + (f"{bad} faults" if bad else "ready"))
    return bad
