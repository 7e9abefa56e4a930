"""Commands that start in no time: a server has imported the libraries of the pipeline and forks for each command.

    python -IS forked_commands.py serve SOCKET
    python -IS forked_commands.py run SOCKET NAME WORD...     NAME: python, dvc or wrist

A forked command has the arguments, environment, folder and open files of the one who asked, and imports the project's
own modules from where a fresh process would find them. Only the libraries of others are there already.
"""

import atexit
import ctypes
import gc
import json
import os
import runpy
import select
import signal
import socket
import sys
import threading
import time
from contextlib import suppress
from functools import partial
from importlib import import_module
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

PR_SET_PDEATHSIG = 1  # of Linux
STAGES = ("ingest", "preprocess", "threshold", "annotate", "train", "evaluate", "report")
LIBRARIES = (
    *("alembic.command", "great_expectations.render.renderer.site_builder", "mlflow.store.tracking.sqlalchemy_store"),
    *("matplotlib.backends.backend_agg", "matplotlib.backends.backend_svg", "optuna", "pandas.io.formats.style"),
    *("PIL.JpegImagePlugin", "pyarrow.dataset", "pyarrow.pandas_compat", "skimage.draw", "skimage.morphology"),
    *("dvc.cli.parser", "dvc.render.match", "dvc.repo.experiments.executor.local", "dvc.repo.graph", "dvc.repo.index"),
    *("dvc.stage.run", "dvc.utils.strictyaml", "dvc_data.hashfile.db.local", "dulwich.ignore", "dulwich.worktree"),
)
"""What stages do not import, or only while they work."""
PINNED: dict[str, str] = {}
"""The variables under which the libraries were loaded: a command whose caller has taken them away has them, too."""


def ask(path: str, *words: str) -> NoReturn:
    """Be the command: a child of the server does its work, and this process ends as that one does."""
    if words[0] == "python":
        if not is_forked(*words[1:]):
            os.execv(sys.executable, [sys.executable, *words[1:]])
        end_with_parent()
    asked = {"words": words, "environment": dict(os.environ), "folder": os.getcwd()}  # noqa: PTH109
    data = json.dumps(asked).encode()
    with socket.socket(socket.AF_UNIX) as server:
        connect(server, path)
        socket.send_fds(server, [len(data).to_bytes(4, "big")], [0, 1, 2])
        server.sendall(data)
        answer = server.makefile("r")
        pid = int(answer.readline())
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, partial(pass_on, pid))
        end_as(int(answer.readline()))


def is_forked(option: str = "", module: str = "", *words: str) -> bool:
    """Whether Python shall run a stage or DVC, but not the worker of a queue, which outlives who starts it."""
    if option != "-m" or module != "dvc":
        return option == "-m" and module.startswith("stages.")
    return "queue-worker" not in words and "FRESH_DVC" not in os.environ  # whose stages are its children


def end_with_parent() -> None:
    """Be told to stop when DVC is killed, as a stage that DVC has started sees to for itself."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, int(signal.SIGTERM))


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


def serve(path: str) -> NoReturn:
    """Serve until whoever started this process ends, which closes stdin."""
    load()
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen(64)
    while 0 not in select.select([listener, 0], [], [])[0]:
        connection = listener.accept()[0]
        if not os.fork():
            listener.close()
            stand_between(connection)
        connection.close()
        with suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:  # those that ended
                pass
    os._exit(0)


def load() -> None:
    """Import all that stages and tools import, and forget the project's own modules: each project has some."""
    gc.disable()
    sys.path[0] = str(Path(__file__).parents[2])
    PINNED.update({name: os.environ[name] for name in import_module("stages.common.core.arithmetic").TORCH})
    for name in [*(f"stages.{stage}.main" for stage in STAGES), "tools.command_line", *LIBRARIES]:
        import_module(name)
    for name in [name for name in sys.modules if name.split(".")[0] in {"stages", "tools"}]:
        del sys.modules[name]
    gc.collect()
    gc.freeze()
    gc.enable()


def stand_between(connection: socket.socket) -> NoReturn:
    """Fork the command, tell its number and its end; kill it where nobody waits for it any more."""
    size, files, _, _ = socket.recv_fds(connection, 4, 3)
    asked = json.loads(connection.makefile("rb").read(int.from_bytes(size, "big")))
    pid = os.fork()
    if not pid:
        connection.close()
        become(asked, files)
    with os.fdopen(os.pidfd_open(pid)) as ended:
        with suppress(BrokenPipeError):
            connection.sendall(f"{pid}\n".encode())
        if connection in select.select([connection, ended], [], [])[0]:
            os.kill(pid, signal.SIGKILL)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    with suppress(BrokenPipeError):
        connection.sendall(f"{code}\n".encode())
    os._exit(0)


def become(asked: dict[str, Any], files: list[int]) -> NoReturn:
    """Be the command that was asked for, and end as it does."""
    for target, file in enumerate(files):
        os.dup2(file, target)
        os.close(file)
    os.environ.clear()
    os.environ.update(asked["environment"] | PINNED)
    os.chdir(asked["folder"])
    sys.dont_write_bytecode = "PYTHONDONTWRITEBYTECODE" in os.environ
    sys.modules["multiprocessing.process"].ORIGINAL_DIR = asked["folder"]  # type: ignore[attr-defined]
    sys.modules["numpy"].random.seed()  # Python's own generator does so by itself
    programs = Path(sys.executable).parent
    sys.executable = str(Path(os.environ["FORKED_COMMANDS"], "python"))  # which forks the stages that it starts
    end_with(asked["folder"], programs, *asked["words"])


def end_with(folder: str, programs: Path, name: str, *words: str) -> NoReturn:
    """Run a command as a fresh interpreter does, but do not take modules apart at its end, which takes seconds."""
    program = programs / name
    code: Any = 0
    try:
        if name == "python":
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
