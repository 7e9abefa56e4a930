"""One way to spread work over processors: a `concurrent.futures.Executor`, whatever stands behind it."""

import os
import signal
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from typing import TypeVar

from tqdm import tqdm

from stages.common.errors import Fault

Item = TypeVar("Item")
Result = TypeVar("Result")


@contextmanager
def executor() -> Iterator[Executor]:
    """Worker processes, as many as this process may use cores, or as `WORKERS` in the environment says.

    The number of workers never changes a result, so it is no parameter of the pipeline.
    """
    context = get_context("spawn")
    # Ctrl-C reaches the whole process group; the parent answers it for all.
    with ProcessPoolExecutor(count_workers(), context, signal.signal, (signal.SIGINT, signal.SIG_IGN)) as pool:
        try:
            yield pool
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def count_workers() -> int:
    """WORKERS of the environment, else the cores that this process may use.

    Raises:
        Fault: WORKERS is no whole number above 0.
    """
    text = os.environ.get("WORKERS", str(len(os.sched_getaffinity(0))))
    if not text.isdecimal() or int(text) < 1:
        raise Fault(f"WORKERS: expected a whole number above 0, found {text!r}; correct or unset the variable")
    return int(text)


def track(pool: Executor, work: Callable[[Item], Result], items: Sequence[Item], label: str) -> list[Result]:
    """`work` on every item, results in order, with a progress bar on a terminal and nothing in a log."""
    chunk = max(1, len(items) // 64)
    results: Iterable[Result] = pool.map(work, items, chunksize=chunk)
    return list(tqdm(results, desc=label, total=len(items), disable=None, leave=False))
