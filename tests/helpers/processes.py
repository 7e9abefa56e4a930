"""Commands as a user runs them, and conditions to wait for."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import pytest

PROGRAMS = ("python", "dvc", "wrist")
INSTALLED = Path(sys.executable).parent
"""Where they are; a test may name another interpreter later."""
FORKED = "FORKED_COMMANDS"
"""The variable that names a folder with `python`, `dvc` and `wrist` of helpers/forked_commands.py, where they are."""


def environment() -> dict[str, str]:
    """The environment of a user who has activated the project's virtual environment."""
    own = {name: value for name, value in os.environ.items() if name != FORKED}
    return own | {"PATH": f"{INSTALLED}{os.pathsep}{own['PATH']}"}


def forked_environment() -> dict[str, str]:
    """`environment()` with `dvc`, `wrist` and stages that are forked from a process with their libraries, if any.

    For tests of what commands do, also once a signal stops their work. Those of how a command starts and of what stops
    or kills it at any moment take `environment()`, and so do commands that shall have other limits or cores than this
    process.
    """
    own = environment()
    if folder := os.environ.get(FORKED):
        own |= {FORKED: folder, "PATH": f"{folder}{os.pathsep}{own['PATH']}"}
    return own


def forked_python() -> str:
    """The program `python` of `forked_environment()`: stages and workers that it starts are forked, if possible."""
    return f"{os.environ[FORKED]}/python" if FORKED in os.environ else sys.executable


def run(folder: Path, *words: str, code: int = 0) -> str:
    """Run a command that must end with `code`; returns stdout followed by stderr.

    `dvc`, `wrist` and `python` are forked as in `forked_environment`, and so are those that `unshare` starts; other
    programs start as users start them.
    """
    own = forked_environment() if words[0] in (*PROGRAMS, "unshare") else environment()
    done = subprocess.run(words, cwd=folder, env=own, capture_output=True, text=True, check=False)
    assert done.returncode == code, f"{words} ended with {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout + done.stderr


@contextmanager
def forked_commands(folder: Path) -> Iterator[None]:
    """Serve forked commands while the block runs, to this process and those that it starts."""
    program, python = Path(__file__).with_name("forked_commands.py"), sys.executable
    for name in PROGRAMS:
        script = folder / name
        script.write_text(f'#!/bin/sh\nexec {python} -IS {program} run {folder}/socket {name} "$@"\n')
        script.chmod(0o755)
    words = [python, str(program), "serve", f"{folder}/socket"]
    with subprocess.Popen(words, env=environment(), stdin=subprocess.PIPE) as server:
        os.environ[FORKED] = str(folder)
        try:
            yield
        finally:
            del os.environ[FORKED]
            server.communicate()  # closes its stdin, at which it ends


def wait_for(ready: Callable[[], bool], seconds: float = 400) -> None:
    """Wait for a condition: seconds where it comes about, minutes where it does not, since machines are shared."""
    end = time.monotonic() + seconds
    while not ready():
        assert time.monotonic() < end, f"nothing after {seconds} s"
        time.sleep(0.02)


def read_until(stream: IO[str] | None, text: str) -> None:
    """Read lines of a process up to the first that holds `text`."""
    assert stream is not None
    lines = []
    for line in stream:
        if text in line:
            return
        lines.append(line)
    raise AssertionError(f"it ended without {text!r}:\n{''.join(lines)}")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def on_small_disk(folder: Path, size: str, script: str, code: int = 0) -> str:
    """What a bash script prints whose current folder, `folder`, is an empty disk of that size."""
    shell = ["unshare", "--map-root-user", "--mount", "bash", "-euo", "pipefail", "-c"]
    if subprocess.run([*shell, f"mount -t tmpfs none {folder}"], capture_output=True, check=False).returncode:
        pytest.skip("this machine lets nobody mount a disk of their own (unshare)")
    return run(folder, *shell, f"mount -t tmpfs -o size={size} none {folder}\ncd {folder}\n{script}", code=code)
