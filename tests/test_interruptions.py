"""Stages and DVC that are killed in the middle: no half output, no stage that lives on, no lost epochs."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest

from stages.common.data.layout import RAW
from stages.common.data.tables import MANIFEST
from tests.helpers.files import tree_hash
from tests.helpers.params import SAMPLE, merge
from tests.helpers.processes import environment, forked_environment, read_until, run, wait_for
from tests.helpers.projects import copy_project, make_project, run_stages

pytestmark = pytest.mark.slow


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@pytest.mark.parametrize("sign", [signal.SIGKILL, signal.SIGTERM])
def test_a_killed_stage_leaves_the_last_good_output_or_none(
    sign: signal.Signals, toy_params: dict[str, Any], tmp_path: Path
) -> None:
    params = merge(toy_params, {"ingest": {"sources": [SAMPLE | {"films": 100}]}})
    project = make_project(tmp_path, params)
    (project / "data/raw").mkdir()
    (project / "data/raw/good").write_text("good")
    words = ["python", "-m", "stages.ingest"]
    stage = subprocess.Popen(words, cwd=project, env=forked_environment(), stderr=subprocess.PIPE)
    wait_for(lambda: len(list((project / "data").glob(".raw-partial-*/images/*"))) > 5)
    stage.send_signal(sign)
    stage.wait()
    assert [p.name for p in (project / "data/raw").iterdir()] == ["good"]
    if sign == signal.SIGTERM:
        assert stage.returncode == 143
        assert not list((project / "data").glob(".raw-partial-*"))
    wait_for(lambda: not living_in(project))  # workers write nothing more


def living_in(folder: Path) -> list[int]:
    """Ids of the processes that were started there."""
    return [process.pid for process in psutil.process_iter(["cwd"]) if process.info["cwd"] == str(folder)]


LONG = {"train": {"loop": {"epochs": 10}}}


@pytest.mark.skipif(sys.platform != "linux", reason="parent-death signals are Linux's")
def test_a_training_whose_dvc_was_killed_writes_its_state_and_goes_on(
    finished: Path, toy_params: dict[str, Any], tmp_path: Path
) -> None:
    twin = copy_project(finished, tmp_path)
    model = twin / "models/adaptive/seed-1-fold-1"
    run_stages(twin, merge(toy_params, LONG), [("train", "adaptive")])  # nothing interrupts this one
    expected = tree_hash(model)
    command = ["dvc", "repro", "--single-item", "--force", "train@adaptive-1-1"]
    for sign, line in ((signal.SIGKILL, "epoch 3/10"), (signal.SIGTERM, "resumes in epoch")):
        dvc = subprocess.Popen(
            command, cwd=twin, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        )
        read_until(dvc.stderr, line)
        (stage,) = children(dvc.pid)
        os.kill(dvc.pid, sign)
        dvc.communicate()
        wait_for(lambda stage=stage: not alive(stage))
        assert not model.exists()  # DVC removes an output before its stage runs
        assert list((twin / ".checkpoints").glob("*.safetensors"))
        (twin / ".dvc/tmp/rwlock").unlink(missing_ok=True)
    assert "resumes in epoch" in run(twin, *command)
    assert tree_hash(model) == expected


@pytest.mark.skipif(sys.platform != "linux", reason="parent-death signals are Linux's")
@pytest.mark.parametrize(("shell", "moment"), [("/bin/sh", "works"), ("/bin/bash", "works"), ("", "loads")])
def test_a_killed_dvc_takes_its_stage_down_with_it(
    shell: str, moment: str, toy_params: dict[str, Any], tmp_path: Path
) -> None:
    """Also while the stage still imports; what its successor writes is whole then."""
    films = 400 if moment == "works" else SAMPLE["films"]
    project = make_project(tmp_path, merge(toy_params, {"ingest": {"sources": [SAMPLE | {"films": films}]}}))
    command = ["dvc", "repro", "ingest"]
    variables = {name: value for name, value in environment().items() if name != "SHELL"}
    variables |= {"SHELL": shell} if shell else {}  # DVC runs a stage in $SHELL, or in /bin/sh where it is not set
    dvc = subprocess.Popen(command, cwd=project, env=variables, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    if moment == "works":
        wait_for(lambda: bool(list((project / "data").glob(".raw-partial-*"))))
    else:
        wait_for(lambda: any(b"stages.ingest" in command_line(child) for child in children(dvc.pid)))
    (stage,) = children(dvc.pid)
    os.kill(dvc.pid, signal.SIGKILL)
    dvc.wait()
    if moment == "loads":  # the orphan may live for the blink of an eye
        (project / ".dvc/tmp/rwlock").unlink(missing_ok=True)
        run(project, *command)
        images = {f"{image}.png" for image in MANIFEST.read(project / RAW)["image_id"]}
        assert {path.name for path in (project / RAW / "images").iterdir()} == images
        assert len(images) == films
    wait_for(lambda: not alive(stage))
    assert (project / RAW).exists() == (moment == "loads")
    assert not list((project / "data").glob(".raw-partial-*")) or moment == "works"


def command_line(pid: int) -> bytes:
    """Of a process; blank where it has ended."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except FileNotFoundError:
        return b""
