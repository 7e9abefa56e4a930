"""Where the experiments of a sweep run: on this machine, on the workers of a Dask cluster, or as tasks of an array."""

import os
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from dataclasses import dataclass

from stages.common.core.busy import busy
from stages.common.core.parallel import SCHEDULER, cluster
from stages.common.core.signals import StopRequest
from stages.common.model.tracking import describe
from tools.sweep.clone import Job, find_origin, run_in_clone
from tools.sweep.experiments import PAUSE, read_experiment, run_experiment
from tools.sweep.patience import Failed, say

RUNS = "sweep: experiments run"


@dataclass(frozen=True)
class Where:
    """Where the experiments of a sweep run.

    jobs: at a time on this machine, None for as many as fit, unless DASK_SCHEDULER_ADDRESS names the workers that take
    one each. task: of them, counted from 0, is the only one to run, in a clone, as a SLURM array has it; None runs all.
    """

    jobs: int | None = 1
    task: int | None = None

    @property
    def exchanges(self) -> bool:
        """Whether experiments come and go through the git remote, since other machines run some."""
        return self.task is not None or bool(os.environ.get(SCHEDULER))


def run_jobs(jobs: list[Job], where: Where, stop: StopRequest) -> list[str]:
    """Run experiments; returns what went wrong with those that failed.

    Args:
        jobs: the experiments.
        where: they run.
        stop: no more begin when it is asked for.
    """
    return run_in_clones(jobs, where, stop) if where.exchanges else run_here(jobs, where.jobs or 1, stop)


def run_here(
    jobs: list[Job],
    count: int,
    stop: StopRequest,
    outcome: Callable[[str], str] = lambda name: f"validation Dice {read_experiment(name).score:.3f}",
) -> list[str]:
    """Run experiments on this machine, so many at a time; returns what went wrong.

    Args:
        jobs: the experiments.
        count: at a time.
        stop: no more begin when it is asked for.
        outcome: what is said of an experiment that has ended well, by its name.
    """

    def run(job: Job) -> str:
        if stop():
            return ""
        say(f"{job.name}: starts")
        try:
            run_experiment(job.name, job.overrides, job.stages, job.sweep, stop)
        except Failed as failed:
            return "" if stop() else str(failed)
        say(f"{job.name}: {outcome(job.name)}")
        return ""

    with busy(RUNS), ThreadPoolExecutor(count) as pool:
        return list(filter(None, pool.map(run, jobs)))


def run_in_clones(jobs: list[Job], where: Where, stop: StopRequest) -> list[str]:
    """Run experiments in clones, on the workers of a Dask cluster or here; returns what went wrong.

    An experiment whose worker dies is given to another. What has begun on a worker when a stop is asked for goes on to
    its end; what has begun here ends, and leaves a checkpoint.
    """
    origin = find_origin()
    address = os.environ.get(SCHEDULER) if where.task is None else None
    own = () if address else (stop,)
    with busy(RUNS), ThreadPoolExecutor(1) if not address else cluster(address) as pool:
        futures = {pool.submit(run_in_clone, origin, job, *own): job.name for job in jobs}
        failures = []
        while futures and not stop():
            ended, _ = wait(futures, timeout=PAUSE, return_when=FIRST_COMPLETED)
            for future in ended:
                name = futures.pop(future)
                error = future.exception()
                failure = f"{name}: {describe(error)}" if isinstance(error, Exception) else future.result()
                if failure and stop():  # a runner's SIGTERM ended both
                    break
                say(f"{name}: {'failed' if failure else 'is pushed'}")
                failures += [failure] if failure else []
        for future in futures:
            future.cancel()
        return failures
