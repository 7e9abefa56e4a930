"""How many films stand on each side of the split, over the folds that are evaluated, and how many are synthetic."""

from collections.abc import Sequence
from typing import NamedTuple

import pandas as pd

from stages.common.data.layout import fold_column
from stages.common.data.tables import is_synthetic


class Sides(NamedTuple):
    """Numbers of films, and what a reader must know of them.

    train: those of a training, with its validation films: `116`, or `115 to 116` where folds differ. validation: of
    them, in the same form. test, unused: over all folds. tested: sources of test films. only_tested: sources of which
    folds test films, and none trains on any. external: how many films of these are tested. synthetic: which of the
    films are, in a sentence; blank for none. useless: whether networks saw no other films than these.
    """

    train: str
    validation: str
    test: int
    unused: int
    tested: list[str]
    only_tested: list[str]
    external: int
    synthetic: str
    useless: bool


def sides_of(split: pd.DataFrame, folds: Sequence[int]) -> Sides:
    """The sides of the evaluated folds.

    Args:
        split: split.csv.
        folds: of params.yaml.
    """
    stands = split[[fold_column(fold) for fold in folds]]
    trained, validation, test = stands.isin(["train", "validation"]), stands == "validation", stands == "test"
    in_training, in_test, drawn = trained.any(axis="columns"), test.any(axis="columns"), is_synthetic(split)
    tested = set(split["source"][in_test])
    sources = tested - set(split["source"][in_training])
    of_training, of_test = drawn[in_training], drawn[in_test]
    return Sides(
        train=from_to(trained.sum()),
        validation=from_to(validation.sum()),
        test=len(of_test),
        unused=int((stands == "unused").all(axis="columns").sum()),
        tested=sorted(tested),
        only_tested=sorted(sources),
        external=int(split["source"][in_test].isin(sources).sum()),
        synthetic=which_are_synthetic(of_training, of_test),
        useless=bool(of_training.all()),
    )


def which_are_synthetic(of_training: pd.Series, of_test: pd.Series) -> str:
    """A sentence for what scores of synthetic films are worth.

    Args:
        of_training: whether each film of the trainings is synthetic.
        of_test: whether each test film is.
    """
    if of_test.all():
        films = "films" if of_training.all() else "test films"
        return f"The {films} are synthetic: these scores say nothing about patients."
    if of_test.any():
        return f"{of_test.sum()} of the {len(of_test)} test films are synthetic: no score is one of patients alone."
    if of_training.any():
        return f"{of_training.sum()} of the {len(of_training)} films of the trainings are synthetic."
    return ""


def from_to(counts: pd.Series) -> str:
    """One number, or the smallest and the largest of several."""
    low, high = int(counts.min()), int(counts.max())
    return f"{low}" if low == high else f"{low} to {high}"
