"""What a person at a terminal hears while nothing else is said."""

import io
import os
import pty
import re
import shutil
import subprocess
import sys
import termios
import time
import warnings
from itertools import pairwise
from pathlib import Path

import pytest

from stages.common.core.busy import CLEAR, Busy, busy
from stages.common.core.signals import hide_warnings
from tests.helpers.paths import ROOT
from tests.helpers.processes import environment
from tests.helpers.terminal import Terminal, speak_at_once


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    speak_at_once(monkeypatch)


def test_a_terminal_hears_what_goes_on_and_has_an_empty_line_after_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", screen := Terminal())
    with pytest.raises(ZeroDivisionError), busy("report: draws intervals"):
        while screen.getvalue().count("report") < 3:
            time.sleep(0.01)
        raise ZeroDivisionError
    said = screen.getvalue()
    assert re.fullmatch(rf"({re.escape(CLEAR)}report: draws intervals \.\.\. \d+ s){{3,}}{re.escape(CLEAR)}", said)


def test_what_was_stopped_speaks_when_it_starts_again(monkeypatch: pytest.MonkeyPatch) -> None:
    speaker = Busy("waits")
    for _ in range(2):
        monkeypatch.setattr(sys, "stderr", screen := Terminal())
        speaker.start()
        speaker.start()
        while screen.getvalue().count("waits") < 3:
            time.sleep(0.01)
        speaker.stop()
        speaker.stop()
        assert screen.getvalue().endswith(CLEAR)


def test_a_log_gets_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", log := io.StringIO())
    with busy("report: draws intervals"):
        time.sleep(0.05)
    assert log.getvalue() == ""


@pytest.mark.parametrize(("options", "heard"), [([], 0), (["default"], 1)])
def test_warnings_of_libraries_are_heard_by_who_asks_for_them(
    options: list[str], heard: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "warnoptions", options)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default")
        hide_warnings()
        warnings.warn("a pandas option", FutureWarning, stacklevel=1)
    assert len(caught) == heard


def at_a_terminal(folder: Path, *words: str) -> tuple[str, float]:
    """All that a command shows on a terminal of 100 columns, in the order in which it comes, and its longest silence.

    The silence is a share of the time from the start of the command to its end.
    """
    screen, terminal = pty.openpty()
    termios.tcsetwinsize(terminal, (30, 100))
    own = environment() | {"PYTHONPATH": str(ROOT), "TERM": "xterm"}
    heard = [time.monotonic()]
    process = subprocess.Popen(words, cwd=folder, env=own, stdin=terminal, stdout=terminal, stderr=terminal)
    os.close(terminal)
    said = []
    try:
        while part := os.read(screen, 65_536):
            said.append(part)
            heard.append(time.monotonic())
    except OSError:  # Linux's way to say that nobody writes any more
        os.close(screen)
    assert process.wait() == 0, b"".join(said).decode()
    heard.append(time.monotonic())
    return b"".join(said).decode(), max(later - earlier for earlier, later in pairwise(heard)) / (heard[-1] - heard[0])


# A stage that speaks after a twentieth of a second: on a fast machine, some of its work takes less than one.
SOON = """
import runpy
from stages.common.core import busy
busy.FIRST = busy.NEXT = 0.05
runpy.run_module("stages.{stage}", run_name="__main__", alter_sys=True)
"""


@pytest.mark.slow
def test_stages_at_a_terminal_show_that_they_work_and_no_warning_of_a_library(two_seeds: Path, tmp_path: Path) -> None:
    project = shutil.copytree(two_seeds, tmp_path / "project")
    shown = {
        words[0]: at_a_terminal(project, sys.executable, "-c", SOON.format(stage=words[0]), *words[1:])
        for words in (("annotate",), ("evaluate", "baseline", "1", "1"), ("report",))
    }
    for stage, (said, silence) in shown.items():
        assert silence < 0.5, stage
        assert re.search(rf"{stage}: [\w ']+ \.\.\. \d+ s", said), said
        assert f"{CLEAR}{stage}: " in said, "the sentence at the end stands alone on its line"
        assert not re.search("warn|deprecated|Traceback", said, re.IGNORECASE), said
    assert re.search(r"annotate:.*\| \d+/24 ", shown["annotate"][0])
