"""DVC's queue of experiments after a worker was killed or an experiment failed."""

from contextlib import suppress
from typing import Any

import psutil
from dvc.repo import Repo
from dvc.repo.experiments.executor.base import ExecutorInfo
from dvc.repo.experiments.executor.local import TempDirExecutor
from dvc.repo.experiments.queue.base import QueueEntry
from dvc.repo.experiments.queue.celery import LocalCeleryQueue
from dvc.repo.experiments.queue.remove import remove_tasks
from dvc.repo.experiments.queue.tasks import run_exp

from stages.common.core.busy import busy

WORKER, EXPERIMENT = "queue-worker", "exec-run"  # words of the command lines of DVC's processes


@busy("sweep: looks through DVC's queue")
def requeue_lost() -> str:
    """Queue experiments again that failed, or that DVC takes for running although their worker is gone.

    Each keeps its name, params and code, and an unfinished training goes on from its checkpoint. DVC has no command for
    this: its queue is read and written as DVC itself does.

    Returns:
        A sentence about what is queued again.
    """
    with Repo(_wait_for_lock=True) as repo:
        queue = repo.experiments.celery_queue
        tasks = list(queue._iter_processed())
        working = queue._get_running_task_ids() if tasks else set()
        failed = {result.entry.stash_rev for result in queue.iter_failed()}
        again: dict[str, list[str]] = {"lost its worker": [], "failed": []}
        for message, entry in tasks:
            ended = queue.celery.AsyncResult(message.headers["id"]).ready()
            if ended and entry.stash_rev in failed:
                kind = "failed"
            elif not ended and message.headers["id"] not in working and not has_worker(queue, entry):
                kind = "lost its worker"
                tidy_up(queue, entry)
                queue.celery.backend.mark_as_failure(message.headers["id"], None)  # as `dvc queue kill` does
            else:
                continue
            put_again(queue, message, entry)
            again[kind].append(entry.name or entry.stash_rev[:7])
    rows = [f"{name} ({kind})" for kind, names in again.items() for name in names]
    return f"queued again: {', '.join(rows) or 'nothing'}; `dvc queue start --jobs N` runs what is queued"


def process_of(queue: LocalCeleryQueue, entry: QueueEntry) -> psutil.Process | None:
    """The process that runs an experiment, if it is there."""
    info = queue.proc.get(entry.stash_rev)
    with suppress(psutil.Error):
        process = psutil.Process(info.pid) if info else None
        return process if process and EXPERIMENT in process.cmdline() else None
    return None


def has_worker(queue: LocalCeleryQueue, entry: QueueEntry) -> bool:
    """Whether the process that runs an experiment has a worker above it, which will collect the result."""
    with suppress(psutil.Error):
        process = process_of(queue, entry)
        return process is not None and any(WORKER in above.cmdline() for above in process.parents())
    return False


def tidy_up(queue: LocalCeleryQueue, entry: QueueEntry) -> None:
    """End an experiment that nobody waits for, and remove its temporary copy of the workspace."""
    if process := process_of(queue, entry):
        with suppress(psutil.Error):
            process.kill()  # its training ends with it, and leaves a checkpoint
            process.wait()
    infofile = queue.get_infofile_path(entry.stash_rev)
    with suppress(FileNotFoundError):
        TempDirExecutor.from_info(ExecutorInfo.load_json(infofile)).cleanup(infofile)


def put_again(queue: LocalCeleryQueue, message: Any, entry: QueueEntry) -> None:
    """Queue a task as it was queued first."""
    args, kwargs, _ = message.decode()
    remove_tasks(queue, [entry])
    text = queue.stash.format_message(entry.head_rev, entry.baseline_rev, entry.name, entry.branch)
    queue.scm.set_ref(queue.ref, entry.stash_rev, message=f"commit: {text}")
    queue.celery.signature(run_exp.s(*args, **kwargs)).delay()
