import io
import re
from typing import Any

import pytest
from rich.console import Console

from stages.train import progress
from stages.train.progress import announcing, clock, reporting

ROW = {"epoch": 3, "train_loss": 0.5, "validation_loss": 0.25, "validation_dice": 0.125}


def test_a_log_gets_one_plain_line_per_epoch(capsys: pytest.CaptureFixture[str]) -> None:
    with reporting("adaptive", 10, 2) as report:
        report.epoch(ROW, 21.66, 30.0)
    expected = "train adaptive: epoch 3/10, loss 0.500, validation 0.250, Dice 0.125, 21.7 images/s, 3:30 left\n"
    assert capsys.readouterr().err == expected


def test_a_terminal_gets_a_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = io.StringIO()

    def console(**_: Any) -> Console:
        return Console(file=screen, force_terminal=True, width=80)

    monkeypatch.setattr(progress, "Console", console)
    with reporting("adaptive", 10, 2) as report:
        report.epoch(ROW, 21.66, 30.0)
    shown = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", screen.getvalue())
    assert "3/10" in shown
    assert "loss 0.500/0.250 Dice 0.125 21.7/s" in shown


@pytest.mark.parametrize(("step", "said"), [(7.2, "train adaptive: 1000 steps, about 2 h 0 min\n"), (0.5, "")])
def test_a_long_training_is_announced_after_its_second_step(
    step: float, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    times = iter([0.0, 60.0, 60.0 + step])
    ask = announcing(lambda: True, "adaptive", 1000, lambda: next(times))
    assert [ask() for _ in range(5)] == [True] * 5
    assert capsys.readouterr().err == said


@pytest.mark.parametrize(("seconds", "text"), [(0, "0:00"), (59.6, "1:00"), (3599, "59:59"), (7380, "2 h 3 min")])
def test_times(seconds: float, text: str) -> None:
    assert clock(seconds) == text
