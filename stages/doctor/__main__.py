"""Doctor: what this machine will do with the pipeline, before it does it.

python -m stages.doctor [--mend]

Exit code 1: something will fail. A warning costs speed or comfort only. --mend closes MLflow runs whose process is
gone. Secrets are looked for and never shown.
"""

import argparse
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

from rich.console import Console
from rich.table import Table

from stages.common.errors import Fault
from stages.common.params import read_params
from stages.doctor.findings import Finding, State
from stages.doctor.machine import gpus, memory, space, threads
from stages.doctor.outside import kaggle, remotes, tracking
from stages.doctor.records import dead_runs, results

MARKS = {State.GOOD: "[green]good[/]", State.WARN: "[yellow]warning[/]", State.BAD: "[red]fault[/]"}


def main(words: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m stages.doctor", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--mend", action="store_true", help="close MLflow runs whose process is gone")
    options = parser.parse_args(words)
    try:
        params = read_params(Path("params.yaml"))
    except Fault as fault:
        return show([Finding("params.yaml", State.BAD, str(fault))])
    checks: list[Callable[[], list[Finding]]] = [
        partial(gpus, params),
        partial(threads, params),
        partial(memory, params),
        partial(space, params),
        remotes,
        tracking,
        partial(dead_runs, options.mend),
        results,
        partial(kaggle, params),
    ]
    return show([finding for check in checks for finding in check()])


def show(findings: list[Finding]) -> int:
    """Print what was found; 1 where something will fail."""
    console = Console(width=None if sys.stdout.isatty() else 160)
    table = Table("what", "", "found", box=None, padding=(0, 2, 0, 0), header_style="dim")
    for finding in findings:
        table.add_row(finding.what, MARKS[finding.state], finding.said)
    console.print(table, soft_wrap=False)
    bad = sum(finding.state == State.BAD for finding in findings)
    print("doctor: " + (f"{bad} faults" if bad else "ready"))
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
