"""The picture below the answer: F1 of both networks and of what costs nothing, and their difference around zero."""

import math

import pandas as pd

from stages.common.analysis.figures import BLUE, INK, ORANGE, Chart
from stages.common.analysis.formatting import span
from stages.common.data.run_id import VARIANTS
from stages.report.tables import GAIN, best_trivial

HEIGHT = 1.7  # inches


def first_screen(comparison: pd.DataFrame) -> list[dict[str, str]]:
    """Two charts with 95 % intervals, as `Chart.svg`: F1 of both networks and the best trivial predictor, and the gain.

    Args:
        comparison: comparison.csv.
    """
    rows = comparison.set_index("row")
    best = best_trivial(comparison)["row"]
    scores = intervals("F1 of all test pixels", rows.loc[[*VARIANTS, best]], {"baseline": BLUE, "adaptive": ORANGE})
    scores.axes.set(xlim=(0, 1))
    gain = intervals("F1 of adaptive less F1 of baseline", rows.loc[[GAIN]], {GAIN: INK})
    gain.axes.axvline(0, color="#888888", linestyle=":")
    low, high = gain.axes.get_xlim()
    reach = 1.1 * max(abs(low), abs(high))
    gain.axes.set(xlim=(-reach, reach))
    return [scores.svg(in_words(rows.loc[[*VARIANTS, best]])), gain.svg(in_words(rows.loc[[GAIN]]))]


def intervals(title: str, rows: pd.DataFrame, colours: dict[str, str]) -> Chart:
    """F1 of each row as a number and as a point with its interval, where it has one, the first row on top.

    Args:
        title: above the chart.
        rows: of the comparison, by name.
        colours: of rows; others are grey.
    """
    chart = Chart(title, "", "")
    chart.figure.set_figheight(HEIGHT)
    labels = []
    for place, (name, row) in enumerate(rows.iterrows()):
        labels.append(f"{name}\n{row['f1']:{style_of(name)}}")
        colour = colours.get(str(name), "#888888")
        if not math.isnan(row["f1_low"]):
            chart.axes.plot([row["f1_low"], row["f1_high"]], [place, place], color=colour, linewidth=2.2)
        chart.axes.plot([row["f1"]], [place], color=colour, marker="o")
    chart.axes.set(yticks=range(len(rows)), yticklabels=labels, ylim=(len(rows) - 0.5, -0.5))
    return chart


def in_words(rows: pd.DataFrame) -> str:
    """F1 and interval of each row."""
    return "; ".join(
        f"{name} {span(row['f1'], row['f1_low'], row['f1_high'], style_of(name))}" for name, row in rows.iterrows()
    )


def style_of(name: object) -> str:
    """How the F1 of a row is printed: the difference with its sign."""
    return "+.3f" if name == GAIN else ".3f"
