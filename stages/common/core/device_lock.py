"""Processors and GPUs of this machine, held by one process at a time.

Queued experiments know nothing of one another: two trainings on the same cores are slower together than one after the
other, and two on one GPU share its memory. Each device has a file lock, which Linux releases whenever and however its
holder ends. The locks cover all work of one user of the machine, in whichever clone it runs.
"""

import os
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from filelock import FileLock, Timeout

from stages.common.core.busy import Busy, busy
from stages.common.core.errors import first_few
from stages.common.core.signals import StopRequest

PAUSE = 0.1  # seconds between two attempts


def cpu_cores() -> list[str]:
    """The cores that this process may use, as names of devices."""
    return [f"cpu-{number}" for number in sorted(os.sched_getaffinity(0))]


@contextmanager
def lock_devices(devices: Sequence[str], count: int, stop: StopRequest | None = None) -> Iterator[list[int]]:
    """Positions in `devices` of those that are ours while the block runs: `count`, or all where there are fewer.

    Each device has a line of its own, and a process gathers its devices once it is first in the lines of all that it
    may use: many small requests never starve a large one, and who waits for one device holds up nobody who wants
    another.

    Args:
        devices: names, each that of one device in every process.
        count: how many of them are wanted.
        stop: ends the wait, and the process, when asked.
    """
    stop = stop or StopRequest()
    count, folder = min(count, len(devices)), lock_folder()
    # In one order everywhere: two processes that each wait for a line in which the other is first would wait for ever.
    turns = [FileLock(folder / f"{name}.turn") for name in sorted(devices)]
    locks = [FileLock(folder / f"{name}.lock") for name in devices]
    ours: list[int] = []

    @cache
    def announce() -> None:
        held = [f"{name} is held by {holder(lock)}" for name, lock in zip(devices, locks, strict=True) if is_held(lock)]
        first = [f"first in line is {who}" for who in dict.fromkeys(holder(turn) for turn in turns if is_held(turn))]
        wanted = f"{count} of {len(devices)} ({', '.join(devices)})"
        print(f"waiting until {wanted} are free: {first_few(first + held)}", file=sys.stderr)

    speaker = Busy("waits")
    try:
        for turn in turns:
            wait_for(turn, announce, stop)
            sign(turn)
        while len(ours) < count:
            free = next((i for i, lock in enumerate(locks) if i not in ours and try_lock(lock)), None)
            if free is not None:
                ours.append(free)
                sign(locks[free])
                continue
            announce()
            speaker.start()
            stop.exit_if_asked()
            time.sleep(PAUSE)
        speaker.stop()
        for turn in turns:
            release(turn)
        yield sorted(ours)
    finally:
        speaker.stop()
        for lock in (*turns, *locks):
            release(lock)


def sign(lock: FileLock) -> None:
    """Write beside a lock of ours who we are, for those who wait; a container's host name is its own."""
    words = [os.environ.get("DVC_EXP_NAME", ""), "python", *sys.orig_argv[1:]]
    command = " ".join(filter(None, words))[:80]
    text = f"process {os.getpid()} on {socket.gethostname()} ({command}) since {time.strftime('%H:%M')}"
    holder_file(lock).write_text(text)


def holder(lock: FileLock) -> str:
    """Who holds a lock, by their own words."""
    try:
        return holder_file(lock).read_text()
    except FileNotFoundError:  # it has just been taken
        return "a process that has not signed yet"


def holder_file(lock: FileLock) -> Path:
    return Path(lock.lock_file).with_suffix(f"{Path(lock.lock_file).suffix}.holder")


def is_held(lock: FileLock) -> bool:
    """Whether another process holds a lock. What a killed one signed stays, while its lock is free."""
    if lock.is_locked:
        return False
    if try_lock(lock):
        lock.release()
        return False
    return True


def release(lock: FileLock) -> None:
    """Free a lock if it is ours, without our name: it would be shown as that of the next holder."""
    if lock.is_locked:
        holder_file(lock).unlink(missing_ok=True)
        lock.release()


def wait_for(lock: FileLock, announce: Callable[[], None], stop: StopRequest) -> None:
    """Take a lock, however long another process holds it.

    Args:
        announce: says what is waited for, if another process holds the lock.
        stop: ends the wait, and the process, when asked.
    """
    if try_lock(lock):
        return
    announce()
    try:
        with busy("waits"):
            lock.acquire(poll_interval=PAUSE, cancel_check=stop)
    except Timeout:
        stop.exit_if_asked()


def try_lock(lock: FileLock) -> bool:
    """Take a lock if nobody has it."""
    try:
        lock.acquire(blocking=False)
    except Timeout:
        return False
    return True


def lock_folder() -> Path:
    """Where the locks lie: a folder of this user, since another's files cannot be locked, or DEVICE_LOCK_DIR.

    Containers that share GPUs and no temporary folder need one that they share.
    """
    default = Path(tempfile.gettempdir()) / f"wrist-fracture-leases-{os.getuid()}"
    folder = Path(os.environ.get("DEVICE_LOCK_DIR") or default)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder
