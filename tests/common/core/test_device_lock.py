"""Leases between real processes: never two holders of one device, and a death frees it."""

import os
import shutil
import signal
import subprocess
import sys
from collections import defaultdict
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import pytest
from filelock import FileLock

from stages.common.core.device_lock import cpu_cores, lock_devices, sign
from stages.common.core.signals import StopRequest
from tests.helpers.paths import ROOT
from tests.helpers.processes import read_until

HOLD = """
import sys, time
from stages.common.core.device_lock import lock_devices
devices, wanted, seconds = sys.argv[1].split(","), int(sys.argv[2]), float(sys.argv[3])
with lock_devices(devices, wanted) as mine:
    start = time.monotonic()
    print("has", *mine, flush=True)
    time.sleep(seconds)
    print("span", start, time.monotonic(), flush=True)
"""


@pytest.fixture(autouse=True)
def own_leases(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEVICE_LOCK_DIR", str(tmp_path))


def holder(devices: list[str], wanted: int, seconds: float, container: Sequence[str] = ()) -> subprocess.Popen[str]:
    words = [*container, sys.executable, "-c", HOLD, ",".join(devices), str(wanted), str(seconds)]
    return subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_a_device_has_one_holder_at_a_time() -> None:
    devices = ["gpu-0", "gpu-1", "gpu-2"]
    started = [holder(devices, wanted, 0.3) for wanted in (1, 2, 3, 1, 2, 1)]
    spans: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for process, wanted in zip(started, (1, 2, 3, 1, 2, 1), strict=True):
        said, _ = process.communicate()
        first, second = said.splitlines()
        mine = first.split()[1:]
        assert len(set(mine)) == wanted
        for device in mine:
            spans[device].append((float(second.split()[1]), float(second.split()[2])))
    for held in spans.values():
        held.sort()
        assert all(end <= start for (_, end), (start, _) in pairwise(held))


@pytest.mark.parametrize("sign", [signal.SIGKILL, signal.SIGTERM])
def test_a_holder_that_dies_frees_its_device(sign: signal.Signals) -> None:
    first = holder(["gpu-0"], 1, 600)
    assert first.stdout is not None
    assert first.stdout.readline() == "has 0\n"
    second = holder(["gpu-0"], 1, 0)
    read_until(second.stderr, f"waiting until 1 of 1 (gpu-0) are free: gpu-0 is held by process {first.pid} on ")
    assert second.poll() is None
    first.send_signal(sign)
    first.communicate()
    assert second.communicate()[0].startswith("has 0\n")


def test_who_waits_hears_of_those_that_hold_something_now(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """gpu-0 and the turn were left by killed processes, gpu-1 by one that ended, and gpu-2 is taken."""
    for name in ("gpu-0.lock", "gpu-2.lock", "gpu-0.turn"):
        (tmp_path / name).touch()
        (tmp_path / f"{name}.holder").write_text("process 1 on gone")
    with lock_devices(["gpu-1"], 1):
        pass
    stop = StopRequest()
    stop.asked = True
    with FileLock(tmp_path / "gpu-2.lock"), pytest.raises(SystemExit), lock_devices(["gpu-1", "gpu-0"], 2):
        sign(FileLock(tmp_path / "gpu-2.lock"))
        with lock_devices(["gpu-0", "gpu-1", "gpu-2", "gpu-3"], 2, stop):
            pytest.fail("only one of them is free")
    said = capsys.readouterr().err
    assert said.count("is held by") == 3
    assert "gone" not in said
    assert "first in line" not in said


def test_who_waits_behind_others_hears_who_comes_first(tmp_path: Path) -> None:
    with lock_devices(["gpu-0"], 1):
        first = holder(["gpu-0"], 1, 0)
        read_until(first.stderr, f"gpu-0 is held by process {os.getpid()} on ")
        second = holder(["gpu-0"], 1, 0)
        read_until(second.stderr, f"first in line is process {first.pid} on ")
    assert [process.communicate()[0][:3] for process in (first, second)] == ["has", "has"]
    assert not list(tmp_path.glob("*.holder"))


def test_who_waits_for_one_device_holds_up_nobody_who_wants_another() -> None:
    """Each process of a sweep may see one GPU only, by CUDA_VISIBLE_DEVICES."""
    with lock_devices(["gpu-0"], 1):
        waits = holder(["gpu-0"], 1, 0)
        read_until(waits.stderr, "gpu-0 is held by")
        with lock_devices(["gpu-1"], 1) as mine:
            assert mine == [0]
        both = holder(["gpu-1", "gpu-0"], 2, 0)
        read_until(both.stderr, f"first in line is process {waits.pid} on ")
    assert [process.communicate()[0][:3] for process in (waits, both)] == ["has", "has"]


def test_requests_for_overlapping_devices_all_come_to_an_end() -> None:
    """Each wants two of three, as other processes see them: none waits for one that waits for it."""
    pairs = [["gpu-0", "gpu-1"], ["gpu-2", "gpu-1"], ["gpu-2", "gpu-0"]]
    started = [holder(pair, 2, 0.05) for pair in pairs * 2]
    assert all(process.communicate(timeout=60)[0].startswith("has 0 1\n") for process in started)


def test_containers_of_one_machine_share_a_folder_and_hear_each_others_names() -> None:
    """Each has its own process numbers, files and host name, as containers have."""
    shell = ["unshare", "--map-root-user", "--pid", "--mount", "--uts", "--fork", "--mount-proc", "--kill-child"]
    if shutil.which("unshare") is None or subprocess.run([*shell, "true"], check=False).returncode:
        pytest.skip("this machine lets nobody make a container (unshare)")
    shell += ["sh", "-c", 'hostname "$0" && exec "$@"']
    first = holder(["gpu-0"], 1, 600, [*shell, "box-a"])
    assert first.stdout is not None
    assert first.stdout.readline() == "has 0\n"
    second = holder(["gpu-0"], 1, 0, [*shell, "box-b"])
    read_until(second.stderr, "gpu-0 is held by process 1 on box-a (")
    first.kill()
    first.communicate()
    assert second.communicate()[0].startswith("has 0\n")


def test_a_wish_for_more_than_there_is_gets_all() -> None:
    with lock_devices(["cpu-0", "cpu-1"], 5) as mine:
        assert mine == [0, 1]


def test_a_wait_ends_when_it_is_asked_to_stop() -> None:
    stop = StopRequest()
    with lock_devices(["gpu-0"], 1):  # another lock on the same file, as another process would hold it
        waiting = holder(["gpu-0"], 1, 0)
        stop.asked = True
        with pytest.raises(SystemExit) as end, lock_devices(["gpu-0"], 1, stop):
            pytest.fail("a device that another has")
        assert end.value.code == os.EX_TEMPFAIL
        assert waiting.poll() is None
    assert waiting.communicate()[0].startswith("has 0")


def test_processors_are_those_that_this_process_may_use() -> None:
    assert len(cpu_cores()) == len(os.sched_getaffinity(0))
    assert all(name.startswith("cpu-") for name in cpu_cores())
