"""Figures of the page as data URIs, so that the page is one file."""

import base64
from io import BytesIO

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from PIL import Image

# SVG ids are hashes with a random salt by default, and its metadata hold the time of day.
matplotlib.rcParams["svg.hashsalt"] = "wrist"
matplotlib.rcParams["svg.fonttype"] = "none"
BLUE, ORANGE = "#0072b2", "#d55e00"


def picture(pixels: np.ndarray, side: int = 256) -> str:
    """uint8 (H, W) or (H, W, 3), or uint16 (H, W), as a JPEG data URI of at most `side` pixels."""
    shown = (pixels >> 8).astype(np.uint8) if pixels.dtype == np.uint16 else pixels
    image = Image.fromarray(shown)
    image.thumbnail((side, side), Image.Resampling.LANCZOS)
    buffer = BytesIO()
    image.save(buffer, format="JPEG", quality=88)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()


def drawing(figure: Figure) -> str:
    """A matplotlib figure as an SVG data URI without a time in it."""
    buffer = BytesIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    return "data:image/svg+xml;base64," + base64.b64encode(buffer.getvalue()).decode()


def lines(title: str, y_label: str, curves: dict[str, pd.Series], x: pd.Series, x_label: str = "epoch") -> str:
    """One chart with a named line per curve."""
    figure = Figure(figsize=(5.2, 3.2), layout="constrained")
    axes = figure.subplots()
    for (name, values), colour in zip(curves.items(), (BLUE, ORANGE), strict=False):
        axes.plot(x, values, color=colour, label=name)
    finish(axes, title, x_label, y_label)
    return drawing(figure)


def precision_recall(curves: dict[str, pd.DataFrame], prevalence: float) -> str:
    """Precision over recall for each model, with the prevalence as the line that chance would draw."""
    figure = Figure(figsize=(5.2, 3.2), layout="constrained")
    axes = figure.subplots()
    for (name, table), colour in zip(curves.items(), (BLUE, ORANGE), strict=True):
        axes.plot(table["recall"], table["precision"], color=colour, label=name)
    axes.axhline(prevalence, color="#777777", linestyle=":", label="prevalence")
    axes.set(xlim=(0, 1), ylim=(0, 1.02))
    finish(axes, "Precision and recall of all test pixels", "recall", "precision")
    return drawing(figure)


def finish(axes: matplotlib.axes.Axes, title: str, x_label: str, y_label: str) -> None:
    axes.set(title=title, xlabel=x_label, ylabel=y_label)
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
