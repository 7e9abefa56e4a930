"""A PostgreSQL server of a test."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.helpers.processes import free_port


class Server:
    """A server on localhost with its files in a folder; what it holds outlives a restart."""

    def __init__(self, folder: Path) -> None:
        programs = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
        if not programs or (os.getuid() == 0 and shutil.which("setpriv") is None):
            pytest.skip("no PostgreSQL server on this machine; Debian's package postgresql brings it")
        self.programs, self.files, self.port = programs[-1], folder / "data", free_port()
        # It refuses to run as root.
        self.user = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"] if os.getuid() == 0 else []
        folder.chmod(0o777)
        self.run("initdb", "--auth=trust", "--username=postgres", "--no-sync")
        self.start()

    @property
    def url(self) -> str:
        return f"postgresql://postgres@127.0.0.1:{self.port}/postgres"

    def run(self, program: str, *words: str) -> None:
        command = [*self.user, str(self.programs / program), "--pgdata", str(self.files), *words]
        subprocess.run(command, cwd="/", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)

    def start(self) -> None:
        options = f"-h 127.0.0.1 -p {self.port} -c fsync=off -c unix_socket_directories=''"
        self.run("pg_ctl", "start", "--wait", "--log", str(self.files / "log"), "--options", options)

    def stop(self) -> None:
        """Cut every connection at once."""
        self.run("pg_ctl", "stop", "--wait", "--mode", "immediate")
