"""Commands that start in no time: a server has imported the libraries of the pipeline and forks for each command.

    python -IS forked_commands.py serve SOCKET
    python -IS forked_commands.py run SOCKET NAME WORD...     NAME: python, dvc or wrist

A forked command has the arguments, environment, folder and open files of the one who asked, and imports the project's
own modules from where a fresh process would find them. Only the libraries of others are there already.
"""

import atexit
import ctypes
import fcntl
import gc
import json
import multiprocessing
import os
import runpy
import select
import signal
import socket
import sys
import threading
import time
import weakref
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

PR_SET_PDEATHSIG = 1  # of Linux
NAMESPACES = {"user": 0x10000000, "mnt": 0x00020000}  # Linux's flags, in the order in which they are entered
STAGES = ("ingest", "preprocess", "threshold", "annotate", "train", "evaluate", "report")
LIBRARIES = (
    *("PIL.GifImagePlugin", "PIL.JpegImagePlugin", "alembic.command", "alembic.config", "dulwich.gc", "dulwich.ignore"),
    *("dulwich.porcelain", "dulwich.server", "dulwich.worktree", "dvc.cachemgr", "dvc.cli.parser", "dvc.data_cloud"),
    *("dvc.render.match", "dvc.repo.artifacts", "dvc.repo.brancher", "dvc.repo.datasets"),
    *("dvc.repo.experiments.executor.local", "dvc.repo.experiments.push", "dvc.repo.experiments.queue.celery"),
    *("dvc.repo.experiments.queue.tempdir", "dvc.repo.experiments.queue.workspace", "dvc.repo.experiments.run"),
    *("dvc.repo.graph", "dvc.repo.index", "dvc.repo.open_repo", "dvc.stage.run", "dvc.utils.hydra"),
    *("dvc.utils.strictyaml", "dvc_data.hashfile.db.local", "dvc_data.index.checkout", "fsspec.implementations.memory"),
    *("git", "great_expectations.render.renderer.site_builder", "hydra", "matplotlib.backends.backend_agg"),
    *("matplotlib.backends.backend_svg", "mlflow.store.tracking.sqlalchemy_workspace_store", "networkx", "optuna"),
    *("pandas.io.formats.csvs", "pandas.io.formats.style", "pyarrow.dataset", "pyarrow.pandas_compat", "pygit2"),
    *("scmrepo.git.backend.pygit2.filter", "skimage.draw", "skimage.morphology", "sklearn.linear_model"),
)
"""What stages do not import, or only while they work."""
PINNED: dict[str, str] = {}
"""The variables under which the libraries were loaded: a command whose caller has taken them away has them, too."""
MOST_FILES = 253
"""As many as Linux passes in one message."""
ABOVE = 300
"""A number above those that files of a command have."""


def ask(path: str, *words: str) -> NoReturn:
    """Be the command: a child of the server does its work, and this process ends as that one does."""
    if words[0] == "python" and not is_worker(words):
        if not is_forked(words):
            os.execv(sys.executable, [sys.executable, *words[1:]])
        end_with_parent()
    files = open_files()
    asked = {"words": words, "files": files, "environment": dict(os.environ), "folder": os.getcwd()}  # noqa: PTH109
    asked |= {"process": os.getpid(), "namespaces": namespaces()}
    data = json.dumps(asked).encode()
    with socket.socket(socket.AF_UNIX) as server:
        connect(server, path)
        socket.send_fds(server, [len(data).to_bytes(4, "big")], files)
        server.sendall(data)
        for file in filter(lambda file: file > 2, files):
            os.close(file)  # the command alone has the pipes of a worker: who waits for their end must hear of it
        answer = server.makefile("r")
        pid = int(answer.readline())
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, partial(pass_on, pid))
        end_as(int(answer.readline()))


def is_forked(words: Sequence[str]) -> bool:
    """Whether Python shall run a stage or DVC, but not the worker of a queue, which outlives who starts it."""
    if tuple(words[1:3]) != ("-m", "dvc"):
        return is_stage(words)
    return "queue-worker" not in words and "FRESH_DVC" not in os.environ  # whose stages are its children


def end_with_parent() -> None:
    """Be told to stop when DVC is killed, as a stage that DVC has started sees to for itself."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, int(signal.SIGTERM))


def is_stage(words: Sequence[str]) -> bool:
    return len(words) > 2 and words[1] == "-m" and words[2].startswith("stages.")


def is_worker(words: Sequence[str]) -> bool:
    """Whether multiprocessing starts a worker process, which has pipes to its parent."""
    return words[-1] == "--multiprocessing-fork"


def open_files() -> list[int]:
    """The numbers of this process's open files."""
    numbers = []
    for number in sorted(map(int, os.listdir("/proc/self/fd"))):  # noqa: PTH208
        with suppress(OSError):  # the list itself was one of them
            os.fstat(number)
            numbers.append(number)
    return numbers


def pass_on(pid: int, number: int, _: FrameType | None) -> None:
    """Give the command a signal that this process got in its place, unless it has ended."""
    with suppress(ProcessLookupError):
        os.kill(pid, number)


def connect(server: socket.socket, path: str) -> None:
    """Connect, as soon as the server has loaded its libraries."""
    end = time.monotonic() + 300
    while True:
        try:
            return server.connect(path)
        except FileNotFoundError:
            if time.monotonic() > end:
                sys.exit("the server of forked commands did not start")
            time.sleep(0.1)


def end_as(code: int) -> NoReturn:
    """End with an exit code, or by a signal where it is negative."""
    if code < 0:
        with suppress(OSError):  # nobody handles SIGKILL
            signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    os._exit(code)


@dataclass
class Command:
    """A command that runs.

    caller: the connection of who asked for it.
    end: a file of Linux that is ready once the command has ended.
    """

    pid: int
    caller: socket.socket
    end: int


def serve(path: str) -> NoReturn:
    """Serve until whoever started this process ends, which closes stdin. Then all that runs is killed."""
    load()
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen(64)
    running: list[Command] = []
    while True:
        callers, ends = [command.caller for command in running], [command.end for command in running]
        ready = select.select([0, listener, *callers, *ends], [], [])[0]
        for command in list(running):
            if 0 in ready or command.caller in ready:  # nobody waits for it any more
                os.kill(command.pid, signal.SIGKILL)
            if command.end in ready or command.caller in ready:
                running.remove(command)
                tell_end(command)
        if 0 in ready:
            os._exit(0)
        if listener in ready:
            running += start(listener, running)


def load() -> None:
    """Import all that stages and tools import, and forget the project's own modules: each project has some."""
    gc.disable()
    sys.path[0] = str(Path(__file__).parents[2])
    pinned = import_module("stages.common.core.arithmetic").variables(torch=True)
    PINNED.update({name: os.environ[name] for name in pinned})
    for name in [*(f"stages.{stage}.main" for stage in STAGES), "tools.command_line", *LIBRARIES]:
        import_module(name)
    for name in [name for name in sys.modules if name.split(".")[0] in {"stages", "tools"}]:
        del sys.modules[name]
    for finalizer in weakref.finalize._registry:  # type: ignore[attr-defined]
        finalizer.atexit = False  # torch would take its operators apart one by one, which ends with the process anyway
    gc.collect()
    gc.freeze()
    gc.enable()


def start(listener: socket.socket, running: Sequence[Command]) -> list[Command]:
    """Fork the command that is asked for, and tell its number; none where who asked was killed meanwhile."""
    caller = listener.accept()[0]
    caller.settimeout(10)
    try:
        size, files, _, _ = socket.recv_fds(caller, 4, MOST_FILES)
        asked = json.loads(caller.makefile("rb").read(int.from_bytes(size, "big")))
    except (OSError, ValueError):
        caller.close()
        return []
    pid = os.fork()
    if not pid:
        for connection in (listener, caller, *(command.caller for command in running)):
            connection.close()
        for command in running:
            os.close(command.end)
        become(asked, files)
    for file in files:
        os.close(file)
    with suppress(OSError):
        caller.sendall(f"{pid}\n".encode())
    return [Command(pid, caller, os.pidfd_open(pid))]


def tell_end(command: Command) -> None:
    """Wait for the end of a command, and tell it who asked, if they are there."""
    code = os.waitstatus_to_exitcode(os.waitpid(command.pid, 0)[1])
    with suppress(OSError), command.caller as caller:
        caller.sendall(f"{code}\n".encode())
    os.close(command.end)


def become(asked: dict[str, Any], files: list[int]) -> NoReturn:
    """Be the command that was asked for, and end as it does."""
    take_files(files, asked["files"])
    see_disks_of(asked["process"], asked["namespaces"])
    os.environ.clear()
    os.environ.update(asked["environment"] | PINNED)
    os.chdir(asked["folder"])
    sys.dont_write_bytecode = "PYTHONDONTWRITEBYTECODE" in os.environ
    sys.modules["multiprocessing.process"].ORIGINAL_DIR = asked["folder"]  # type: ignore[attr-defined]
    sys.modules["tempfile"].tempdir = None  # which remembers the TMPDIR of the server
    sys.modules["numpy"].random.seed()  # Python's own generator does so by itself
    programs = Path(sys.executable).parent
    sys.executable = str(Path(os.environ["FORKED_COMMANDS"], "python"))  # which forks the stages that it starts
    if is_stage(asked["words"]):
        multiprocessing.set_executable(sys.executable)  # of worker processes; those of Dask have a limit of memory
    end_with(asked["folder"], programs, *asked["words"])


def namespaces() -> dict[str, str]:
    """What this process sees of users and mounts, by Linux's name for it."""
    return {name: os.readlink(f"/proc/self/ns/{name}") for name in NAMESPACES}  # noqa: PTH115


def see_disks_of(process: int, theirs: dict[str, str]) -> None:
    """Have the mounts that a process has, which may have a disk of its own (helpers/processes.py: on_small_disk)."""
    own = namespaces()
    for name, flag in NAMESPACES.items():
        if theirs[name] != own[name]:
            file = os.open(f"/proc/{process}/ns/{name}", os.O_RDONLY)
            if ctypes.CDLL(None, use_errno=True).setns(file, flag):
                raise OSError(ctypes.get_errno(), f"the {name} namespace of process {process} cannot be entered")
            os.close(file)


def take_files(files: list[int], numbers: list[int]) -> None:
    """Give files the numbers that they have in the process that asked."""
    moved = [fcntl.fcntl(file, fcntl.F_DUPFD, ABOVE) for file in files]
    for file in files:
        os.close(file)
    for file, number in zip(moved, numbers, strict=True):
        os.dup2(file, number)
        os.close(file)


def end_with(folder: str, programs: Path, name: str, *words: str) -> NoReturn:
    """Run a command as a fresh interpreter does, but do not take modules apart at its end, which takes seconds."""
    program = programs / name
    code: Any = 0
    try:
        if is_worker((name, *words)):
            sys.argv = [words[0], *words[2:]]
            exec(words[1], {"__name__": "__main__"})
        elif name == "python":
            sys.path[0], sys.argv = folder, ["-m", *words[2:]]
            runpy.run_module(words[1], run_name="__main__", alter_sys=True)
        else:
            sys.path[0], sys.argv = str(program.parent), [str(program), *words]
            runpy.run_path(str(program), run_name="__main__")
    except SystemExit as end:
        code = end.code
        if not isinstance(code, int | None):
            print(code, file=sys.stderr)
            code = 1
    except BaseException:
        sys.excepthook(*sys.exc_info())
        code = 1
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code or 0)


if __name__ == "__main__":
    {"serve": serve, "run": ask}[sys.argv[1]](*sys.argv[2:])
