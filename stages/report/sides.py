"""How many films stand on each side of the split, over the folds that are evaluated."""

from collections.abc import Sequence
from typing import NamedTuple

import pandas as pd

from stages.common.data.layout import fold_column


class Sides(NamedTuple):
    """Numbers of films.

    train: those of a training, with its validation films: `116`, or `115 to 116` where folds differ. validation: of
    them, in the same form. test, unused: over all folds. only_tested: sources of which a fold tests films, and trains
    on none.
    """

    train: str
    validation: str
    test: int
    unused: int
    only_tested: list[str]


def sides_of(split: pd.DataFrame, folds: Sequence[int]) -> Sides:
    """The sides of the evaluated folds.

    Args:
        split: split.csv.
        folds: of params.yaml.
    """
    stands = split[[fold_column(fold) for fold in folds]]
    trained, validation, test = stands.isin(["train", "validation"]), stands == "validation", stands == "test"
    sources = {
        source
        for column in stands
        for source in set(split["source"][test[column]]) - set(split["source"][trained[column]])
    }
    return Sides(
        train=from_to(trained.sum()),
        validation=from_to(validation.sum()),
        test=int(test.any(axis="columns").sum()),
        unused=int((stands == "unused").all(axis="columns").sum()),
        only_tested=sorted(sources),
    )


def from_to(counts: pd.Series) -> str:
    """One number, or the smallest and the largest of several."""
    low, high = int(counts.min()), int(counts.max())
    return f"{low}" if low == high else f"{low} to {high}"
