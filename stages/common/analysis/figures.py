"""Figures of the page as inline SVG, so that the page is one file and its ink follows light and dark."""

import re
from collections.abc import Mapping, Sequence
from functools import partial
from io import StringIO
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

matplotlib.rcParams["svg.fonttype"] = "none"
INK, BLUE, ORANGE = "#123456", "#2f86c9", "#d9730d"  # INK stands for the page's own text colour
NO_METADATA = dict.fromkeys(("Creator", "Date", "Format", "Type"))  # RDF, which HTML does not know, and the time of day
INKED: tuple[Any, ...] = ("text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color", "grid.color")
for name in INKED:
    matplotlib.rcParams[name] = INK
matplotlib.rcParams["font.size"] = 9


class Chart:
    """One chart of the page's size; `svg` ends it."""

    def __init__(self, title: str, x_label: str, y_label: str) -> None:
        self.title = title
        self.figure = Figure(figsize=(5.2, 3.2), layout="constrained")
        self.axes: Any = self.figure.subplots()
        self.axes.set(title=title, xlabel=x_label, ylabel=y_label)
        self.axes.grid(alpha=0.25)
        self.axes.set_axisbelow(True)
        self.axes.spines[["top", "right"]].set_visible(False)

    def runs(
        self, name: str, colour: str, curves: Sequence[tuple[pd.Series, pd.Series]], marker: str | None = None
    ) -> None:
        """A line per run, x against y, all in one colour; where there are several, faint, and their mean thick.

        Args:
            name: in the legend.
            colour: of all lines.
            curves: x and y of each run, of one length each.
            marker: Matplotlib's, at each point; None: none.
        """
        several = len(curves) > 1
        for x, y in curves:
            label = None if several else name
            self.axes.plot(x, y, color=colour, label=label, alpha=0.4 if several else 1, marker=marker)
        if several:
            x, y = (
                pd.concat([curve[i].reset_index(drop=True) for curve in curves], axis=1).mean(axis=1) for i in (0, 1)
            )
            self.axes.plot(x, y, color=colour, label=f"{name}, mean of {len(curves)}", linewidth=2.2)

    def svg(self, description: str) -> dict[str, str]:
        """The chart, and in words what it shows, for those who do not see it."""
        if self.axes.get_legend_handles_labels()[0]:
            self.axes.legend(frameon=False)
        buffer = StringIO()
        # Ids are hashes. Their salt is random by default, and here makes each chart's ids its own in a page of several.
        with matplotlib.rc_context({"svg.hashsalt": self.title + description}):
            self.figure.savefig(buffer, format="svg", metadata=NO_METADATA, transparent=True)
        drawn = buffer.getvalue()
        drawn = without_idle_ids(drawn[drawn.index("<svg") :]).replace(INK, "currentColor")
        return {
            "title": self.title,
            "description": description,
            "svg": drawn.replace("<svg ", '<svg aria-hidden="true" ', 1),
        }


def without_idle_ids(svg: str) -> str:
    """An SVG whose elements have an id only where another one refers to it: Matplotlib numbers them anew in each."""
    used = set(re.findall(r"#([\w.-]+)", svg))
    return re.sub(r' id="([^"]*)"', lambda found: found[0] if found[1] in used else "", svg)


def lines(
    title: str, y_label: str, curves: Mapping[str, Sequence[tuple[pd.Series, pd.Series]]], x_label: str = "epoch"
) -> dict[str, str]:
    """A line per run, x against y, one colour per name; where runs are several, their mean is drawn thick.

    Args:
        title: above the chart.
        y_label: below the title.
        curves: x and y of each run, by the name of the line; at most two names.
        x_label: below the chart.
    Returns:
        As `Chart.svg`.
    """
    chart, descriptions = Chart(title, x_label, y_label), []
    for (name, runs), colour in zip(curves.items(), (BLUE, ORANGE), strict=False):
        chart.runs(name, colour, runs)
        ends = [np.mean([float(y.iloc[at]) for _, y in runs]) for at in (0, -1)]
        descriptions.append(f"{name} from {ends[0]:.3f} to {ends[1]:.3f}")
    return chart.svg("; ".join(descriptions))


def precision_recall(curves: Mapping[str, Sequence[pd.DataFrame]], prevalence: float) -> dict[str, str]:
    """Precision over recall of each run, with the prevalence as the line that chance would draw."""
    chart = Chart("Precision and recall of all test pixels", "recall", "precision")
    for (name, tables), colour in zip(curves.items(), (BLUE, ORANGE), strict=True):
        chart.runs(name, colour, [(table["recall"], table["precision"]) for table in tables])
    chart.axes.axhline(prevalence, color="#888888", linestyle=":", label="prevalence: chance")
    chart.axes.set(xlim=(0, 1), ylim=(0, 1.02))
    return chart.svg("precision over recall; the areas under the curves (AUPRC) stand below, Beyond pixels")


def calibration(curves: Mapping[str, Sequence[pd.DataFrame]]) -> dict[str, str]:
    """The reliability diagram: how often fracture is where the network says so."""
    chart = Chart("Calibration: are probabilities kept?", "predicted probability", "share of fracture")
    chart.axes.plot([0, 1], [0, 1], color="#888888", linestyle=":", label="perfect")
    for (name, tables), colour in zip(curves.items(), (BLUE, ORANGE), strict=True):
        chart.runs(name, colour, [(table["predicted"], table["observed"]) for table in tables], marker=".")
    chart.axes.set(xlim=(0, 1), ylim=(0, 1))
    return chart.svg(
        "points above the diagonal are too timid, below it too bold; ECE and Brier stand below, Beyond pixels"
    )


def differences(gains: np.ndarray, mean: float) -> dict[str, str]:
    """The patients' differences in F1, adaptive minus baseline, sorted, each a bar; their mean as a line."""
    chart = Chart("F1 of each patient: adaptive minus baseline", "patients, sorted", "difference in F1")
    ordered = np.sort(gains)
    colours = [ORANGE if gain > 0 else BLUE for gain in ordered]
    chart.axes.bar(np.arange(len(ordered)), ordered, color=colours, width=0.9)
    chart.axes.axhline(0, color=INK, linewidth=0.8)
    chart.axes.axhline(mean, color="#888888", linestyle="--", label=f"mean {mean:+.3f}")
    chart.axes.set_xticks([])
    better, worse = int((gains > 0).sum()), int((gains < 0).sum())
    return chart.svg(
        f"adaptive is better for {better} patients, worse for {worse}, the same for {len(gains) - better - worse}"
    )


def froc(curves: Mapping[str, Sequence[pd.DataFrame]]) -> dict[str, str]:
    """The free-response ROC curve of each run, of froc.csv, up to the run that has the most false regions per film."""
    chart = Chart("Boxes found against false regions (FROC)", "false regions per film", "share of boxes found")
    ends = [float(table["false_regions"].max()) for tables in curves.values() for table in tables if len(table)]
    grid = pd.Series(np.linspace(0, max([1.0, *ends]), 101))
    for (name, tables), colour in zip(curves.items(), (BLUE, ORANGE), strict=True):
        chart.runs(name, colour, [(grid, grid.map(partial(sensitivity_at, table))) for table in tables])
    chart.axes.set(ylim=(0, 1.02))
    return chart.svg("share of boxes found over false regions per film; two of its points stand in a table below")


def sensitivity_at(table: pd.DataFrame, most: float) -> float:
    """Share of the boxes that are found with at most so many false regions per film, of froc.csv; 0 without one."""
    allowed = table.loc[table["false_regions"] <= most, "sensitivity"]
    return float(allowed.max()) if len(allowed) else 0.0
