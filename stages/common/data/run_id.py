"""One training of many: which variant, from which seed, with which fold of the films left out for the test."""

from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

VARIANTS = ("baseline", "adaptive")


@dataclass(frozen=True)
class Run:
    variant: str
    seed: int = 1
    fold: int = 1

    def __str__(self) -> str:
        """As DVC calls its stage: train@adaptive-1-1."""
        return f"{self.variant}-{self.seed}-{self.fold}"

    @property
    def folder(self) -> Path:
        """Its place below models/ and reports/evaluation/."""
        return Path(self.variant, f"seed-{self.seed}-fold-{self.fold}")


def add_run_arguments(parser: ArgumentParser) -> None:
    """The arguments VARIANT [SEED [FOLD]] of the commands that train or evaluate one run."""
    parser.add_argument("variant", choices=VARIANTS)
    parser.add_argument("seed", nargs="?", type=count_from(0), default=1, help="one of train.seeds (default 1)")
    parser.add_argument("fold", nargs="?", type=count_from(1), default=1, help="one of evaluate.folds (default 1)")


def count_from(lowest: int) -> Callable[[str], int]:
    """A reader of whole numbers from `lowest` up."""

    def read(text: str) -> int:
        if not text.isdecimal() or int(text) < lowest:
            raise ArgumentTypeError(f"{text!r} is not a whole number from {lowest} up")
        return int(text)

    return read
