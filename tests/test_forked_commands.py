"""Commands that are forked from a process with their libraries are to a test what fresh ones are."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tests.helpers.processes import FORKED, forked_environment, run, wait_for

pytestmark = [
    pytest.mark.slow,  # the libraries are loaded once
    pytest.mark.skipif(FORKED not in os.environ, reason="commands are forked where several processes test"),
]
PROBE = """
import os, signal, sys, time
print("torch" in sys.modules, flush=True)
print(__name__, __spec__.name, sys.argv[1:], os.getcwd(), sys.path[0], flush=True)
print(os.environ.get("PROBE"), sys.stdin.read(), flush=True)
end = sys.argv[1]
if end == "sentence":
    sys.exit("one sentence")
if end == "number":
    sys.exit(75)
if end == "bug":
    raise ValueError("a bug")
if end == "killed":
    os.kill(os.getpid(), signal.SIGKILL)
if end == "stopped":
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, _: sys.exit(100 + number))
if end in ("sleeps", "stopped"):
    open("begun", "w").write(str(os.getpid()))
    time.sleep(600)
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder with a package `stages` of its own."""
    (tmp_path / "stages").mkdir()
    (tmp_path / "stages/__init__.py").touch()
    (tmp_path / "stages/probe.py").write_text(PROBE)
    return tmp_path


@pytest.mark.parametrize(
    ("end", "code"), [("well", 0), ("sentence", 1), ("number", 75), ("bug", 1), ("killed", -signal.SIGKILL)]
)
def test_it_says_and_ends_as_a_fresh_one(end: str, code: int, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROBE", "1")
    words = ("-m", "stages.probe", end, "two words")
    fresh = run(project, sys.executable, *words, code=code).splitlines()
    forked = run(project, "python", *words, code=code).splitlines()
    assert (fresh[0], forked[0]) == ("False", "True")
    assert (forked[1:3], forked[-1]) == (fresh[1:3], fresh[-1])  # between them a traceback has lines of the server
    assert end == "bug" or forked[1:] == fresh[1:]


@pytest.mark.parametrize(("name", "code"), [("dvc", 254), ("wrist", 2)])
def test_console_scripts_are_forked_too(name: str, code: int, tmp_path: Path) -> None:
    program = str(Path(sys.executable).with_name(name))
    assert run(tmp_path, name, "--help") == run(tmp_path, program, "--help")
    assert run(tmp_path, name, "nonsense", code=code) == run(tmp_path, program, "nonsense", code=code)


WORKERS = """
import multiprocessing, os, sys, time
def probe(word):
    if word == "sleeps":
        time.sleep(600)
    print(word, "torch" in sys.modules, flush=True)
    if word == "ends":
        os._exit(3)
    return word
if __name__ == "__main__":
    context = multiprocessing.get_context("spawn")
    with context.Pool(2, maxtasksperchild=1) as pool:
        print(pool.map(probe, ["one", "two", "three"], 1), flush=True)
    for word in ("ends", "sleeps"):
        worker = context.Process(target=probe, args=(word,))
        worker.start()
        if word == "sleeps":
            worker.terminate()
        worker.join()
        print(worker.exitcode, flush=True)
"""


def test_workers_of_a_forked_command_are_forked(project: Path) -> None:
    (project / "stages/workers.py").write_text(WORKERS)
    said = run(project, "python", "-m", "stages.workers").splitlines()
    assert sorted(said[:3]) == ["one True", "three True", "two True"]
    assert said[3:] == ["['one', 'two', 'three']", "ends True", "3", "-15"]


def start_probe(project: Path, end: str) -> tuple[subprocess.Popen[bytes], int]:
    """A forked command that works, and its number."""
    nowhere = subprocess.DEVNULL
    words, begun = ["python", "-m", "stages.probe", end], project / "begun"
    process = subprocess.Popen(words, cwd=project, env=forked_environment(), stdin=nowhere, stdout=nowhere)
    wait_for(lambda: begun.exists() and begun.read_text() != "")
    return process, int(begun.read_text())


def test_a_command_ends_where_nobody_waits_for_it(project: Path) -> None:
    process, pid = start_probe(project, "sleeps")
    process.kill()
    process.wait()
    wait_for(lambda: not psutil.pid_exists(pid))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_command_gets_the_signal_that_is_sent_to_who_waits_for_it(number: signal.Signals, project: Path) -> None:
    process, _ = start_probe(project, "stopped")
    process.send_signal(number)
    assert process.wait() == 100 + number
