"""A DVC remote that speaks S3, as runners share it: pushed, cut in the middle of a push, pulled by a second machine."""

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import asyncssh
import boto3
import pytest
from moto.server import ThreadedMotoServer

from tests.helpers.files import tree_hash
from tests.helpers.paths import ROOT
from tests.helpers.processes import environment, free_port, run, wait_for
from tests.helpers.projects import copy_project, stages_run, use_own_site_cache

pytestmark = pytest.mark.slow


@contextmanager
def server(port: int) -> Iterator[ThreadedMotoServer]:
    """An S3 server. What it holds outlives it, as on a real one's disk."""
    found = ThreadedMotoServer(ip_address="127.0.0.1", port=port, verbose=False)
    found.start()
    try:
        yield found
    finally:
        found.stop()


@pytest.fixture
def project(finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)
    return copy_project(finished, tmp_path / "first")


def name_remote(project: Path, url: str, *, shared: bool = True) -> None:
    """Run the lines of the docs for an S3 server.

    Args:
        project: where.
        url: of the server.
        shared: also those whose result git hands on to other machines.
    """
    text = (ROOT / "docs/how-to/runners-and-remotes.md").read_text()
    (block,) = re.findall(r"^```bash\n(dvc remote add.*?)^dvc push", text, re.DOTALL | re.MULTILINE)
    lines = [line for line in block.splitlines() if shared or "--local" in line.partition("#")[0]]
    assert len(lines) == (5 if shared else 2)
    script = "\n".join(lines).replace("https://s3.example.org", url)
    run(project, "bash", "-euo", "pipefail", "-c", script)


def client(url: str) -> Any:
    return boto3.client(
        "s3", endpoint_url=url, aws_access_key_id="KEY", aws_secret_access_key="SECRET", region_name="us-east-1"
    )


def outputs(folder: Path) -> dict[str, str]:
    places = ("data/raw", "data/dataset", "models", "reports/evaluation", "reports/index.html")
    return {place: tree_hash(folder / place) for place in places}


def test_a_push_that_was_cut_is_finished_and_a_second_machine_runs_no_stage(project: Path, tmp_path: Path) -> None:
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    name_remote(project, url)

    def count() -> int:
        pages = client(url).get_paginator("list_objects_v2").paginate(Bucket="bucket")
        return sum(page.get("KeyCount", 0) for page in pages)

    with server(port):
        client(url).create_bucket(Bucket="bucket")
        impatient = environment() | {"AWS_MAX_ATTEMPTS": "1"}  # else hundreds of files each wait for the dead server
        push = subprocess.Popen(["dvc", "push", "--jobs", "2"], cwd=project, env=impatient)
        wait_for(lambda: count() > 20)
    push.communicate()
    assert push.returncode != 0, "a push to a server that died must not look like one that worked"
    with server(port):
        before = count()
        run(project, "dvc", "push")
        assert before < count()
        assert "Everything is up to date" in run(project, "dvc", "push")
        second = tmp_path / "second"
        run(tmp_path, "git", "clone", "-q", str(project), str(second))
        use_own_site_cache(second)
        name_remote(second, url, shared=False)
        run(second, "dvc", "pull")
        assert stages_run(run(second, "dvc", "repro")) == set()
        assert outputs(second) == outputs(project)
        assert "in sync" in run(second, "dvc", "status", "--cloud")


def test_the_doctor_sees_a_remote_that_answers(project: Path) -> None:
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    with server(port):
        client(url).create_bucket(Bucket="bucket")
        name_remote(project, url)
        assert "reachable: s3://bucket/wrist" in run(project, "wrist", "doctor")


SSH_SERVER = """
import asyncio, sys
import asyncssh

async def main() -> None:
    keys = dict(server_host_keys=[sys.argv[2]], authorized_client_keys=sys.argv[3])
    await asyncssh.listen("127.0.0.1", int(sys.argv[1]), sftp_factory=True, **keys)
    print("ready", flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""


@contextmanager
def ssh_server(folder: Path) -> Iterator[int]:
    """An SSH server on localhost that takes the key `folder/client`."""
    for name in ("host", "client"):
        key = asyncssh.generate_private_key("ssh-ed25519")
        key.write_private_key(folder / name)
        key.write_public_key(folder / f"{name}.pub")
    port = free_port()
    words = [sys.executable, "-c", SSH_SERVER, str(port), str(folder / "host"), str(folder / "client.pub")]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        assert process.stdout.readline() == "ready\n"
        yield port
    finally:
        process.terminate()
        process.wait()


def test_results_go_to_and_come_from_a_machine_that_speaks_ssh(project: Path, tmp_path: Path) -> None:
    (tmp_path / "keys").mkdir()
    with ssh_server(tmp_path / "keys") as port:
        run(project, "dvc", "remote", "add", "--default", "store", f"ssh://127.0.0.1:{port}{tmp_path / 'store'}")
        for key, value in (("keyfile", str(tmp_path / "keys/client")), ("user", "somebody")):
            run(project, "dvc", "remote", "modify", "--local", "store", key, value)
        some = ("data/levels", "reports/index.html")
        run(project, "dvc", "push", *some)
        before = {place: tree_hash(project / place) for place in some}
        shutil.rmtree(project / ".dvc/cache")
        shutil.rmtree(project / "data/levels")
        (project / "reports/index.html").unlink()
        run(project, "dvc", "pull", *some)
        assert {place: tree_hash(project / place) for place in some} == before
