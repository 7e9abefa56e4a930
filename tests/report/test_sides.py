"""The numbers of films that the report says, against the films that each fold trains and tests on."""

import pandas as pd
import pytest
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
    known = {films[i][0] for i in set().union(*trained)}
    new = [films[i][0] for i in set().union(*tested) if films[i][0] not in known]
    assert (found.only_tested, found.external) == (sorted(set(new)), len(new))


def films(*rows: tuple[str, str]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["source", "split"])


@pytest.mark.parametrize(
    ("trained", "tested", "said", "useless"),
    [
        (["sample-kaggle"], ["sample-hospital"] * 2, "The films are synthetic: these scores say nothing", True),
        (["sample-kaggle", "ward"], ["sample-hospital"] * 2, "The test films are synthetic: these scores", False),
        (["sample-kaggle"], ["sample-hospital", "ward"], "1 of the 2 test films are synthetic: no score is", True),
        (["sample-kaggle", "ward"], ["ward"], "1 of the 2 films of the trainings are synthetic.", False),
        (["ward"], ["ward"], "", False),
    ],
)
def test_films_that_a_computer_drew_are_said_however_few_they_are(
    trained: list[str], tested: list[str], said: str, useless: bool
) -> None:
    rows = [*((source, "train") for source in trained), *((source, "test") for source in tested)]
    found = sides_of(films(*rows, ("other", "unused"), ("sample-kaggle", "unused")), [1])
    assert found.synthetic.startswith(said)
    assert bool(found.synthetic) == bool(said)
    assert found.useless == useless
