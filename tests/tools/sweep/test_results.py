"""What is said about experiments, on tables whose truth is known."""

import math
from typing import Any

import numpy as np
import pandas as pd
import pytest

from stages.common.core.errors import UserError
from stages.common.data.run_id import Run
from tools.audit.dvc_lock import Lock
from tools.sweep.experiments import Experiment, is_tested, members
from tools.sweep.page import cells
from tools.sweep.results import changing, films_of, find, table_of
from tools.sweep.selection_bias import expected_maximum, standard_error_of_trial

FILMS = [f"f{i}" for i in range(40)]
PATIENTS = pd.Series([f"p{i // 2}" for i in range(40)], index=FILMS)


def weights(method: str = "linear", first: float = 0.3, last: float = 0.7) -> dict[str, Any]:
    if method == "random":
        return {"method": method}
    if method == "fixed":
        return {"method": method, "alpha": first, "beta": last}
    alpha, beta = {"start": first, "end": last}, {"start": 1 - last, "end": 1 - first}
    return {"method": method, "alpha": alpha, "beta": beta}


def experiment(name: str, gain: float, adaptive: dict[str, Any], seeds: int = 1, test: bool = False) -> Experiment:
    rng = np.random.default_rng(0)
    base = rng.uniform(0.2, 0.6, len(FILMS))
    rows = []
    for seed in range(1, seeds + 1):
        own = np.random.default_rng([seed, len(name)]).normal(0, 0.02, len(FILMS))
        rows.append(pd.DataFrame({"image_id": FILMS, "f1": base + gain + own, "seed": seed, "fold": 1}))
    scores = pd.concat(rows, ignore_index=True)
    history = [pd.DataFrame({"epoch": [0, 1], "ratio": [0.3, 0.7]})] * seeds
    counts = scores.assign(tp=(scores["f1"] * 1000).round(), fp=300, fn=300)
    params, lock = {"train": {"adaptive": adaptive}}, Lock("stages: {}")
    return Experiment(name, params, lock, scores, history, counts if test else None)


def test_a_large_gain_is_seen_and_none_is_not() -> None:
    reference = experiment("half", 0.0, weights("fixed", 0.5, 0.5), test=True)
    found = [
        reference,
        experiment("better", 0.1, weights(), test=True),
        experiment("same!", 0.0, weights("random"), test=True),
    ]
    table = table_of(found, reference, PATIENTS).set_index("experiment")
    assert table.index[0] == "better"
    assert table.loc["better", "gain"] == pytest.approx(0.1, abs=0.02)
    assert table.loc["better", "gain_low"] > 0.08
    assert table.loc["better", "holm"] < 0.01
    assert table.loc["better", "test_gain_low"] > 0
    assert table.loc["same!", "gain_low"] < 0 < table.loc["same!", "gain_high"]
    assert table.loc["same!", "holm"] > 0.05
    assert math.isnan(table.loc["half", "holm"])
    assert math.isnan(table.loc["same!", "from"])


def test_what_was_not_tested_has_no_test_score() -> None:
    reference = experiment("half", 0.0, weights("fixed", 0.5, 0.5))
    table = table_of([reference, experiment("other", 0.0, weights(), seeds=2)], reference, PATIENTS)
    assert table["test"].isna().all()
    assert list(table.set_index("experiment").loc[["half", "other"], "seeds"]) == [1, 2]
    for tested, headings in ((False, 8), (True, 11)):  # of tools/sweep/page.html
        assert [len(cells(row, "half", tested)) for row in table.to_dict("records")] == [headings] * 2


def test_the_table_shows_the_shares_that_were_asked_for_and_else_those_of_the_first_and_last_epoch() -> None:
    half = experiment("half", 0.0, weights("fixed", 0.5, 0.5))
    others = [experiment("asked", -0.1, weights(first=0.2, last=0.9)), experiment("drawn", -0.2, weights("random"))]
    rows = table_of([half, *others], half, PATIENTS).to_dict("records")
    assert [cells(row, "half", False)[2:4] for row in rows] == [["0.50", "0.50"], ["0.20", "0.90"], ["0.30", "0.70"]]


def test_scores_of_other_films_are_refused() -> None:
    other = experiment("other", 0.0, weights())
    other.validation["image_id"] = "x" + other.validation["image_id"]
    with pytest.raises(UserError, match=r"experiment other: expected the validation films of half, found others"):
        films_of([experiment("half", 0.0, weights()), other])


def test_the_reference_is_the_fixed_one_of_those_with_its_shares() -> None:
    found = [experiment("a", 0, weights("linear", 0.5, 0.5)), experiment("b", 0, weights("fixed", 0.9, 0.1))]
    named = find(found, (0.5, 0.5))
    assert named is not None
    assert named.name == "a"
    found.append(experiment("c", 0, weights("fixed", 0.5, 0.5)))
    named = find(found, (0.5, 0.5))
    assert named is not None
    assert named.name == "c"
    assert find(found, (0.1, 0.2)) is None


def test_the_params_that_change_are_found() -> None:
    values = changing([experiment("a", 0, weights(first=0.1)), experiment("b", 0, weights(first=0.2))])
    assert set(values) == {"train.adaptive.alpha.start", "train.adaptive.beta.end"}
    assert list(values["train.adaptive.alpha.start"]) == [0.1, 0.2]


@pytest.mark.parametrize(("count", "value"), [(1, 0.0), (2, 0.56419), (3, 0.84628), (10, 1.53875), (100, 2.50759)])
def test_the_largest_of_many_normal_numbers(count: int, value: float) -> None:
    """Harter 1961 (Biometrika 48, table 1): expected values of normal order statistics."""
    assert expected_maximum(count) == pytest.approx(value, abs=1e-5)


def test_luck_is_the_standard_error_over_patients() -> None:
    rng = np.random.default_rng(1)
    hard = rng.normal(0.5, 0.2, (400, 1))  # what a film costs everybody drops out
    scores = pd.DataFrame(hard + rng.normal(0, 0.1, (400, 30)))
    alone = pd.Series(range(400))
    assert standard_error_of_trial(scores, alone) == pytest.approx(0.1 / np.sqrt(400), rel=0.05)
    twins = pd.DataFrame(np.repeat(scores.to_numpy(), 2, axis=0))
    assert standard_error_of_trial(twins, pd.Series(np.repeat(range(400), 2))) == pytest.approx(
        standard_error_of_trial(scores, alone)
    )


def test_the_best_of_equals_looks_as_much_better_as_the_guard_says() -> None:
    rng = np.random.default_rng(2)
    gains = []
    for _ in range(200):
        scores = pd.DataFrame(rng.normal(0.5, 0.1, (20, 12)))
        gains.append(
            (scores.mean().max() - scores.mean().mean()) / standard_error_of_trial(scores, pd.Series(range(20)))
        )
    assert np.mean(gains) == pytest.approx(expected_maximum(12), rel=0.1)


def test_experiments_of_a_sweep_whose_name_begins_alike_belong_to_another() -> None:
    own = ["grid-1", "grid-9", "grid-10", "grid-dwa", "grid-static-0.5"]
    others = [
        "grid",
        "grid-fine-1",
        "grid-fine-dwa",
        "fine-grid-1",
        "grid1-1",
        "grid-1b",
        "grid-static-0x5",
        "gridx5-1",
    ]
    assert members("grid", [*others, *own[::-1]]) == own
    assert members("grid-fine", [*others, *own]) == ["grid-fine-1", "grid-fine-dwa"]
    assert members("grid.5", others) == []


TESTED = """
stages:
  train@adaptive-1-1:
    cmd: x
    outs: [{{path: models/adaptive/seed-1-fold-1, hash: md5, md5: new.dir}}]
  evaluate@adaptive-1-1:
    cmd: x
    deps: [{{path: data/dataset, hash: md5, md5: x}}, {{path: models/adaptive/seed-1-fold-1, hash: md5, md5: {md5}}}]
"""


def test_an_evaluation_of_another_model_is_none() -> None:
    run = Run("adaptive")
    assert not is_tested(Lock(TESTED.format(md5="old.dir")), run)
    assert is_tested(Lock(TESTED.format(md5="new.dir")), run)
    assert not is_tested(Lock("stages: {}"), run)
