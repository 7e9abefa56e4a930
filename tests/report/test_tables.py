import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from statsmodels.stats.power import TTestPower

from stages.common.analysis.statistics import compare_metrics, pooled_f1_interval
from stages.common.analysis.trivial_baselines import trivial_tables
from stages.common.data.layout import RAW
from stages.common.data.rows import AnnotationRow
from stages.common.data.tables import ANNOTATIONS
from stages.report.main import labels
from stages.report.published import audit
from stages.report.tables import by_patient, compare, latex, markdown, subgroups, verdict
from tests.helpers.markdown import cell_counts, tables_of
from tests.helpers.scores import COUNTS, PATIENTS, naive, table

NOTE = (
    "Published, for other films: some 76 % of their pixels must have been labelled fracture; "
    "rows of another prevalence do not compare with these"
)
PAIRS = (((1, 0.5), (2, 0.8)), ((4, 0.5), (5, 0.7)))


def seeds(*tables: pd.DataFrame) -> pd.DataFrame:
    """One table after the other, as `runs.together` gives them."""
    return pd.concat([rows.assign(seed=number) for number, rows in enumerate(tables, start=1)], ignore_index=True)


def said(baseline: pd.DataFrame, adaptive: pd.DataFrame) -> str:
    comparison = compare(baseline, adaptive, PATIENTS, naive(baseline), audit())
    return verdict(comparison, compare_metrics(baseline, adaptive, PATIENTS, ("f1",)), 1)


def test_rows_and_their_numbers() -> None:
    baseline, adaptive = table(1, 0.5), table(2, 0.8)
    found = compare(baseline, adaptive, PATIENTS, naive(baseline), audit()).set_index("row")
    total = baseline[["tp", "fp", "fn"]].sum()
    assert found.loc["baseline", "f1"] == pytest.approx(2 * total["tp"] / (2 * total["tp"] + total["fp"] + total["fn"]))
    assert found.loc["adaptive - baseline", "f1"] == pytest.approx(
        found.loc["adaptive", "f1"] - found.loc["baseline", "f1"]
    )
    prevalence = found.loc["baseline", "prevalence"]
    assert found.loc["everything is fracture", "f1"] == pytest.approx(2 * prevalence / (1 + prevalence))
    interval = pooled_f1_interval(naive(baseline)["everything is fracture"], None, PATIENTS)
    assert tuple(found.loc["everything is fracture", ["f1_low", "f1_high"]]) == interval
    assert interval[0] < found.loc["everything is fracture", "f1"] < interval[1]
    assert found.loc["nothing is fracture", "f1"] == 0
    assert np.isnan(found.loc["nothing is fracture", "f1_low"])
    assert found.loc["nothing is fracture", "accuracy"] == pytest.approx(1 - prevalence)
    assert np.isnan(found.loc["nothing is fracture", "precision"])
    assert found.loc["paper, adaptive weights", "f1"] == 0.8184
    assert (found["images"] == 40).all()


@pytest.mark.parametrize(
    ("skill", "expected"), [(0.85, "adaptive beats"), (0.2, "adaptive loses"), (0.5, "cannot be told apart")]
)
def test_the_verdict_follows_the_numbers(skill: float, expected: str) -> None:
    assert expected in said(table(1, 0.5), table(3, skill))


def test_a_network_that_beats_no_trivial_predictor_is_named() -> None:
    good, nothing = table(1, 0.5), table(3, -1)
    sentence = said(good, nothing)
    assert "Adaptive has learnt nothing of use: its F1 of 0.000 does not exceed the 0." in sentence
    assert "Baseline has learnt nothing" not in sentence
    assert "of use" not in said(good, good)
    neither = said(nothing, nothing)
    assert neither.startswith("Baseline has learnt nothing of use")
    assert neither.count("which needs no training") == 2
    assert "Their difference says nothing about the weights (F1 differs by +0.000, no interval; " in neither
    assert "told apart" not in neither
    assert "nan" not in neither
    one_patient = compare_metrics(good, nothing, pd.Series(["p"] * len(good)), ("f1",))
    alone = verdict(compare(good, nothing, PATIENTS, naive(good), audit()), one_patient, 1)
    assert "permutation test over 1 patients: undefined)" in alone


def test_identical_models_cannot_be_told_apart() -> None:
    assert "cannot be told apart" in said(table(1, 0.5), table(1, 0.5))


def test_seeds_are_averaged_and_their_spread_is_said() -> None:
    both = [seeds(table(1, 0.5), table(4, 0.5)), seeds(table(2, 0.8), table(5, 0.7))]
    patients = pd.concat([PATIENTS, PATIENTS], ignore_index=True)
    found = compare(both[0], both[1], patients, naive(both[0]), audit()).set_index("row")
    alone = [compare(table(*a), table(*b), PATIENTS, {}, audit()).set_index("row") for a, b in PAIRS]
    for name, row in (("baseline", "baseline"), ("adaptive", "adaptive"), ("adaptive - baseline",) * 2):
        assert found.loc[row, "f1"] == pytest.approx(np.mean([one.loc[name, "f1"] for one in alone]))
    assert found.loc["adaptive", "f1_seed_sd"] == pytest.approx(
        np.std([one.loc["adaptive", "f1"] for one in alone], ddof=1)
    )
    assert np.isnan(found.loc["adaptive", "f1_fold_sd"])
    assert found.loc["adaptive", "images"] == 40
    sentence = verdict(found.reset_index(), compare_metrics(both[0], both[1], patients, ("f1",)), 2)
    assert "of 2 seeds" in sentence
    assert "One seed" not in sentence


def test_folds_are_pooled_and_their_spread_is_said() -> None:
    folds = table(1, 0.5).assign(fold=[1] * 20 + [2] * 20)
    found = compare(folds, folds, PATIENTS, {}, audit()).set_index("row").loc["baseline"]
    halves = [
        compare(folds[p], folds[p], PATIENTS[p], {}, audit()).set_index("row").loc["baseline", "f1"]
        for p in (slice(20), slice(20, 40))
    ]
    assert found["f1_fold_sd"] == pytest.approx(np.std(halves, ddof=1))
    assert found["images"] == 40


def test_an_interval_alone_makes_no_claim() -> None:
    baseline, adaptive = table(1, 0.5), table(3, 0.85)
    comparison = compare(baseline, adaptive, PATIENTS, naive(baseline), audit())
    paired = compare_metrics(baseline, adaptive, PATIENTS, ("f1",))
    assert "adaptive beats" in verdict(comparison, paired, 1)
    alone = verdict(comparison, paired.assign(permutation=0.2), 1)
    assert "cannot be told apart" in alone
    assert "The interval leaves out 0, but the test over patients does not agree; a difference is claimed only" in alone
    against = verdict(comparison, paired.assign(difference=-0.1), 1)
    assert "cannot be told apart" in against
    assert "All pixels together and the mean over patients favour different networks" in against
    wide = comparison.assign(f1_low=-0.1, f1_high=0.1)
    assert "The test over patients finds a difference, but the interval holds 0" in verdict(wide, paired, 1)
    neither = verdict(wide, paired.assign(permutation=0.2), 1)
    assert "The interval holds 0, and the test over patients finds no difference; a difference is claimed" in neither


def test_how_many_patients_would_decide_follows_from_what_so_many_can_detect() -> None:
    """As statsmodels plans a paired t test of 80 % power at 5 %."""
    baseline, adaptive = table(1, 0.5), table(3, 0.55)
    comparison = compare(baseline, adaptive, PATIENTS, naive(baseline), audit())
    paired = compare_metrics(baseline, adaptive, PATIENTS, ("f1",))
    sentence = verdict(comparison, paired, 1)
    found = re.search(r"takes about ([\d,]+) patients", sentence)
    assert found
    row = paired.iloc[0]
    planned = TTestPower().solve_power(effect_size=abs(row["effect"]), alpha=0.05, power=0.8)
    assert int(found[1].replace(",", "")) == pytest.approx(planned, rel=0.1, abs=2)
    assert "more than 10,000 patients" in verdict(comparison, paired.assign(difference=1e-4), 1)


def test_what_would_decide_is_said_where_it_would() -> None:
    """Seeds decide after one seed; patients, and further seeds, where no difference is claimed."""
    seeds_decide, patients_decide = (
        "One seed: training variance is not estimated; train from several seeds.",
        "patients.",
    )
    more_seeds = "More seeds may decide as well; from 3, their number cannot be told."
    for skill, undecided in ((0.55, True), (0.85, False)):
        baseline, adaptive = table(1, 0.5), table(3, skill)
        comparison = compare(baseline, adaptive, PATIENTS, naive(baseline), audit())
        paired = compare_metrics(baseline, adaptive, PATIENTS, ("f1",))
        one, several = (verdict(comparison, paired, seeds) for seeds in (1, 3))
        assert ("cannot be told apart" in one) is undecided
        without_seeds = several.replace("films and of 3 seeds", "films").replace(f" {more_seeds}", "")
        assert one == f"{without_seeds} {seeds_decide}"
        assert several.endswith(f"{patients_decide} {more_seeds}") is undecided
        assert (more_seeds in several) is undecided


def test_subgroups_cover_all_films_and_small_ones_claim_nothing() -> None:
    facts = pd.DataFrame({"source": ["a"] * 36 + ["b"] * 4, "modality": ["CR", "DX"] * 20, "label": "radius"})
    baseline, adaptive = table(1, 0.5), table(2, 0.8)
    found = subgroups(baseline, adaptive, facts, PATIENTS).set_index("subgroup")
    for kind in ("source", "modality", "label", "fracture"):
        assert found[found.index.str.startswith(kind)]["images"].sum() == 40
    assert found.loc["source: a", ["low", "high"]].notna().all()
    assert found.loc["source: b", ["low", "high"]].isna().all()
    assert found.loc["source: b", "patients"] == 2
    assert {"fracture: small", "fracture: middle", "fracture: large"} <= set(found.index)
    whole = baseline[36:][["tp", "fp", "fn"]].sum()
    expected = 2 * whole["tp"] / (2 * whole["tp"] + whole["fp"] + whole["fn"])
    assert found.loc["source: b", "baseline"] == pytest.approx(expected)


def test_naive_predictors_by_hand() -> None:
    image = np.array([[10, 10, 200, 200]] * 2, np.uint8)
    levels = np.array([[0, 0, 0, 255]] * 2, np.uint8)
    mask = np.array([[False, False, True, False]] * 2)
    tables = trivial_tables([(image, levels, mask)])
    assert {name: rows[list(COUNTS)].iloc[0].astype(int).tolist() for name, rows in tables.items()} == {
        "everything is fracture": [2, 6, 0, 0],
        "nothing is fracture": [0, 0, 2, 6],
        "random at the prevalence": [0, 2, 2, 4],  # a quarter of 2 and of 6, rounded to even
        "largest grey level": [2, 4, 0, 2],
        "Otsu's threshold": [2, 2, 0, 4],
    }


def test_a_constant_film_has_no_otsu_threshold() -> None:
    flat = np.full((4, 4), 7, np.uint8)
    found = trivial_tables([(flat, flat, np.eye(4, dtype=bool))])["Otsu's threshold"]
    assert found[["tp", "fp"]].to_numpy().sum() == 0


def test_markdown_says_what_is_undefined() -> None:
    text = markdown(compare(table(1, 0.5), table(2, 0.8), PATIENTS, naive(table(1, 0.5)), audit()))
    lines = text.splitlines()
    assert lines[0].startswith("|  | F1 (95 % interval) | precision")
    assert "nan" not in text
    assert "| nothing is fracture |" in text
    assert [len(rows) for rows in tables_of(text)] == [2 + 5, 2 + 2]
    assert cell_counts(text) == [{10}, {10}]


def test_the_papers_rows_stand_apart_below_the_note_that_they_do_not_compare() -> None:
    text = markdown(compare(table(1, 0.5), table(2, 0.8), PATIENTS, naive(table(1, 0.5)), audit()))
    ours, papers = text.split(f"\n\n{NOTE}:\n\n")
    assert "paper" not in ours
    assert [row[0] for row in tables_of(papers)[0][2:]] == ["paper, fixed weights", "paper, adaptive weights"]


def test_latex_has_a_cell_for_each_column_and_no_bare_special_character() -> None:
    lines = latex(compare(table(1, 0.5), table(2, 0.8), PATIENTS, naive(table(1, 0.5)), audit())).splitlines()
    rows = [line for line in lines if line.endswith(r"\\")]
    assert len(rows) == 1 + 5 + 1 + 2
    note = rows.pop(1 + 5)
    assert all(row.count("&") == rows[0].count("&") for row in rows)
    assert note == rf"\multicolumn{{{len(rows[0].split('&'))}}}{{l}}{{{NOTE}}} \\".replace("%", r"\%")
    assert lines[lines.index(note) - 1 : lines.index(note) + 2 : 2] == [r"\midrule", rows[6]]
    assert lines[0] == r"\begin{tabular}{l" + "r" * rows[0].count("&") + "}"
    assert not re.search(r"(?<!\\)[%_#]|[^\x00-\x7f]", "".join(lines))


def test_names_with_the_special_characters_of_latex_are_escaped() -> None:
    comparison = compare(table(1, 0.5), table(2, 0.8), PATIENTS, {}, audit())
    comparison.loc[0, "row"] = "R&D {50 %} #1 _~^$ a\\b"
    (line,) = (line for line in latex(comparison).splitlines() if line.startswith("R"))
    name = r"R\&D \{50 \%\} \#1 \_\textasciitilde \textasciicircum \$ a\textbackslash b"
    assert line.split(" & ")[0] == name
    assert len(re.findall(r"(?<!\\)&", line)) == 9


def test_each_patient_has_a_row_from_the_largest_loss_to_the_largest_gain() -> None:
    baseline, adaptive = table(1, 0.5), table(2, 0.8)
    found = by_patient(baseline, adaptive, PATIENTS)
    assert (found["films"] == 2).all()
    assert len(found) == 20
    assert found["difference"].is_monotonic_increasing
    row = found.set_index("patient").loc["p3"]
    assert row["adaptive"] == pytest.approx(adaptive["f1"][6:8].mean())
    assert row["difference"] == pytest.approx(row["adaptive"] - row["baseline"])


def test_classes_without_a_name_are_called_so(tmp_path: Path) -> None:
    named = {"yolo": ("3", "0"), "mask": ("255,0,0",), "voc": ("radius", "ulna 2")}
    rows: list[AnnotationRow] = [
        {"image_id": film, "label": label, "kind": "box", "points": "0 0 1 1", "file": "f", "line": 1}
        for film, of_film in named.items()
        for label in of_film
    ]
    ANNOTATIONS.write(tmp_path / RAW, ANNOTATIONS.frame(rows))
    assert labels(tmp_path).to_dict() == {
        "yolo": "class 0 without a name, class 3 without a name",
        "mask": "class 255,0,0 without a name",
        "voc": "radius, ulna 2",
    }
