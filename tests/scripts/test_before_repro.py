"""What DVC meets before any stage runs: a dvc.lock that was cut off, an inbox at which it would wait for ever."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from stages.common.core.errors import UserError
from tests.helpers.paths import ROOT
from tools.audit.dvc_lock import require_sound

ADVICE = "found a damaged file; `git checkout dvc.lock` brings back the committed one (where no commit has one, `rm dv"


@pytest.mark.parametrize("text", ["", "schema: '2.0'\n", "schema: '2.0'\nstages:\n  ingest:\n    cm"])
def test_a_damaged_lock_is_refused_with_the_way_out(text: str, tmp_path: Path) -> None:
    require_sound(tmp_path)
    (tmp_path / "dvc.lock").write_text(text)
    with pytest.raises(UserError) as refused:
        require_sound(tmp_path)
    assert ADVICE in str(refused.value)


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("lock", f"repro: dvc.lock: expected the stages that ran, {ADVICE}"),
        ("inbox", "repro: data/incoming: expected files that DVC can hash, found others (1):\n  - pipes, sockets"),
        ("none", ""),
    ],
)
def test_make_repro_begins_with_what_dvc_would_not_say(fault: str, said: str, tmp_path: Path) -> None:
    (tmp_path / ".venv/bin").mkdir(parents=True)
    for name in ("Makefile", "requirements.lock", "requirements-dev.lock", "pyproject.toml", "params.yaml"):
        shutil.copy2(ROOT / name, tmp_path)
    shutil.copytree(ROOT / "scripts", tmp_path / "scripts")
    (tmp_path / "data/incoming").mkdir(parents=True)
    for name, content in (("dvc", "touch ran"), ("wrist", "exit 0"), ("python", f'exec {sys.executable} "$@"')):
        program = tmp_path / ".venv/bin" / name
        program.write_text(f"#!/bin/sh\n{content}\n")
        program.chmod(0o755)
    (tmp_path / ".venv/.ready").touch()
    if fault == "lock":
        (tmp_path / "dvc.lock").touch()
    elif fault == "inbox":
        os.mkfifo(tmp_path / "data/incoming/pipe")
    done = subprocess.run(["make", "repro"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.stderr.startswith(said)
    assert (done.returncode == 0) == (tmp_path / "ran").exists() == (fault == "none")
