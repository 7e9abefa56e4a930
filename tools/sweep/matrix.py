"""`dvc repro` runs one stage after the other; here the trainings of its matrix run side by side.

Each runs as an experiment in a temporary copy of the workspace, and what it makes goes into DVC's run cache, in which
the `dvc repro` that follows finds it. The experiments themselves are removed.
"""

import json
import subprocess
import sys
from itertools import product
from pathlib import Path
from typing import Any

from dvc.repo import Repo

from stages import read_params
from stages.common.core.busy import busy
from stages.common.core.errors import UserError
from stages.common.core.signals import StopRequest, stop_request
from stages.common.data.layout import PARAMS
from stages.common.data.run_id import REPRO, VARIANTS, Run
from tools.doctor.before_repro import require_ready
from tools.sweep.capacity import choose_jobs
from tools.sweep.clone import Job, refuse_unknown_code
from tools.sweep.exchange import run_dvc
from tools.sweep.execution import run_here
from tools.sweep.experiments import end_of, trained_params


def reproduce(jobs: int | None) -> int:
    """Run what `dvc repro` would run, trainings side by side; returns the exit code.

    Args:
        jobs: trainings at a time, each of which waits until its devices are free; None: as many as fit here.
    Raises:
        UserError: git does not know some code, or DVC cannot begin; or a training failed, and the others are done and
            are not run again.
    """
    refuse_unknown_code()
    require_ready()
    params = read_params(PARAMS)
    if code := repro("annotate"):
        return code
    with stop_request() as stop:
        todo = trainings_left(params)
        targets = {
            f"{REPRO}-{stage.partition('@')[2]}": [stage, stage.replace("train", "evaluate", 1)] for stage in todo
        }
        if targets:
            side_by_side(targets, jobs or choose_jobs([params]), stop)
        code = stopped(stop)
    return code or repro()


def repro(*targets: str) -> int:
    """The exit code of `dvc repro`, whose output is ours; that of a stop where one was asked for."""
    with stop_request() as stop:
        code = end_of(subprocess.Popen([sys.executable, "-m", "dvc", "repro", *targets]), stop)
        return stopped(stop) or code


def stopped(stop: StopRequest) -> int:
    """The exit code of a stop that was asked for, after a sentence; 0 if none was."""
    if not stop():
        return 0
    print("repro: stopped; rerun the command to resume", file=sys.stderr)
    return stop.code


def trainings_left(params: dict[str, Any]) -> list[str]:
    """The stages of trainings that `dvc repro` would run, or restore; the data stages are done.

    Args:
        params: of params.yaml.
    """
    train, folds = trained_params(params)
    return changed([f"train@{Run(*item)}" for item in product(VARIANTS, train.seeds, folds)])


def changed(stages: list[str]) -> list[str]:
    """Those of some stages that `dvc repro` would run, or restore."""
    with busy("repro: asks DVC which trainings are left"):
        done = run_dvc(Path(), "status", "--json", *stages)
    if done.returncode:
        raise UserError(f"`dvc status` failed: {done.stderr.strip()}")
    status = json.loads(done.stdout)
    return [stage for stage in stages if stage in status]


def side_by_side(targets: dict[str, list[str]], jobs: int, stop: StopRequest) -> None:
    """Run stages in temporary copies of the workspace, so that the run cache has what they make.

    Args:
        targets: the stages to run, by the name of a temporary experiment.
        jobs: experiments at a time.
        stop: no more begin when it is asked for.
    Raises:
        UserError: some failed; the others are in the run cache.
    """
    remove(targets)  # of a call that was killed
    experiments = [Job(name, [], stages, REPRO) for name, stages in targets.items()]
    failures = run_here(experiments, jobs, stop, lambda name: "done")
    remove(targets)
    if failures:
        raise UserError(
            "\n".join([f"{len(failures)} of {len(targets)} trainings failed; rerun the command", *failures])
        )


def remove(experiments: dict[str, list[str]]) -> None:
    """Remove those of some experiments that are there."""
    with Repo(_wait_for_lock=True) as repo:
        there = {name for rows in repo.experiments.ls(all_commits=True).values() for name, _ in rows}
        if left := sorted(there & experiments.keys()):
            repo.experiments.remove(left)
