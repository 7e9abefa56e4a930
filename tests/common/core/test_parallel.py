import io
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from functools import partial
from importlib import import_module
from multiprocessing.queues import Queue
from pathlib import Path

import numpy as np
import pytest
from distributed import LocalCluster, config, get_worker
from psutil import Process

from stages.common.core.arithmetic import NUMPY, TORCH
from stages.common.core.errors import UserError
from stages.common.core.parallel import ONE_THREAD, executor, track
from tests.helpers.paths import ROOT
from tests.helpers.processes import environment, on_small_disk, run, wait_for


def test_results_keep_the_order_of_the_items_and_a_log_stays_clean(capfd: pytest.CaptureFixture[str]) -> None:
    with executor() as pool:
        assert track(pool, abs, list(range(-300, 0)), "work") == list(range(300, 0, -1))
    assert capfd.readouterr() == ("", "")


def test_a_terminal_shows_a_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    with executor() as pool:
        track(pool, abs, [1, 2, 3], "work")
    assert "work" in screen.getvalue()


def test_an_error_in_a_worker_reaches_the_caller() -> None:
    with pytest.raises(FileNotFoundError, match="nowhere"), executor() as pool:
        track(pool, os.stat, ["nowhere"], "work")


def test_work_that_a_worker_has_no_memory_to_import_is_an_error_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """And no traceback of the worker's."""
    lines = ["from multiprocessing import parent_process", "if parent_process():", "    raise MemoryError"]
    (tmp_path / "large_module.py").write_text("\n".join([*lines, "def work(item):", "    return item"]))
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(MemoryError), executor() as pool:
        track(pool, import_module("large_module").work, [1, 2, 3], "work")
    assert capfd.readouterr() == ("", "")


@pytest.mark.timeout(60)
def test_a_pool_without_its_threads_is_an_error_and_no_endless_wait(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def refuse(queue: object) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(Queue, "_start_thread", refuse)
    with pytest.raises(RuntimeError, match="new thread"), executor() as pool:
        track(pool, abs, [1, 2, 3], "work")
    assert capfd.readouterr() == ("", "")


def test_a_worker_without_a_thread_for_its_watch_ends_without_a_word() -> None:
    lines = ["import threading", "from stages.common.core.parallel import begin_worker", "def refuse(thread):"]
    lines += ["    raise RuntimeError", "threading.Thread.start = refuse", "begin_worker()"]
    assert run(ROOT, sys.executable, "-c", "\n".join(lines), code=1) == ""


@pytest.mark.parametrize("text", ["0", "-1", "two", ""])
def test_a_wrong_number_of_workers_is_said(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORKERS", text)
    with pytest.raises(UserError, match="WORKERS: expected a whole number above 0"), executor():
        pass


def test_a_folder_of_semaphores_that_is_read_only_is_named(tmp_path: Path) -> None:
    script = "from stages.common.core.parallel import processes\nwith processes(): pass"
    words = f"mount -t tmpfs -o ro none /dev/shm; {sys.executable} -c '{script}'"
    output = on_small_disk(tmp_path, "1m", f"export PYTHONPATH={ROOT}; {words}", code=1)
    assert "OSError: [Errno 30] Read-only file system: '/dev/shm'" in output


def slow_write(number: int, folder: str) -> int:
    """Write a file and take a moment, so that a worker can be killed in the middle."""
    time.sleep(0.02)
    (Path(folder) / f"{number}.txt").write_text(str(number))
    return os.getpid()


@pytest.fixture
def two_workers(monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalCluster]:
    """A real Dask cluster on localhost: a scheduler and two worker processes of one thread."""
    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster:  # type: ignore[no-untyped-call]
        monkeypatch.setenv("DASK_SCHEDULER_ADDRESS", cluster.scheduler_address)
        yield cluster


def test_a_dask_cluster_is_an_executor_too_and_survives_a_killed_worker(
    two_workers: LocalCluster, tmp_path: Path
) -> None:
    pids = [worker.pid for worker in two_workers.workers.values()]
    threading.Timer(0.7, os.kill, (pids[0], signal.SIGKILL)).start()
    with executor() as pool:
        done = track(pool, partial(slow_write, folder=str(tmp_path)), list(range(200)), "work")
    assert len(done) == 200
    assert set(done) - {os.getpid()} >= {pids[1]}
    assert sorted(int(path.read_text()) for path in tmp_path.iterdir()) == list(range(200))


def large_content(number: int) -> bytes:
    return np.random.default_rng(number).bytes(4 * 2**20)


def large_result(number: int, folder: str) -> tuple[int, int, int, bytes]:
    """Process, its bytes in memory, the results that it keeps, and a result of 4 MB that nothing makes smaller.

    The first one waits for 40 others, which cannot be read before it.
    """
    if number == 0:
        wait_for(lambda: len(list(Path(folder).iterdir())) >= 40)
    Path(folder, str(number)).touch()
    return os.getpid(), Process().memory_info().rss, len(get_worker().data), large_content(number)


def kept_results(number: int) -> int:
    time.sleep(0.02)  # longer than it takes to read a number
    return len(get_worker().data)


@pytest.mark.slow
def test_workers_of_a_cluster_let_go_of_a_result_that_was_read(two_workers: LocalCluster) -> None:
    with executor() as pool:
        kept = track(pool, kept_results, list(range(64)), "work")
    assert max(kept[32:]) < 16, "of 64"


@pytest.mark.slow
def test_workers_of_a_cluster_spill_results_to_disk_and_their_memory_is_flat(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """They keep results until these can be read; above a share of their memory these lie on disk, and all arrive."""
    monkeypatch.setitem(config["distributed"]["worker"]["memory"], "target", 0.05)  # of 400 MB
    with LocalCluster(n_workers=2, threads_per_worker=1, memory_limit="400MB", dashboard_address=None) as cluster:  # type: ignore[no-untyped-call]
        monkeypatch.setenv("DASK_SCHEDULER_ADDRESS", cluster.scheduler_address)
        with executor() as pool:
            done = track(pool, partial(large_result, folder=str(tmp_path)), list(range(64)), "work")
    assert all(result[3] == large_content(number) for number, result in enumerate(done))
    assert max(result[2] for result in done) * 4 > 80, "no worker had more results than may stay in memory"
    for worker in {result[0] for result in done}:
        memory = [result[1] for result in done if result[0] == worker]
        assert max(memory) - memory[0] < 48 * 2**20


@pytest.mark.slow
def test_workers_with_other_instructions_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in TORCH:
        monkeypatch.delenv(name)
    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster:  # type: ignore[no-untyped-call]
        monkeypatch.setenv("DASK_SCHEDULER_ADDRESS", cluster.scheduler_address)
        with pytest.raises(UserError, match=r"2 of 2 workers would write other bytes .* `wrist worker tcp"), executor():
            pass


@pytest.mark.slow
def test_wrist_starts_workers_with_the_same_instructions(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    free = {name: value for name, value in environment().items() if name not in TORCH | NUMPY}
    with LocalCluster(n_workers=0, dashboard_address=None) as cluster:  # type: ignore[no-untyped-call]
        command = ["wrist", "worker", cluster.scheduler_address, "--workers", "2"]
        worker = subprocess.Popen(command, cwd=tmp_path, env=free, stderr=subprocess.DEVNULL)
        try:
            monkeypatch.setenv("DASK_SCHEDULER_ADDRESS", cluster.scheduler_address)
            wait_for(lambda: len(cluster.scheduler.workers) == 2)
            with executor() as pool:
                assert set(track(pool, os.getenv, list(TORCH), "work")) == set(TORCH.values())
        finally:
            worker.terminate()
            worker.wait()


def test_a_missing_scheduler_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DASK_SCHEDULER_ADDRESS", "nonsense://nowhere")
    with pytest.raises(UserError, match="expected a Dask scheduler at nonsense"), executor():
        pass


def test_workers_use_one_thread_and_leave_the_callers_environment_alone() -> None:
    before = dict(os.environ)
    with executor() as pool:
        assert set(track(pool, os.getenv, list(ONE_THREAD), "work")) == {"1"}
        assert track(pool, threads_of_opencv, [0], "work") == [1]
    assert dict(os.environ) == before


def threads_of_opencv(_: int) -> int:
    import cv2

    return int(cv2.getNumThreads())
