"""Full disks: an experiment waits, says where there is no room, and goes on."""

import errno
import os
import re
import sqlite3
import sys
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from types import SimpleNamespace

import pytest

from stages.common.core.errors import UserError
from tests.helpers.paths import ROOT
from tests.helpers.processes import on_small_disk
from tools.sweep import patience, room, study
from tools.sweep.patience import Failed
from tools.sweep.room import NoRoom, with_room

PLENTY = SimpleNamespace(free=10**9)


@pytest.fixture(autouse=True)
def plenty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Room on every disk, whatever this machine has."""
    monkeypatch.setattr(room.shutil, "disk_usage", lambda place: PLENTY)


def after_a_pause(monkeypatch: pytest.MonkeyPatch, change: Callable[[], object]) -> None:
    """Let something happen in place of the first wait."""
    monkeypatch.setattr(patience.time, "sleep", lambda seconds: change())


def runs_now() -> bool:
    return False


def test_an_experiment_waits_for_room_and_names_the_folder(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    cache = here / "elsewhere/cache"
    cache.mkdir(parents=True)
    (here / ".dvc").mkdir()
    (here / ".dvc/config").write_text(f"[cache]\n    dir = {cache}\n")
    free = {cache: 1_234_567}
    monkeypatch.setattr(room.shutil, "disk_usage", lambda place: SimpleNamespace(free=free.get(place, 10**9)))
    after_a_pause(monkeypatch, free.clear)
    assert with_room("wide-3", lambda: "done", runs_now) == "done"
    said = capsys.readouterr().err.splitlines()
    assert said[0].startswith(
        f"sweep: wide-3: no room on a disk: 1.2 MB are free in {cache}, and an experiment takes 50"
    )
    assert said[0].endswith("trying for 600 s")
    assert said[1:] == ["sweep: goes on"]


@pytest.mark.parametrize("variable", ["CHECKPOINT_DIR", "TMPDIR", "DVC_SITE_CACHE_DIR"])
def test_every_disk_that_an_experiment_writes_on_is_looked_at(
    variable: str, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = here / "own"
    own.mkdir()
    monkeypatch.setenv(variable, str(own))
    monkeypatch.setattr(room.tempfile, "tempdir", None)  # which remembers TMPDIR
    monkeypatch.setattr(room.shutil, "disk_usage", lambda place: SimpleNamespace(free=0 if place == own else 10**9))
    assert f"0.0 MB are free in {own}" in room.shortage(here)


@pytest.mark.parametrize("number", [errno.EDQUOT, errno.ENOSPC])
def test_a_quota_that_is_used_up_and_a_disk_without_inodes_are_full_though_bytes_are_free(
    number: int, here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """No kernel at hand has quotas: the call that takes room for a moment is answered as one with quotas does."""
    left = [OSError(number, os.strerror(number))]

    def take(file: int, start: int, size: int) -> None:
        if left:
            raise left[0]

    monkeypatch.setattr(room.os, "posix_fallocate", take)
    after_a_pause(monkeypatch, left.clear)
    assert with_room("wide-3", lambda: "done", runs_now) == "done"
    assert f"wide-3: no room on a disk: {os.strerror(number)} in {here}" in capsys.readouterr().err


@pytest.mark.parametrize(
    "said",
    [
        "train: models/x: the disk is full; free some space and rerun the command",
        "train: models/x: the disk quota is used up; free some space and rerun the command",
        "train: /dev/shm: the disk is full; free some space and rerun the command",
        "ERROR: unexpected error - [Errno 28] No space left on device: '.dvc/tmp/lock'",
        "fatal: write error: Disk quota exceeded",
        "sqlite3.OperationalError: database or disk is full",
    ],
)
def test_an_experiment_that_failed_for_lack_of_room_is_tried_again_though_there_is_some_by_then(
    said: str, here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    results = [Failed(f"wide-3 ended with 1; the end of its log:\n{said}"), None]

    def attempt() -> str:
        if (failure := results.pop(0)) is not None:
            raise failure
        return "done"

    after_a_pause(monkeypatch, lambda: None)
    assert with_room("wide-3", attempt, runs_now) == "done"
    assert f"there was none for a moment; 1000.0 MB are free in {here}" in capsys.readouterr().err


def test_another_failure_is_no_lack_of_room(here: Path) -> None:
    def attempt() -> None:
        raise Failed("nine is no value")

    with pytest.raises(Failed, match=r"^nine is no value$"):
        with_room("wide-3", attempt, runs_now)


@pytest.mark.parametrize("waits", [0, 600])
def test_a_disk_that_stays_full_or_a_stop_ends_the_wait(
    waits: int, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patience, "PATIENCE", waits)
    monkeypatch.setattr(room.shutil, "disk_usage", lambda place: SimpleNamespace(free=0))
    with pytest.raises(NoRoom, match=r"^wide-3: no room on a disk: 0\.0 MB are free in "):
        with_room("wide-3", lambda: "done", lambda: waits > 0)


def test_a_study_in_a_file_waits_for_room_and_not_for_another_writer(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("OPTUNA_STORAGE", raising=False)
    errors = ["database or disk is full"]

    def call() -> str:
        if not errors:
            return "done"
        reason = sqlite3.OperationalError(errors.pop())
        raise study.OperationalError("INSERT", {}, reason) from reason

    after_a_pause(monkeypatch, lambda: None)
    assert study.when_study_answers(call, runs_now) == "done"
    assert "optuna.db: the study cannot be written: database or disk is full" in capsys.readouterr().err
    errors.append("database is locked")
    with pytest.raises(UserError, match="database is locked"):
        study.when_study_answers(call, runs_now)


class FullFile(StringIO):
    """A file on a full disk."""

    def flush(self) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_line_of_progress_that_finds_no_room_ends_no_sweep(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience.sys, "stderr", file := FullFile())
    patience.say("wide-3: starts")
    assert file.getvalue() == "sweep: wide-3: starts\n"


SCRIPT = """
import os, shutil, sys, tempfile, time
from pathlib import Path
from types import SimpleNamespace
from tests.helpers.processes import forked_python, run
from tests.helpers.tiny import tiny_project
from tools.sweep import patience
from tools.sweep.clone import Job, find_origin, run_in_clone
from tools.sweep.exchange import push
from tools.sweep.experiments import names, run_experiment, run_once

disk, other = Path.cwd(), Path(sys.argv[1])
filler = disk / "filler"
sys.executable = forked_python()  # by which DVC is started

def fill(room=0):
    size = shutil.disk_usage(disk).free - room
    run(disk, "fallocate", "--length", str(size), str(filler))

# of this module alone: subprocess sleeps, too
patience.time = SimpleNamespace(monotonic=time.monotonic, sleep=lambda seconds: filler.unlink())
never = lambda: False
elsewhere = tiny_project(other)

# the clone of a worker, in a full folder for temporary files
os.chdir(elsewhere)
origin = find_origin()
tempfile.tempdir = os.environ["TMPDIR"] = str(disk)
fill()
print("clone:", run_in_clone(origin, Job("clone-2", ["value=2"], ["train"], "clone")) or "done")

# the remotes on a full disk
run(other, "git", "clone", "-q", "--mirror", str(other / "git"), str(disk / "git"))
run(elsewhere, "git", "remote", "set-url", "origin", str(disk / "git"))
run(elsewhere, "dvc", "remote", "modify", "store", "url", str(disk / "store"))
run_experiment("push-3", ["value=3"], ["train"], "push")
tempfile.tempdir = os.environ["TMPDIR"] = str(other)
fill()
push("push-3", never)
print("push:", "push-3" in run(elsewhere, "dvc", "exp", "list", "--all-commits", "--name-only", "origin"))

# a training that finds no room for its model
here = tiny_project(disk / "project")
with (here / "train.py").open("a") as file:
    file.write("pathlib.Path('model').write_bytes(os.urandom(150_000_000))")
run(here, "git", "commit", "-qam", "large")
os.chdir(here)
fill(room=120_000_000)
try:
    run_once("large-4", ["value=4"], ["train"], "large", never, Path(), False)
except patience.Failed as failed:
    print("log:", failed)
run_experiment("large-4", ["value=4"], ["train"], "large")
print("train:", names("large"))
"""


@pytest.mark.slow
def test_full_disks_of_temporary_files_of_a_remote_and_of_the_project_cost_no_experiment(tmp_path: Path) -> None:
    disk, script = tmp_path / "disk", tmp_path / "script.py"
    disk.mkdir()
    script.write_text(SCRIPT)
    own = f"PYTHONPATH={ROOT} {sys.executable} {script} {tmp_path / 'elsewhere'} 2>&1"
    output = on_small_disk(disk, "600m", own)
    assert "clone: done" in output
    assert f"sweep: clone-2: no room on a disk: 0.0 MB are free in {disk}," in output
    assert "push: True" in output
    assert re.search(r"`dvc exp push origin push-3` failed: ERROR: .*No space left on device", output)
    assert re.search(r"^log: large-4 ended with .*No space left on device", output, re.DOTALL | re.MULTILINE)
    assert "train: ['large-4']" in output
