import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from stages.annotate.params import Drawn, Given
from stages.annotate.split import assign, fill, further_folds, require_sides
from stages.common.core.errors import UserError


def films(sizes: list[int], seed: int = 0) -> pd.DataFrame:
    """Patients with the given numbers of films, of two sources, nine in ten with a fracture."""
    rng = np.random.default_rng(seed)
    patients = np.repeat([f"p{i:03d}" for i in range(len(sizes))], sizes)
    source = np.repeat(rng.choice(["kaggle", "hospital"], len(sizes), p=[0.7, 0.3]), sizes)
    fracture = np.repeat(rng.random(len(sizes)) < 0.9, sizes)
    ids = [f"i{i:04d}" for i in range(len(patients))]
    return pd.DataFrame({"image_id": ids, "group": patients, "source": source, "fracture": fracture, "split": ""})


PAPER = Drawn(seed=11, train=120, test=40, validation=20)


@pytest.mark.slow
@given(st.lists(st.integers(1, 4), min_size=80, max_size=120), st.integers(0, 1000))
@settings(max_examples=15, deadline=None)
def test_sizes_are_exact_and_no_patient_stands_on_both_sides(sizes: list[int], seed: int) -> None:
    table = films(sizes)
    assume(len(table) >= 160)
    chosen = assign(table, PAPER.model_copy(update={"seed": seed}))
    counts = chosen.value_counts()
    assert (counts["test"], counts["train"] + counts["validation"], counts["validation"]) == (40, 120, 20)
    used = table[chosen != "unused"].assign(part=chosen)
    assert used.groupby("group")["part"].nunique().max() == 1


def test_shares_of_sources_and_fractures_are_kept() -> None:
    table = films([1, 2, 1, 3] * 24)
    chosen = assign(table, PAPER)
    for column in ("source", "fracture"):
        whole = pd.get_dummies(table[column]).mean()
        test = pd.get_dummies(table.loc[chosen == "test", column]).mean()
        assert (whole - test).abs().max() < 0.06


def test_order_of_rows_never_matters_and_the_seed_does() -> None:
    table = films([1, 2, 1, 3] * 24)
    shuffled = table.sample(frac=1, random_state=0)
    by_id = assign(table, PAPER).set_axis(table["image_id"])
    assert by_id.equals(assign(shuffled, PAPER).set_axis(shuffled["image_id"]).reindex(by_id.index))
    assert not by_id.equals(assign(table, PAPER.model_copy(update={"seed": 12})).set_axis(table["image_id"]))


@given(st.lists(st.integers(1, 9), min_size=1, max_size=40), st.integers(0, 120))
def test_groups_are_taken_one_by_one_while_they_fit(sizes: list[int], limit: int) -> None:
    taken, total = [], 0
    for size in sizes:
        taken.append(total + size <= limit)
        total += size * taken[-1]
    assert fill(np.array(sizes), limit).tolist() == taken


def test_too_few_films_are_said() -> None:
    with pytest.raises(UserError, match=r"at least 160 films \(120 train \+ 40 test\), found 50"):
        assign(films([1] * 50), PAPER)


def test_validation_films_leave_at_least_as_many_to_train_on() -> None:
    table = films([2] * 12).assign(split=["train"] * 16 + ["test"] * 8)
    with pytest.raises(UserError, match=r"validation: expected at most half of the 16 train films, found 9; lower it"):
        assign(table, Given(seed=0, validation=9))
    assert (assign(table, Given(seed=0, validation=8)) == "validation").sum() == 8


def test_validation_films_can_be_a_share_of_the_train_films() -> None:
    table = films([1] * 40)
    count, share = (Drawn(seed=1, train=24, test=8, validation=size) for size in (6, 0.25))
    chosen = assign(table, share)
    assert (chosen == "validation").sum() == 6
    assert chosen.equals(assign(table, count))
    folds = further_folds(table, chosen, share)
    assert folds.equals(further_folds(table, chosen, count))
    tiny = films([1] * 8).assign(split=["train"] * 4 + ["test"] * 4)
    assert (assign(tiny, Given(seed=0, validation=0.01)) == "validation").sum() == 1


def test_sizes_that_whole_patients_cannot_make_are_said() -> None:
    with pytest.raises(UserError, match="whole patients with 5 films for test"):
        assign(films([2] * 10), Drawn(seed=0, train=10, test=5, validation=2))


def test_a_given_split_is_used_as_it_is() -> None:
    table = films([2] * 12).assign(split=["train"] * 16 + ["test"] * 6 + [""] * 2)
    chosen = assign(table, Given(seed=0, validation=4))
    assert chosen.value_counts().to_dict() == {"train": 12, "test": 6, "validation": 4, "unused": 2}


def test_the_sources_own_validation_films_are_used_whatever_it_calls_the_sides() -> None:
    words = ["Train"] * 8 + ["training"] * 4 + ["valid"] * 2 + ["val "] * 2 + ["Dev"] * 2 + ["TEST"] * 6
    chosen = assign(films([2] * 12).assign(split=words), Given(seed=0, validation=4))
    assert list(chosen) == ["train"] * 12 + ["validation"] * 6 + ["test"] * 6


def test_a_side_that_nobody_knows_is_refused() -> None:
    table = films([2] * 12).assign(split=["train"] * 16 + ["test"] * 6 + ["spare", "holdout"])
    with pytest.raises(UserError, match=r"valid, val, dev, test, .* found holdout; correct"):
        assign(table, Given(seed=0, validation=4))


TWO_FOLDS = {
    "split": ["train", "train", "validation", "validation", "test", "test"],
    "fold_2": ["train", "validation", "train", "test", "validation", "test"],
}


@pytest.mark.parametrize("side", ["train", "validation", "test"])
@pytest.mark.parametrize(("fold", "column"), [(1, "split"), (2, "fold_2")])
def test_a_side_of_a_fold_without_a_fracture_is_refused(fold: int, column: str, side: str) -> None:
    folds = pd.DataFrame(TWO_FOLDS)
    said = f"found none on the 2 {side} films of fold {fold}; .* set annotate.need_fractures to false"
    fracture = folds[column] != side
    with pytest.raises(UserError, match=said):
        require_sides(folds, [1, 2], fracture)
    require_sides(folds, [1, 2], pd.Series([True] * 6))
    require_sides(folds, [1, 2])


@pytest.mark.parametrize("side", ["train", "validation", "test"])
def test_a_side_without_films_of_a_fold_that_is_evaluated_is_refused(side: str) -> None:
    folds = pd.DataFrame(TWO_FOLDS).replace({"fold_2": {side: "unused"}})
    with pytest.raises(UserError, match=f"found none as {side} in fold 2, .* leave the fold out of evaluate.folds"):
        require_sides(folds, [1, 2])
    require_sides(folds, [1])


def test_a_fold_that_the_split_does_not_make_is_refused() -> None:
    with pytest.raises(UserError, match=r"evaluate.folds: expected folds from 1 to 2, .* found 3; correct"):
        require_sides(pd.DataFrame(TWO_FOLDS), [1, 3])


def test_a_fold_that_nothing_evaluates_may_lack_fractures() -> None:
    folds = pd.DataFrame(TWO_FOLDS)
    require_sides(folds, [1], folds["fold_2"] != "validation")


def test_few_fractures_stand_on_each_side_where_whole_patients_allow() -> None:
    for seed in range(3):
        table = films([1] * 40).assign(fracture=[number in (3, 11, 30) for number in range(40)], source="s")
        chosen = assign(table, Drawn(seed=seed, train=30, test=10, validation=4))
        assert set(chosen[table["fracture"]]) == {"train", "validation", "test"}


def test_a_given_split_that_leaks_is_refused() -> None:
    table = films([2] * 6).assign(split=["train"] * 7 + ["test"] * 5)
    with pytest.raises(UserError, match="found several for i0006, i0007"):
        assign(table, Given(seed=11, validation=2))


def test_a_source_without_a_split_is_told_apart() -> None:
    with pytest.raises(UserError, match="marks as train, found none"):
        assign(films([2] * 6), Given())


@pytest.mark.slow
@given(st.lists(st.integers(1, 4), min_size=80, max_size=120), st.integers(0, 1000))
@settings(max_examples=15, deadline=None)
def test_folds_test_each_used_film_once_and_tear_no_patient_apart(sizes: list[int], seed: int) -> None:
    table = films(sizes)
    assume(len(table) >= 160)
    asked = PAPER.model_copy(update={"seed": seed})
    split = assign(table, asked)
    folds = further_folds(table, split, asked).assign(fold_1=split)
    assert set(folds) == {"fold_1", "fold_2", "fold_3", "fold_4"}
    used = split != "unused"
    assert ((folds == "test").sum(axis=1)[used] == 1).all()
    for column in folds:
        assert (folds.loc[~used, column] == "unused").all()
        sides = folds.loc[used, column].replace("validation", "train")
        assert sides.groupby(table["group"]).nunique().max() == 1
        assert 34 <= (sides == "test").sum() <= 46
        validation = folds.loc[folds[column] == "validation"]
        assert 17 <= len(validation) <= 20


def test_few_films_still_have_folds() -> None:
    table = films([2] * 6).assign(split=["train"] * 8 + ["test"] * 4)
    asked = Given(seed=0, validation=2)
    folds = further_folds(table, assign(table, asked), asked)
    assert [(folds[name] == "test").sum() for name in folds] == [4, 4]
    halves = films([2] * 6).assign(split=["train"] * 4 + ["test"] * 8)
    folds = further_folds(halves, assign(halves, asked), asked)
    assert (folds["fold_2"] == "test").tolist() == [True] * 4 + [False] * 8
