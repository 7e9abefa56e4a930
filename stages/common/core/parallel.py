"""One way to spread work over processors: a `concurrent.futures.Executor`, whatever stands behind it."""

import os
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor, wait
from contextlib import contextmanager
from multiprocessing import active_children, get_context, parent_process
from multiprocessing.reduction import ForkingPickler
from typing import Any, TypeVar

from tqdm import tqdm

from stages.common.core.arithmetic import is_pinned
from stages.common.core.errors import UserError
from stages.common.core.signals import hide_warnings, starting_processes

Item = TypeVar("Item")
Result = TypeVar("Result")
# Each worker has one core: libraries that start a thread per core would fight over them.
ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OPENCV_FOR_THREADS_NUM")
SCHEDULER = "DASK_SCHEDULER_ADDRESS"
SEMAPHORES = "/dev/shm"
BATCHES = 64  # made here, since Dask's executor ignores the chunk size of `map`


@contextmanager
def executor() -> Iterator[Executor]:
    """Worker processes here, or those of the Dask cluster that DASK_SCHEDULER_ADDRESS names.

    Here they are as many as this process may use cores, or as `WORKERS` in the environment says. Neither their number
    nor their place ever changes a result, so they are no parameters of the pipeline. Work gets absolute paths; a
    cluster's workers need the same file system and virtual environment, and one thread each.
    """
    address = os.environ.get(SCHEDULER, "")
    with cluster(address) if address else processes() as pool:
        yield pool


@contextmanager
def processes() -> Iterator[Executor]:
    """Processes of this machine."""
    with one_thread(), new_pool() as pool:
        try:
            yield pool
        except BaseException:
            # Nobody may still write into a folder that its owner is about to remove.
            for child in active_children():
                child.terminate()
            pool.shutdown(wait=True, cancel_futures=True)
            raise


def new_pool() -> ProcessPoolExecutor:
    """Worker processes before their first task.

    Raises:
        OSError: the system lets nobody make a semaphore; its `filename` is the folder in which Linux keeps them.
    """
    try:
        return ProcessPoolExecutor(count_workers(), get_context("spawn"), begin_worker)
    except OSError as error:
        error.filename = error.filename or SEMAPHORES
        raise


def begin_worker() -> None:
    """Hide warnings, as the parent does, and end at once when it is killed.

    Workers that only wait would stay for ever, and one at work would write on beside the parent's successor.
    """
    hide_warnings()
    try:
        threading.Thread(target=end_with_parent, daemon=True).start()
    except RuntimeError:  # the system starts no more; the parent says in a sentence that a worker ended
        os._exit(1)


def end_with_parent() -> None:
    parent = parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


@contextmanager
def one_thread() -> Iterator[None]:
    """Processes that are started in the block inherit libraries of one thread; those that the user set stay."""
    added = {name: "1" for name in ONE_THREAD if name not in os.environ}
    os.environ.update(added)
    try:
        yield
    finally:
        for name in added:
            del os.environ[name]


@contextmanager
def cluster(address: str) -> Iterator[Executor]:
    """The workers of a Dask cluster. A batch whose worker dies is done again by another.

    Raises:
        UserError: no scheduler answers, or a worker computes with other instructions than this process.
    """
    from distributed import Client  # a second, and only where a cluster is used

    try:
        client = Client(address, timeout=10)  # type: ignore[no-untyped-call]
    except (OSError, ValueError):
        raise UserError(
            f"{SCHEDULER}: expected a Dask scheduler at {address}, found none that answers; "
            "start one with `dask scheduler`, or unset the variable"
        ) from None
    with client, client.get_executor(pure=False) as pool:  # type: ignore[no-untyped-call]
        pinned = list(client.run(is_pinned, torch=True).values())
        if not all(pinned):
            raise UserError(
                f"{address}: {pinned.count(False)} of {len(pinned)} workers would write other bytes than this machine; "
                f"start each with `wrist worker {address}` in place of `dask worker`"
            )
        try:
            yield pool
        except BaseException:
            pool.shutdown(wait=False)  # cancels what is not done; leaving the block would wait for it
            raise


def count_workers() -> int:
    """WORKERS of the environment, else the cores that this process may use.

    Raises:
        UserError: WORKERS is no whole number above 0.
    """
    text = os.environ.get("WORKERS", str(len(os.sched_getaffinity(0))))
    if not text.isdecimal() or int(text) < 1:
        raise UserError(f"WORKERS: expected a whole number above 0, found {text!r}; correct or unset the variable")
    return int(text)


def track(pool: Executor, work: Callable[[Item], Result], items: Sequence[Item], label: str) -> list[Result]:
    """`work` on every item, results in order, with a progress bar on a terminal and nothing in a log.

    Args:
        pool: of `executor`.
        work: a function that another process can import.
        items: its arguments.
        label: before the progress bar.
    """
    size = max(1, len(items) // BATCHES)
    batches = [items[start : start + size] for start in range(0, len(items), size)]
    results: list[Result] = []
    with tqdm(desc=label, total=len(items), disable=None, leave=False) as bar, thread_errors() as errors:
        with starting_processes():  # the pool starts its processes as work is submitted
            # Not `pool.map`: it cancels futures on an error, and the thread of a pool whose workers are then terminated
            # fails on a cancelled future (Python 3.11).
            futures = deque(pool.submit(run_batch, bytes(ForkingPickler.dumps((work, batch)))) for batch in batches)
        while futures:  # and let go of each one that is read: a cluster keeps a result as long as its future lives
            done = result_of(futures.popleft(), errors)
            results += done
            bar.update(len(done))
    return results


def run_batch(pickled: bytes) -> list[Any]:
    """What `track` has a worker do.

    It unpickles here, and so imports the work's modules here, so that an import without memory reaches the caller as an
    error; in the worker's own loop it would be a traceback on stderr.
    """
    work, items = ForkingPickler.loads(pickled)
    return [work(item) for item in items]


def result_of(future: Future[list[Result]], errors: Sequence[BaseException]) -> list[Result]:
    """What a worker returned, or the error that ended it, or a thread that the pool needs: nobody would answer."""
    while not wait([future], timeout=1).done and not errors:
        pass
    if errors:
        raise errors[0]
    return future.result()


@contextmanager
def thread_errors() -> Iterator[Sequence[BaseException]]:
    """The errors that ended threads of this process during the block, which Python would only print."""
    errors: list[BaseException] = []

    def keep(ended: threading.ExceptHookArgs) -> None:
        assert ended.exc_value is not None
        errors.append(ended.exc_value)

    before, threading.excepthook = threading.excepthook, keep
    try:
        yield errors
    finally:
        threading.excepthook = before
