"""reports/sweep.html: what a sweep found, and how far that can be trusted."""

from pathlib import Path
from typing import Any

import pandas as pd

from stages.common.analysis.formatting import number
from stages.common.analysis.templates import page_templates
from stages.common.data.layout import DATASET, fold_columns
from stages.common.data.tables import SPLIT
from stages.report.sides import sides_of
from stages.train.params import Method
from tools.sweep import charts
from tools.sweep.experiments import Experiment
from tools.sweep.results import changing, films_of, find, table_of
from tools.sweep.schedule import declared_shares
from tools.sweep.selection_bias import expected_maximum, standard_error_of_trial

MANY = 40  # params that parallel coordinates can show


def render(name: str, experiments: list[Experiment], adaptive: Method, root: Path = Path()) -> str:
    """The page of a sweep as HTML.

    Args:
        name: of the sweep.
        experiments: at least one.
        adaptive: the weights of params.yaml, whose schedule is set beside the others.
        root: holds data/dataset of the films that were trained on.
    """
    split = SPLIT.read(root / DATASET)
    patients = split.set_index("image_id")["group"]
    reference = find(experiments, (0.5, 0.5)) or experiments[0]
    schedule = find(experiments, declared_shares(adaptive))
    table = table_of(experiments, reference, patients)
    best = next(item for item in experiments if item.name == table["experiment"].iloc[0])
    values = changing(experiments)
    drawn = [charts.intervals(table, reference.name)]
    if len(declared := table.dropna(subset="from")) > 1:
        drawn.append(charts.surface(declared))
    if 0 < len(values.columns) <= MANY:
        drawn.append(charts.parallel(values, table))
    drawn.append(charts.shares(experiments, best.name, reference.name))
    tested = bool(table["test"].notna().any())
    page = page_templates(Path(__file__).parent)
    return page.get_template("page.html").render(
        name=name,
        count=len(experiments),
        answer=answer(table, reference, schedule),
        selection_bias=selection_bias(experiments, table, patients),
        rows=[cells(row, reference.name, tested) for row in table.to_dict("records")],
        tested=tested,
        reference=reference.name,
        charts=drawn,
        films=experiments[0].validation["image_id"].nunique(),
        synthetic=sides_of(split, list(fold_columns(split))).synthetic,
        best=best.name,
    )


def answer(table: pd.DataFrame, reference: Experiment, schedule: Experiment | None) -> str:
    """The best, against half and half and against the schedule of params.yaml, on the validation films."""
    best = table.iloc[0]
    text = f"{best['experiment']} has the best validation Dice of {len(table)}: {best['dice']:.3f}"
    if best["experiment"] == reference.name:
        return f"{text}. It is the reference itself."
    text += (
        f", {best['gain']:+.3f} ({best['gain_low']:+.3f} to {best['gain_high']:+.3f}) against {reference.name} "
        f"(share {reference.shares[0]:.2f} to {reference.shares[1]:.2f})"
    )
    if schedule is not None and schedule.name not in (reference.name, best["experiment"]):
        text += f"; the schedule of params.yaml ({schedule.name}) has {schedule.score:.3f}"
    beyond = best["gain_low"] > 0
    return f"{text}: {'the interval excludes 0, without a correction for choosing' if beyond else 'within chance'}."


def selection_bias(experiments: list[Experiment], table: pd.DataFrame, patients: pd.Series) -> str:
    """By how much the best of so many experiments overstates its score."""
    films = films_of(experiments)
    error = standard_error_of_trial(films, films.index.to_series().map(patients))
    bias = error * expected_maximum(len(experiments))
    best, mean = table["dice"].iloc[0], table["dice"].mean()
    return (
        f"If all {len(experiments)} experiments were equally good, the best would still exceed their mean of "
        f"{mean:.3f} by {bias:.3f}: each has a standard error of {error:.3f} from the choice of {len(films)} "
        f"validation films. It exceeds the mean by {best - mean:.3f}. On new films expect about "
        f"{max(best - bias, mean):.3f}, not {best:.3f}, and less where few seeds were trained, since the variance "
        "between trainings adds to this."
    )


def cells(row: dict[Any, Any], reference: str, tested: bool) -> list[str]:
    """A row of the table as text.

    Args:
        row: of `table_of`.
        reference: the experiment that the others are set against.
        tested: whether the table has the columns of the test films.
    """

    def interval(key: str, style: str) -> str:
        low, high = number(row[f"{key}_low"], style), number(row[f"{key}_high"], style)
        return "" if "–" in (low, high) else f" ({low} to {high})"

    asked = [row[end] if pd.isna(row[param]) else row[param] for end, param in (("start", "from"), ("end", "to"))]
    texts = [row["experiment"], row["method"], *(f"{share:.2f}" for share in asked), str(row["seeds"])]
    plain = f" ({number(row['low'], '.3f')} to {number(row['high'], '.3f')})"
    texts.append(number(row["dice"], ".3f") + plain)
    for key, holm in (("gain", "holm"), ("test_gain", "test_holm"))[: 2 if tested else 1]:
        if key == "test_gain":
            texts.append(number(row["test"], ".3f") + interval("test", ".3f"))
        same = row["experiment"] == reference
        texts.append("reference" if same else number(row[key], "+.3f") + interval(key, "+.3f"))
        texts.append("" if same else number(row[holm], ".2g"))
    return texts
