"""One training of many: which variant, from which seed, with which fold of the films left out for the test."""

from dataclasses import dataclass
from pathlib import Path

from stages.common.core.errors import UserError

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


def parse_run(words: tuple[str, ...]) -> Run:
    """The run that a stage's command names: VARIANT [SEED [FOLD]], 1 and 1 where they are left out.

    Raises:
        UserError: no such variant, or a seed or fold that is no number.
    """
    variant, *numbers = words or ("",)
    if variant not in VARIANTS or len(numbers) > 2 or not all(number.isdecimal() for number in numbers):
        raise UserError(
            f"expected {' or '.join(VARIANTS)}, and a seed and a fold where they are not 1, as in `adaptive 2 1`; "
            f"found {' '.join(words) or 'nothing'}"
        )
    return Run(variant, *map(int, numbers))
