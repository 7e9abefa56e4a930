"""Charts of a sweep, as inline SVG."""

import numpy as np
import pandas as pd
from matplotlib import colormaps
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.tri import Triangulation

from stages.common.analysis.figures import BLUE, INK, ORANGE, Chart
from tools.sweep.experiments import Experiment

SCALE = colormaps["viridis"]  # readable by the colour-blind and in grey


def norm_of(scores: pd.Series) -> Normalize:
    return Normalize(float(scores.min()), float(scores.max()) + 1e-9)


def surface(table: pd.DataFrame) -> dict[str, str]:
    """Validation Dice over the share of Dice in the loss that params ask for at the start and the end."""
    chart = Chart("Validation Dice over the weights", "alpha / (alpha + beta) at the start", "at the end")
    norm = norm_of(table["dice"])
    points = table[["from", "to", "dice"]].groupby(["from", "to"], as_index=False).mean()
    if len(points) >= 4 and np.linalg.matrix_rank(points[["from", "to"]] - points[["from", "to"]].mean()) == 2:
        mesh = Triangulation(points["from"], points["to"])
        chart.axes.tricontourf(mesh, points["dice"], levels=12, cmap=SCALE, norm=norm, alpha=0.45)
    chart.axes.scatter(table["from"], table["to"], c=table["dice"], cmap=SCALE, norm=norm, edgecolors=INK, zorder=3)
    chart.axes.plot([0, 1], [0, 1], color="#888888", linestyle=":", label="never changed")
    best = table.iloc[0]
    chart.axes.set(xlim=(-0.03, 1.03), ylim=(-0.03, 1.03))
    chart.figure.colorbar(ScalarMappable(norm, SCALE), ax=chart.axes)
    return chart.svg(
        f"best {best['dice']:.3f} at {best['from']:.2f} to {best['to']:.2f}, "
        f"worst {table['dice'].min():.3f}; a point is an experiment"
    )


def parallel(values: pd.DataFrame, table: pd.DataFrame) -> dict[str, str]:
    """Parallel coordinates: a line per experiment through its params to its validation Dice."""
    chart = Chart("Params of every experiment", "", "from the lowest to the highest")
    scores = table.set_index("experiment")["dice"]
    axes = values.assign(**{"validation Dice": scores})
    height = axes.max() - axes.min()
    level = (axes - axes.min()) / height.where(height > 0, 1)
    for name in scores.index[::-1]:
        colour = SCALE(norm_of(scores)(scores[name]))
        chart.axes.plot(range(len(level.columns)), level.loc[name], color=colour, linewidth=1.2)
    labels = [
        f"{str(name).removeprefix('train.').replace('adaptive.', '')}\n{axes[name].min():.3g} to {axes[name].max():.3g}"
        for name in axes
    ]
    chart.axes.set_xticks(range(len(labels)), labels, rotation=40, ha="right", fontsize=7)
    chart.axes.set_yticks([])
    return chart.svg(f"{len(scores)} experiments over {len(values.columns)} params; brighter lines score higher")


def shares(experiments: list[Experiment], best: str, reference: str) -> dict[str, str]:
    """How the share of Dice in the loss moved over the epochs."""
    chart = Chart("Share of Dice in the loss", "epoch", "alpha / (alpha + beta)")
    for item in experiments:
        shown = {best: (ORANGE, f"{best} (best)"), reference: (BLUE, f"{reference} (reference)")}.get(item.name)
        for table in item.history[:1]:
            chart.axes.plot(
                table["epoch"],
                table["ratio"],
                color=shown[0] if shown else "#888888",
                linewidth=2.2 if shown else 0.8,
                alpha=1 if shown else 0.6,
                label=shown[1] if shown else None,
                zorder=3 if shown else 2,
            )
    chart.axes.set(ylim=(-0.03, 1.03))
    return chart.svg(f"the first seed of each of {len(experiments)} experiments")


def intervals(table: pd.DataFrame, reference: str) -> dict[str, str]:
    """Each experiment's gain in validation Dice over the reference with its interval."""
    chart = Chart(f"Gain over {reference} on the validation films", "difference in Dice", "")
    shown = table[::-1]
    below, above = shown["gain"] - shown["gain_low"], shown["gain_high"] - shown["gain"]
    errors = np.nan_to_num(np.vstack([below, above])).clip(min=0)
    chart.axes.errorbar(shown["gain"], range(len(shown)), xerr=errors, fmt="o", color=BLUE, markersize=3, linewidth=1)
    chart.axes.axvline(0, color=INK, linewidth=0.8)
    chart.axes.set_yticks(range(len(shown)), shown["experiment"], fontsize=7)
    better = int((table["gain_low"] > 0).sum())
    return chart.svg(f"{better} of {len(table)} intervals lie above 0; none is corrected for their number")
