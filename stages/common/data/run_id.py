"""One training of many: which variant, from which seed, with which fold of the films left out for the test."""

import re
from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

VARIANTS = ("baseline", "adaptive")
RUN_FOLDERS = "*/seed-*-fold-*"  # the folders of all runs below models/ or reports/evaluation/
REPRO = "repro"  # the sweep of the trainings that `wrist repro` runs at once: DVC takes them over, experiments go


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
        """Its folder below models/ and reports/evaluation/."""
        return Path(self.variant, f"seed-{self.seed}-fold-{self.fold}")

    @classmethod
    def of_folder(cls, path: str) -> "Run":
        """The run of a folder below models/ or reports/evaluation/, or of a path that ends with one.

        Raises:
            ValueError: it is no run's.
        """
        match = re.search(r"([^/]+)/seed-(\d+)-fold-(\d+)$", path)
        if match is None:
            raise ValueError(f"{path} is the folder of no run")
        return cls(match[1], int(match[2]), int(match[3]))


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
