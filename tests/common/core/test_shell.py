import errno
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from stages import STAGES
from stages.common.core.errors import describe_os_error
from tests.helpers.paths import ROOT
from tests.helpers.processes import environment

SCRIPT = """
import os, signal, sys, time
from concurrent.futures.process import BrokenProcessPool
from stages.common.core.errors import UserError
from stages.common.core.shell import run_command
from stages.common.core.signals import begin_loading, begin_working

def work():
    begin_working()
    {body}
    print("done")
    return 0

begin_loading("threshold")
run_command("threshold", work)
"""


def run_body(body: str, folder: Path) -> subprocess.CompletedProcess[str]:
    script = textwrap.dedent(SCRIPT).format(body=body)
    command = [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(ROOT)!r})\n{script}"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("body", "code", "message"),
    [
        ("pass", 0, "done"),
        ("raise UserError('films/a.png: expected X, found Y; do Z')", 1, "threshold: films/a.png: expected X"),
        ("raise OSError(28, 'No space left on device', 'data/levels/x.png')", 1, "data/levels/x.png: the disk is full"),
        (r"raise UserError('a\x1b[2K.png: expected X')", 1, r"threshold: a\x1b[2K.png: expected X"),
        (r"raise OSError(28, 'No space left on device', 'a\r.png')", 1, r"a\r.png: the disk is full"),
        ("raise BrokenProcessPool('a child was terminated')", 1, "threshold: a worker process was killed"),
        ("raise MemoryError", 1, "threshold: the memory that it may use is full"),
        ("raise SystemError('a result with an exception set') from MemoryError()", 1, "the memory that it may use is"),
        ("import cv2; raise cv2.error('(-4:Insufficient memory) Failed to allocate 9 bytes')", 1, "the memory that it"),
        ("raise OSError(12, 'Cannot allocate memory', 'a/folder')", 1, "threshold: the memory that it may use is full"),
        ("raise OSError(12, 'Cannot allocate memory')", 1, "threshold: the memory that it may use is full"),
        ("raise BlockingIOError(11, 'Resource temporarily unavailable')", 1, "starts no more processes or threads"),
        ('raise RuntimeError("can\'t start new thread")', 1, "threshold: the system starts no more processes"),
        ("os.kill(os.getpid(), signal.SIGINT); time.sleep(5)", 130, "threshold: interrupted"),
        ("os.kill(os.getpid(), signal.SIGTERM); time.sleep(5)", 143, "threshold: interrupted; no unfinished output"),
        ("e = KeyboardInterrupt(); e.add_note('half is done'); raise e", 130, "threshold: interrupted; half is done"),
    ],
)
def test_every_end_is_one_clear_sentence(body: str, code: int, message: str, tmp_path: Path) -> None:
    done = run_body(body, tmp_path)
    assert done.returncode == code
    assert message in done.stdout + done.stderr
    assert len((done.stdout + done.stderr).splitlines()) == 1


def test_an_error_of_c_code_under_a_memory_limit_is_one_sentence_and_else_a_bug(tmp_path: Path) -> None:
    limit = "import resource; resource.setrlimit(resource.RLIMIT_AS, (2**40, -1)); "
    assert run_body(limit + "raise SystemError('no exception set')", tmp_path).stderr.startswith(
        "threshold: the memory"
    )
    assert "Traceback" in run_body("raise SystemError('no exception set')", tmp_path).stderr


@pytest.mark.parametrize("body", ["import cv2", "import torch"])
def test_a_memory_limit_that_stops_an_import_is_one_sentence(body: str, tmp_path: Path) -> None:
    limit = "import resource; resource.setrlimit(resource.RLIMIT_AS, (200 * 2**20, -1)); "
    done = run_body(limit + body, tmp_path)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("threshold: the memory that it may use is full")
    assert "Traceback" not in done.stderr


def test_a_limit_of_the_size_of_files_is_one_sentence(tmp_path: Path) -> None:
    limit = "import pathlib, resource; resource.setrlimit(resource.RLIMIT_FSIZE, (10, -1)); "
    done = run_body(f"{limit}pathlib.Path('{tmp_path}/large').write_text('x' * 100)", tmp_path)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].endswith(
        "the file is larger than this user may write; raise the limit (`ulimit -f`)"
    )
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("number", [errno.EIO, errno.ESTALE, errno.ENOTCONN])
def test_a_share_that_does_not_answer_is_one_sentence(number: int) -> None:
    assert describe_os_error(OSError(number, "text", "data/raw")).startswith("data/raw: the ")


def test_names_that_cannot_be_are_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "circle").symlink_to("circle")
    for name, said in {"n" * 300: "longer than", "file/x": "on the way", "circle/x": "in a circle"}.items():
        with pytest.raises(OSError, match="Errno") as caught:
            (tmp_path / name).stat()
        assert said in describe_os_error(caught.value)
    for number in (errno.EEXIST, errno.EISDIR, errno.EBUSY, errno.EMFILE, errno.EPERM, errno.ENXIO):
        assert describe_os_error(OSError(number, "text", "x")).startswith("x: ")


def test_a_circle_of_links_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "circle").symlink_to("circle")
    done = run_body("from pathlib import Path; Path('circle').resolve()", tmp_path)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert done.stderr.endswith("circle: links lead in a circle; remove one of them\n")


def test_an_output_that_a_caller_closed_is_thrown_away(tmp_path: Path) -> None:
    script = textwrap.dedent(SCRIPT).format(body="print('lost')")
    (tmp_path / "work.py").write_text(f"import sys; sys.path.insert(0, {str(ROOT)!r})\n{script}")
    command = ["sh", "-c", f"exec {sys.executable} work.py >&-"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("settings", "code", "said"),
    [
        ({"PYTHONIOENCODING": "ascii"}, 0, "a\\xe4.png\ndone\n"),
        (
            {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
            1,
            "threshold: expected UTF-8 as the encoding of texts, found ANSI_X3.4-1968; set PYTHONUTF8=1\n",
        ),
    ],
)
def test_letters_that_the_machine_cannot_write_end_nothing_and_texts_are_utf_8(
    settings: dict[str, str], code: int, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    done = run_body(r"print('a\xe4.png')", tmp_path)
    assert (done.returncode, done.stdout + done.stderr) == (code, said)


def test_an_end_without_teardown_loses_nothing_that_waits_for_the_end(tmp_path: Path) -> None:
    waiting = """
    import atexit, gc, threading
    atexit.register(print, "handler")
    threading.Thread(target=lambda: (time.sleep(0.3), print("thread"))).start()
    sys.modules["__main__"].kept = type("Kept", (), {"__del__": lambda self: print("taken apart")})()
    print("collects", gc.isenabled())"""
    done = run_body(waiting.strip(), tmp_path)
    assert (done.returncode, done.stdout.split("\n")) == (0, ["collects True", "done", "thread", "handler", ""])


def test_a_reader_that_has_gone_is_no_success(tmp_path: Path) -> None:
    process = start_work(tmp_path, textwrap.dedent(SCRIPT).format(body="os.close(1); print('lost')"))
    _, message = process.communicate()
    assert process.returncode != 0, message


def test_a_bug_keeps_its_traceback(tmp_path: Path) -> None:
    done = run_body("1 / 0", tmp_path)
    assert done.returncode == 1
    assert "ZeroDivisionError" in done.stderr


def test_unknown_machine_errors_are_not_swallowed() -> None:
    with pytest.raises(OSError, match="strange"):
        describe_os_error(OSError(errno.EDOM, "strange"))


HEAVY = {"torch", "mlflow", "pandas", "pydicom", "dvc", "cv2", "great_expectations", "optuna", "pydantic"}


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_explains_itself_without_doing_work_and_refuses_unknown_words(stage: str, tmp_path: Path) -> None:
    words = ["--help"], ["--hlep"], ["unknown", "words"]
    done = [stage_command(stage, *of, folder=tmp_path) for of in words]
    assert [one.returncode for one in done] == [0, 2, 2]
    assert f"section `{stage}` of params.yaml" in " ".join(done[0].stdout.split())
    assert all("Traceback" not in one.stderr for one in done)
    assert list(tmp_path.iterdir()) == []


def stage_command(stage: str, *words: str, folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", f"stages.{stage}", *words]
    place = environment() | {"PYTHONPATH": str(ROOT)}
    return subprocess.run(command, cwd=folder, env=place, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_starts_without_heavy_libraries(stage: str) -> None:
    script = f"import sys, stages.{stage}.__main__; print(sorted({HEAVY!r} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(("signum", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
@pytest.mark.parametrize("seconds", [0.3, 1.0])
def test_a_signal_while_a_stage_loads_is_one_sentence(
    signum: signal.Signals, code: int, seconds: float, tmp_path: Path
) -> None:
    (tmp_path / "params.yaml").write_text((ROOT / "params.yaml").read_text())
    process = subprocess.Popen(
        [sys.executable, "-m", "stages.train", "adaptive"],
        cwd=tmp_path,
        env=environment() | {"PYTHONPATH": str(ROOT)},
        stderr=subprocess.PIPE,
        text=True,
    )
    time.sleep(seconds)  # torch takes longer than the longer of both
    process.send_signal(signum)
    _, message = process.communicate()
    assert (process.returncode, message) == (code, "train: interrupted before any work began\n")


def start_work(folder: Path, script: str) -> subprocess.Popen[str]:
    """A process that runs a script with two workers, leader of a group of its own; its stderr can be read."""
    (folder / "work.py").write_text(script)
    return subprocess.Popen(
        [sys.executable, "work.py"],
        cwd=folder,
        env=environment() | {"PYTHONPATH": str(ROOT), "WORKERS": "2"},
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def test_ctrl_c_reaches_the_whole_group_and_one_process_says_so(tmp_path: Path) -> None:
    script = """
import sys, time
from pathlib import Path
from stages.common.core.parallel import executor, track
from stages.common.core.shell import run_command
from stages.common.core.signals import begin_loading, begin_working
from time import sleep

def work():
    begin_working()
    with executor() as pool:
        Path("ready").touch()
        track(pool, sleep, [0.2] * 400, "work")
    return 0

if __name__ == "__main__":
    begin_loading("work")
    run_command("work", work)
"""
    for wait in (0.0, 0.4, 1.5):  # as workers are started, while they import, while they work
        (tmp_path / "ready").unlink(missing_ok=True)
        process = start_work(tmp_path, script)
        while not (tmp_path / "ready").exists():
            time.sleep(0.01)
        time.sleep(wait)
        os.killpg(process.pid, signal.SIGINT)
        _, message = process.communicate()
        assert (process.returncode, message) == (130, "work: interrupted; no unfinished output was kept\n")


@pytest.mark.parametrize(("signum", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_between_the_start_of_a_worker_and_its_task_is_one_sentence(
    signum: signal.Signals, code: int, tmp_path: Path
) -> None:
    script = f"""
import os
from multiprocessing import util
from threading import Thread
from time import sleep
from stages.common.core.parallel import executor, track
from stages.common.core.shell import run_command
from stages.common.core.signals import begin_loading, begin_working

def interrupt_after(start):
    def start_and_interrupt(*words):
        pid = start(*words)
        os.kill(os.getpid(), {signum:d})
        sleep(0.2)  # another thread receives the signal
        return pid
    return start_and_interrupt

def work():
    begin_working()
    Thread(target=sleep, args=(60,), daemon=True).start()  # like those of libraries: it does not block Ctrl-C
    with executor() as pool:
        util.spawnv_passfds = interrupt_after(util.spawnv_passfds)
        track(pool, sleep, [0.2] * 400, "work")
    return 0

if __name__ == "__main__":
    begin_loading("work")
    run_command("work", work)
"""
    process = start_work(tmp_path, script)
    _, message = process.communicate()
    assert (process.returncode, message) == (code, "work: interrupted; no unfinished output was kept\n")
