"""The comparison: our two models, what costs nothing, and what the paper printed."""

import numpy as np
import pandas as pd

from stages.common.metrics import METRICS, metrics, summarise
from stages.report.published import PUBLISHED, implied_prevalence

RESAMPLES = 2000
HEAD = ["", "accuracy", "precision", "recall", "F1 (95 % interval)", "IoU", "mean F1", "prevalence", "images"]
COUNTS = ["tp", "fp", "fn", "tn"]


def trivial(table: pd.DataFrame, *, fracture: bool) -> pd.DataFrame:
    """The per-image table of a predictor that calls every pixel a fracture, or none."""
    positive, negative = table["tp"] + table["fn"], table["fp"] + table["tn"]
    none = 0 * positive
    columns = (positive, negative, none, none) if fracture else (none, none, positive, negative)
    counts = pd.DataFrame(dict(zip(COUNTS, columns, strict=True)))
    rows = [{name: int(row[name]) for name in COUNTS} for row in counts.to_dict("records")]
    return pd.DataFrame([row | metrics(**row) for row in rows])


def compare(baseline: pd.DataFrame, adaptive: pd.DataFrame, patients: pd.Series) -> pd.DataFrame:
    """One row per predictor: pooled metrics, mean F1 over images, an interval, prevalence and n.

    Args:
        baseline, adaptive: per-image counts and metrics, the same images in the same order.
        patients: the patient of each row.
    Returns:
        columns row, accuracy, precision, recall, f1, f1_low, f1_high, iou, mean_f1, prevalence, images.
    """
    draws = resample(patients)
    ours = {"baseline": baseline, "adaptive": adaptive}
    pooled = {name: pooled_f1(table, draws) for name, table in ours.items()}
    rows = [row_of(name, table, interval(pooled[name])) for name, table in ours.items()]
    gain: dict[str, object] = {"row": "adaptive - baseline", "images": len(baseline)}
    gain |= {name: rows[1][name] - rows[0][name] for name in (*METRICS, "mean_f1")}  # type: ignore[operator]
    gain |= dict(zip(("f1_low", "f1_high"), interval(pooled["adaptive"] - pooled["baseline"]), strict=True))
    rows.append(gain)
    for name, fracture in (("everything is fracture", True), ("nothing is fracture", False)):
        rows.append(row_of(name, trivial(baseline, fracture=fracture), (np.nan, np.nan)))
    for name, printed in PUBLISHED.items():
        prevalence = implied_prevalence(printed["accuracy"], printed["precision"], printed["recall"])
        rows.append({"row": name, **printed, "prevalence": prevalence, "images": 40})
    order = [
        "row",
        "accuracy",
        "precision",
        "recall",
        "f1",
        "f1_low",
        "f1_high",
        "iou",
        "mean_f1",
        "prevalence",
        "images",
    ]
    return pd.DataFrame(rows)[order]


def row_of(name: str, table: pd.DataFrame, f1_interval: tuple[float, float]) -> dict[str, object]:
    summary = summarise(table)
    pooled = {key: np.nan if value is None else value for key, value in summary["pooled"].items()}
    return {
        "row": name,
        **pooled,
        "f1_low": f1_interval[0],
        "f1_high": f1_interval[1],
        "mean_f1": summary["mean"]["f1"],
        "prevalence": summary["test_set"]["prevalence"],
        "images": summary["test_set"]["images"],
    }


def resample(patients: pd.Series) -> np.ndarray:
    """How often each image is drawn when patients are drawn with replacement: int (RESAMPLES, images).

    Patients, not images, are the independent units: films of one patient are alike.
    """
    codes, names = pd.factorize(patients)
    chosen = np.random.default_rng(0).integers(len(names), size=(RESAMPLES, len(names)))
    times = np.stack([np.bincount(row, minlength=len(names)) for row in chosen])
    return np.asarray(times[:, codes])


def pooled_f1(table: pd.DataFrame, draws: np.ndarray) -> np.ndarray:
    """Pooled F1 of each resample, float64 (RESAMPLES,); a resample without any marked pixel counts as 1."""
    tp, fp, fn = (draws @ table[name].to_numpy(np.float64) for name in ("tp", "fp", "fn"))
    whole = 2 * tp + fp + fn
    return np.where(whole > 0, 2 * tp / np.maximum(whole, 1), 1.0)


def interval(values: np.ndarray) -> tuple[float, float]:
    """The central 95 % of resampled values (percentile bootstrap)."""
    low, high = np.quantile(values, [0.025, 0.975])
    return float(low), float(high)


def verdict(comparison: pd.DataFrame) -> str:
    """Whether adaptive beats baseline, in a sentence that the interval supports."""
    rows = comparison.set_index("row")
    gain = rows.loc["adaptive - baseline"]
    # The interval comes from drawing films anew. Training anew moves the difference as well, and can turn its sign.
    luck = "The interval covers the choice of films, not the luck of one training: repeat with other seeds."
    numbers = f"F1 differs by {gain['f1']:+.3f}, 95 % interval {gain['f1_low']:+.3f} to {gain['f1_high']:+.3f}"
    if gain["f1_low"] > 0:
        return f"On these films, with one seed, adaptive beats baseline ({numbers}). {luck}"
    if gain["f1_high"] < 0:
        return f"On these films, with one seed, adaptive loses to baseline ({numbers}). {luck}"
    return f"Adaptive and baseline cannot be told apart on these films ({numbers})."


def markdown(comparison: pd.DataFrame) -> str:
    """The comparison as a Markdown table with three decimals."""
    lines = ["| " + " | ".join(HEAD) + " |", "|---" * len(HEAD) + "|"]
    lines += ["| " + " | ".join(cells) + " |" for cells in cells_of(comparison)]
    return "\n".join(lines) + "\n"


def cells_of(comparison: pd.DataFrame) -> list[list[str]]:
    """The comparison as text, in the columns of HEAD."""
    rows = []
    for row in comparison.to_dict("records"):
        shown = "+.3f" if row["row"] == "adaptive - baseline" else ".3f"
        f1 = number(row["f1"], shown)
        if not np.isnan(row["f1_low"]):
            f1 += f" ({number(row['f1_low'], shown)} to {number(row['f1_high'], shown)})"
        middle = [number(row[name], shown) for name in ("accuracy", "precision", "recall")]
        last = [number(row["iou"], shown), number(row["mean_f1"], shown), number(row["prevalence"], ".3f")]
        rows.append([str(row["row"]), *middle, f1, *last, str(int(row["images"]))])
    return rows


def number(value: float, style: str) -> str:
    """A dash for what is undefined or was not published."""
    return "–" if np.isnan(value) else format(value, style)
