"""Processors and GPUs of this machine, lent to one process at a time.

Queued experiments know nothing of one another: two trainings on the same cores are slower together than one after the
other, and two on one GPU share its memory. A lease is a file lock for each device, which Linux takes back whenever and
however its holder ends. It covers all work of one user of the machine, in whichever clone it runs.
"""

import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

PAUSE = 0.1  # seconds between two looks


def cpu_cores() -> list[str]:
    """The cores that this process may use, as names of devices."""
    return [f"cpu-{number}" for number in sorted(os.sched_getaffinity(0))]


@contextmanager
def lock_devices(
    devices: Sequence[str], wanted: int, look_up: Callable[[], None] = lambda: None
) -> Iterator[list[int]]:
    """Positions in `devices` of those that are ours while the block runs: `wanted`, or all where there are fewer.

    Whoever comes first gathers first, so that many small wishes never starve a large one.

    Args:
        devices: names of one kind, as kind-number.
        look_up: called while waiting; an exception of it ends the wait.
    """
    wanted, place = min(wanted, len(devices)), folder()
    turn = FileLock(place / f"{devices[0].split('-')[0]}.turn")
    locks = [FileLock(place / f"{name}.lock") for name in devices]
    pauses = patience(f"waits until {wanted} of {len(devices)} ({', '.join(devices)}) are free", look_up)
    mine: list[int] = []
    try:
        while not taken(turn):
            next(pauses)
        while len(mine) < wanted:
            free = (number for number, lock in enumerate(locks) if number not in mine and taken(lock))
            found = next(free, None)
            if found is None:
                next(pauses)
            else:
                mine.append(found)
        turn.release()
        yield sorted(mine)
    finally:
        for lock in (turn, *locks):
            lock.release()


def taken(lock: FileLock) -> bool:
    """Take a lock if nobody has it."""
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return False
    return True


def patience(what: str, look_up: Callable[[], None]) -> Iterator[None]:
    """A pause at each step, and what is waited for on stderr at the first."""
    print(what, file=sys.stderr)
    while True:
        look_up()
        time.sleep(PAUSE)
        yield


def folder() -> Path:
    """Where the locks lie: of this user, since another's files cannot be locked."""
    place = Path(tempfile.gettempdir()) / f"wrist-fracture-leases-{os.getuid()}"
    place.mkdir(mode=0o700, exist_ok=True)
    return place
