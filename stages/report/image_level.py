"""Is there a fracture on this film? What page and model card say about it."""

from typing import Any, TypedDict

import numpy as np
import pandas as pd

from stages.common.analysis import figures
from stages.common.analysis.formatting import number, span
from stages.common.data.run_id import VARIANTS
from stages.report.evaluations import Evaluated
from stages.report.tables import GAIN

FALSE_REGIONS = (0.25, 1.0)  # per film
FIGURES = ("auroc", "sensitivity_90", "sensitivity_95")
HEAD = ["model", "AUROC (95 % interval)", "sensitivity at 90 % specificity", "sensitivity at 95 % specificity"]


class ImageLevel(TypedDict):
    """What templates show; absent (None) where all test films have a fracture, or none has.

    no_false_alarm: those of the specificities that less than one film without a fracture may miss.
    """

    with_fracture: int
    without_fracture: int
    no_false_alarm: list[str]
    head: list[str]
    rows: list[list[str]]
    more: list[tuple[str, str, str]]


def shown(table: pd.DataFrame, runs: dict[str, list[Evaluated]]) -> ImageLevel | None:
    """The section about whole films; None where all test films have a fracture, or none has.

    Args:
        table: image_level.csv.
        runs: of each variant, by seed and fold.
    """
    if table.empty:
        return None
    without = int(table["without_fracture"].iloc[0])
    return {
        "with_fracture": int(table["with_fracture"].iloc[0]),
        "without_fracture": without,
        "no_false_alarm": [f"{percent} %" for percent in (90, 95) if without * (100 - percent) < 100],
        "head": HEAD,
        "rows": [cells(row) for row in table.to_dict("records")],
        "more": [*of_regions(runs), *of_calibration(runs)],
    }


def cells(row: dict[Any, Any]) -> list[str]:
    """A row of image_level.csv as text, in the columns of HEAD."""
    style = "+.3f" if row["row"] == GAIN else ".3f"
    return [row["row"], *(span(row[name], row[f"{name}_low"], row[f"{name}_high"], style) for name in FIGURES)]


def of_regions(runs: dict[str, list[Evaluated]]) -> list[tuple[str, str, str]]:
    """Share of the boxes that are found at so many false regions per film, means over runs."""
    rows = []
    for most in FALSE_REGIONS:
        label = f"boxes found with at most {most:g} false regions per film"
        means = [np.nanmean([figures.sensitivity_at(item.froc, most) for item in runs[name]]) for name in VARIANTS]
        rows.append((label, *(number(float(mean), ".3f") for mean in means)))
    return rows  # type: ignore[return-value]


def of_calibration(runs: dict[str, list[Evaluated]]) -> list[tuple[str, str, str]]:
    """Brier score of the calibrated probability of a film, mean over the runs that have one, and how many have."""
    scores = {name: [brier for item in runs[name] if (brier := brier_of(item)) is not None] for name in VARIANTS}
    means = [number(float(np.mean(scores[name])), ".4f") if scores[name] else "–" for name in VARIANTS]
    counts = [f"{len(scores[name])} of {len(runs[name])}" for name in VARIANTS]
    return [
        ("Brier score of the calibrated probability of a film", means[0], means[1]),
        ("trainings whose validation films allow a calibration", counts[0], counts[1]),
    ]


def brier_of(item: Evaluated) -> float | None:
    summary = item.metrics["image_level"]
    return summary["brier"] if summary else None
