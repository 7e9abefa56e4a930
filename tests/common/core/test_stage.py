import errno
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from stages.common.core.stage import describe_os_error
from tests.helpers.paths import ROOT

SCRIPT = """
import os, signal, sys, time
from stages.common.core.errors import UserError
from stages.common.core.stage import run_stage

def main(settings):
    {body}
    return "done"

run_stage("threshold", main)
"""


def run_body(body: str, folder: Path) -> subprocess.CompletedProcess[str]:
    (folder / "params.yaml").write_text((ROOT / "params.yaml").read_text())
    script = textwrap.dedent(SCRIPT).format(body=body)
    command = [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(ROOT)!r})\n{script}"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("body", "code", "said"),
    [
        ("pass", 0, "threshold: done"),
        ("raise UserError('films/a.png: expected X, found Y; do Z')", 1, "threshold: films/a.png: expected X"),
        ("raise OSError(28, 'No space left on device', 'data/levels/x.png')", 1, "data/levels/x.png: the disk is full"),
        ("raise KeyboardInterrupt", 130, "interrupted"),
        ("os.kill(os.getpid(), signal.SIGTERM); time.sleep(5)", 143, ""),
    ],
)
def test_every_end_is_one_clear_sentence(body: str, code: int, said: str, tmp_path: Path) -> None:
    done = run_body(body, tmp_path)
    assert done.returncode == code
    assert said in done.stdout + done.stderr
    assert "Traceback" not in done.stderr


def test_a_bug_keeps_its_traceback(tmp_path: Path) -> None:
    done = run_body("1 / 0", tmp_path)
    assert done.returncode == 1
    assert "ZeroDivisionError" in done.stderr


def test_unknown_machine_errors_are_not_swallowed() -> None:
    with pytest.raises(OSError, match="strange"):
        describe_os_error(OSError(errno.EIO, "strange"))
