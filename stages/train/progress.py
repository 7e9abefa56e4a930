"""What a person sees during training: a bar on a terminal, a line per epoch in a log."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeRemainingColumn

from stages.train.state import Row

LONG = 600  # seconds; a training that takes longer is announced


class Report(Protocol):
    """Says how far training is, on stderr."""

    def epoch(self, row: Row, speed: float, seconds: float) -> None:
        """One epoch is done: its row of history.csv, its images a second, and the seconds it took."""


class Lines:
    """A plain line per epoch."""

    def __init__(self, name: str, total: int) -> None:
        self.name, self.total = name, total

    def epoch(self, row: Row, speed: float, seconds: float) -> None:
        done = int(row["epoch"])
        left = clock(seconds * (self.total - done))
        print(f"train {self.name}: epoch {done}/{self.total}, {epoch_line(row, speed)}, {left} left", file=sys.stderr)


class Bar:
    """A bar that is redrawn."""

    def __init__(self, progress: Progress, name: str, total: int, done: int) -> None:
        self.progress = progress
        self.task = progress.add_task(f"train {name}", total=total, completed=done, text="")

    def epoch(self, row: Row, speed: float, seconds: float) -> None:
        self.progress.update(self.task, completed=int(row["epoch"]), text=short_epoch_line(row, speed))


@contextmanager
def reporting(name: str, total: int, done: int) -> Iterator[Report]:
    """A bar where stderr is a terminal, lines where it is not."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield Lines(name, total)
    else:
        columns = (
            SpinnerColumn(),  # moves while an epoch lasts
            TextColumn("{task.description}"),
            BarColumn(8),
            MofNCompleteColumn(),
            TextColumn("{task.fields[text]}"),
        )
        with Progress(*columns, TimeRemainingColumn(), console=console, transient=True) as progress:
            yield Bar(progress, name, total, done)


def announcing(stop: Callable[[], bool], name: str, steps: int, time: Callable[[], float]) -> Callable[[], bool]:
    """What is asked before each step, which also says on stderr how long a long training will take.

    The second step tells: the first sets the libraries up.

    Args:
        stop: the question.
        name: of the run.
        steps: that are left.
        time: in seconds.
    """
    asked: list[float] = []

    def ask() -> bool:
        if len(asked) < 3:
            asked.append(time())
            if len(asked) == 3 and (seconds := (asked[2] - asked[1]) * steps) > LONG:
                print(f"train {name}: {steps} steps, about {clock(seconds)}", file=sys.stderr)
        return stop()

    return ask


def epoch_line(row: Row, speed: float) -> str:
    """The numbers to watch: losses of both sides, validation Dice, images a second."""
    return (
        f"loss {row['train_loss']:.3f}, validation {row['validation_loss']:.3f}, "
        f"Dice {row['validation_dice']:.3f}, {speed:.3g} images/s"
    )


def short_epoch_line(row: Row, speed: float) -> str:
    """The same for a bar on a terminal of 80 columns."""
    dice = row["validation_dice"]
    return f"loss {row['train_loss']:.3f}/{row['validation_loss']:.3f} Dice {dice:.3f} {speed:.3g}/s"


def clock(seconds: float) -> str:
    """Minutes and seconds, or hours and minutes."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60} h {minutes % 60} min" if minutes >= 60 else f"{minutes}:{rest:02}"
