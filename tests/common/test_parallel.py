import io
import os
import sys

import pytest

from stages.common.errors import Fault
from stages.common.parallel import executor, track


def test_results_keep_the_order_of_the_items_and_a_log_stays_clean(capfd: pytest.CaptureFixture[str]) -> None:
    with executor() as pool:
        assert track(pool, abs, list(range(-300, 0)), "work") == list(range(300, 0, -1))
    assert capfd.readouterr() == ("", "")


def test_a_terminal_shows_a_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    with executor() as pool:
        track(pool, abs, [1, 2, 3], "work")
    assert "work" in screen.getvalue()


def test_an_error_in_a_worker_reaches_the_caller() -> None:
    with pytest.raises(FileNotFoundError), executor() as pool:
        track(pool, os.stat, ["nowhere"], "work")


@pytest.mark.parametrize("text", ["0", "-1", "two", ""])
def test_a_wrong_number_of_workers_is_said(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORKERS", text)
    with pytest.raises(Fault, match="WORKERS: expected a whole number above 0"), executor():
        pass
