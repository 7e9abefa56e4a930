"""The numbers of films that the report says, against the films that each fold trains and tests on."""

import pandas as pd
from hypothesis import given
from hypothesis import strategies as st

from stages.report.sides import sides_of

SIDES = st.sampled_from(["train", "validation", "test", "unused"])
FILMS = st.lists(st.tuples(st.sampled_from("abc"), SIDES, SIDES), min_size=1, max_size=12)


@given(FILMS, st.sampled_from([[1], [2], [1, 2]]))
def test_sides_are_those_of_the_folds_that_are_evaluated(films: list[tuple[str, str, str]], folds: list[int]) -> None:
    found = sides_of(pd.DataFrame(films, columns=["source", "split", "fold_2"]), folds)
    trained = [{i for i, film in enumerate(films) if film[fold] in ("train", "validation")} for fold in folds]
    tested = [{i for i, film in enumerate(films) if film[fold] == "test"} for fold in folds]
    numbers = sorted({len(those) for those in trained})
    assert found.train == " to ".join(map(str, numbers))
    counts = sorted({sum(film[fold] == "validation" for film in films) for fold in folds})
    assert found.validation == " to ".join(map(str, counts))
    assert found.test == len(set().union(*tested))
    assert found.unused == sum(all(film[fold] == "unused" for fold in folds) for film in films)
    new = {films[i][0] for of_fold, known in zip(tested, trained, strict=True) for i in of_fold
           if films[i][0] not in {films[other][0] for other in known}}  # fmt: skip
    assert found.only_tested == sorted(new)
