"""What a person at a terminal hears while nothing else is said."""

import io
import re
import sys
import time
import warnings

import pytest

from stages.common.core import busy as module
from stages.common.core.busy import CLEAR, Busy, busy
from stages.common.core.signals import hide_warnings


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FIRST", 0.01)
    monkeypatch.setattr(module, "NEXT", 0.01)


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
