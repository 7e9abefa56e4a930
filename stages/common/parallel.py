"""One way to spread work over processors: a `concurrent.futures.Executor`, whatever stands behind it."""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from typing import TypeVar

from tqdm import tqdm

Item = TypeVar("Item")
Result = TypeVar("Result")


@contextmanager
def executor() -> Iterator[Executor]:
    """Worker processes, as many as this process may use cores, or as `WORKERS` in the environment says.

    The number of workers never changes a result, so it is no parameter of the pipeline.
    """
    workers = int(os.environ.get("WORKERS", len(os.sched_getaffinity(0))))
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        try:
            yield pool
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def track(pool: Executor, work: Callable[[Item], Result], items: Sequence[Item], label: str) -> list[Result]:
    """`work` on every item, results in order, with a progress bar on a terminal and nothing in a log."""
    chunk = max(1, len(items) // 64)
    results: Iterable[Result] = pool.map(work, items, chunksize=chunk)
    return list(tqdm(results, desc=label, total=len(items), disable=None, leave=False))
