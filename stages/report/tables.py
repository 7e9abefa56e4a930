"""The comparison: our two models, what costs nothing, and what the paper printed."""

import math

import numpy as np
import pandas as pd

from stages.common.metrics import METRICS, summarise
from stages.report.published import PUBLISHED, implied_prevalence
from stages.report.statistics import LEVEL, pooled_f1_interval

HEAD = ["", "accuracy", "precision", "recall", "F1 (95 % interval)", "IoU", "MCC", "mean F1", "prevalence", "images"]
PAIRED = ("f1", "iou", "precision", "recall", "specificity", "mcc", "auprc", "nsd")  # compared patient by patient
FEW = 10  # patients; below, a subgroup gets no interval
THIRDS = ("small", "middle", "large")


def compare(
    baseline: pd.DataFrame, adaptive: pd.DataFrame, patients: pd.Series, naive: dict[str, pd.DataFrame]
) -> pd.DataFrame:
    """One row per predictor: pooled metrics, mean F1 over images, an interval, prevalence and n.

    Args:
        baseline, adaptive: per-image counts and metrics, the same images in the same order.
        patients: the patient of each row.
        naive: the same of predictors that cost nothing.
    Returns:
        columns row, METRICS, f1_low, f1_high, mean_f1, prevalence, images.
    """
    rows = [
        row_of("baseline", baseline, pooled_f1_interval(baseline, None, patients)),
        row_of("adaptive", adaptive, pooled_f1_interval(adaptive, None, patients)),
    ]
    gain: dict[str, object] = {"row": "adaptive - baseline", "images": len(baseline)}
    gain |= {name: rows[1][name] - rows[0][name] for name in (*METRICS, "mean_f1")}  # type: ignore[operator]
    gain |= dict(zip(("f1_low", "f1_high"), pooled_f1_interval(baseline, adaptive, patients), strict=True))
    rows.append(gain)
    rows += [row_of(name, table, (np.nan, np.nan)) for name, table in naive.items()]
    for name, printed in PUBLISHED.items():
        prevalence = implied_prevalence(printed["accuracy"], printed["precision"], printed["recall"])
        rows.append({"row": name, **printed, "prevalence": prevalence, "images": 40})
    return pd.DataFrame(rows)[["row", *METRICS, "f1_low", "f1_high", "mean_f1", "prevalence", "images"]]


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


def subgroups(baseline: pd.DataFrame, adaptive: pd.DataFrame, facts: pd.DataFrame, patients: pd.Series) -> pd.DataFrame:
    """The comparison within sources, modalities and thirds of marked area.

    Args:
        facts: columns source and modality, a row per image.
    Returns:
        columns subgroup, images, patients, baseline, adaptive (pooled F1), difference, low, high; no interval for fewer
        than 10 patients.
    """
    area = baseline["tp"] + baseline["fn"]
    size, marked = pd.Series("none", index=area.index), area > 0
    size[marked] = "any"
    if marked.sum() >= len(THIRDS):
        size[marked] = pd.qcut(area[marked].rank(method="first"), len(THIRDS), labels=THIRDS).astype(str)
    keys = {"source": facts["source"], "modality": facts["modality"], "fracture": size}
    rows = []
    for kind, values in keys.items():
        values = pd.Series(values.to_numpy())
        for value in sorted(values.unique()):
            chosen = (values == value).to_numpy()
            sides, units = [table[chosen] for table in (baseline, adaptive)], patients[chosen]
            scores = [float(summarise(side)["pooled"]["f1"]) for side in sides]
            known = units.nunique() >= FEW
            low, high = pooled_f1_interval(sides[0], sides[1], units) if known else (math.nan, math.nan)
            rows.append(
                {"subgroup": f"{kind}: {value or 'unknown'}", "images": int(chosen.sum()), "patients": units.nunique()}
                | {"baseline": scores[0], "adaptive": scores[1], "difference": scores[1] - scores[0]}
                | {"low": low, "high": high}
            )
    return pd.DataFrame(rows)


def verdict(comparison: pd.DataFrame, paired: pd.DataFrame) -> str:
    """Whether adaptive beats baseline, in a sentence that the numbers support.

    A claim needs both: an interval of the pooled F1's difference without 0, and a permutation test of the patients'
    mean F1 that agrees in sign at 5 %.
    """
    gain = comparison.set_index("row").loc["adaptive - baseline"]
    test = paired.set_index("metric").loc["f1"]
    # The interval comes from drawing films anew. Training anew moves the difference as well, and can turn its sign.
    luck = "This covers the choice of films, not the luck of one training: repeat with other seeds."
    numbers = (
        f"F1 differs by {gain['f1']:+.3f}, 95 % interval {gain['f1_low']:+.3f} to {gain['f1_high']:+.3f}; "
        f"permutation test over {test['patients']:.0f} patients: p = {test['permutation']:.2g}"
    )
    agrees = test["permutation"] < LEVEL and np.sign(test["difference"]) == np.sign(gain["f1"])
    if agrees and gain["f1_low"] > 0:
        return f"On these films, with one seed, adaptive beats baseline ({numbers}). {luck}"
    if agrees and gain["f1_high"] < 0:
        return f"On these films, with one seed, adaptive loses to baseline ({numbers}). {luck}"
    return f"Adaptive and baseline cannot be told apart on these films ({numbers})."


def markdown(comparison: pd.DataFrame) -> str:
    """The comparison as a Markdown table with three decimals."""
    lines = ["| " + " | ".join(HEAD) + " |", "|---" * len(HEAD) + "|"]
    lines += ["| " + " | ".join(cells) + " |" for cells in cells_of(comparison)]
    return "\n".join(lines) + "\n"


def latex(comparison: pd.DataFrame) -> str:
    """The comparison as a LaTeX tabular for the package booktabs; it goes into a table environment by \\input."""
    special = {"%": r"\%", "_": r"\_", "–": "--", " - ": " $-$ "}

    def line(cells: list[str]) -> str:
        text = " & ".join(cells)
        for found, written in special.items():
            text = text.replace(found, written)
        return text + r" \\"

    body = [line(cells) for cells in cells_of(comparison)]
    start = [r"\begin{tabular}{l" + "r" * (len(HEAD) - 1) + "}", r"\toprule", line(HEAD), r"\midrule"]
    return "\n".join([*start, *body, r"\bottomrule", r"\end{tabular}"]) + "\n"


def cells_of(comparison: pd.DataFrame) -> list[list[str]]:
    """The comparison as text, in the columns of HEAD."""
    rows = []
    for row in comparison.to_dict("records"):
        shown = "+.3f" if row["row"] == "adaptive - baseline" else ".3f"
        f1 = number(row["f1"], shown)
        if not np.isnan(row["f1_low"]):
            f1 += f" ({number(row['f1_low'], shown)} to {number(row['f1_high'], shown)})"
        middle = [number(row[name], shown) for name in ("accuracy", "precision", "recall")]
        last = [number(row[name], shown) for name in ("iou", "mcc", "mean_f1")] + [number(row["prevalence"], ".3f")]
        rows.append([str(row["row"]), *middle, f1, *last, str(int(row["images"]))])
    return rows


def number(value: float, style: str) -> str:
    """A dash for what is undefined or was not published."""
    return "–" if np.isnan(value) else format(value, style)
