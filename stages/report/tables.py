"""The comparison: our two models, what costs nothing, and what the paper printed."""

import math
from typing import Any, Literal

import numpy as np
import pandas as pd
from tabulate import DataRow, TableFormat

from stages.common.analysis.formatting import number, span
from stages.common.analysis.statistics import LEVEL, pooled_f1_interval
from stages.common.analysis.trivial_baselines import TRIVIAL_BASELINES
from stages.common.data.run_id import VARIANTS
from stages.common.model.metrics import METRICS, summarise
from stages.report.evaluations import Evaluated
from stages.report.published import PUBLISHED

HEAD = ["", "F1 (95 % interval)", "precision", "recall", "IoU", "MCC", "mean F1", "accuracy", "prevalence", "images"]
PAIRED = (
    "f1",
    "iou",
    "accuracy",
    "precision",
    "recall",
    "specificity",
    "mcc",
    "auprc",
    "nsd",
)  # compared patient by patient
FEW = 10  # patients; below, a subgroup gets no interval
SUBGROUP_HEAD = ["subgroup", "films", "patients", "baseline F1", "adaptive F1", "difference (95 % interval)"]
THIRDS = ("small", "middle", "large")
GAIN = "adaptive - baseline"
PRINTED, INTERVAL, SPREADS = (
    ("accuracy", "precision", "recall", "f1"),
    ("f1_low", "f1_high"),
    ("f1_seed_sd", "f1_fold_sd"),
)
# Cells without padding: the table of the README would be wider than its lines may be.
UNPADDED = TableFormat(
    lineabove=None,
    linebelowheader=lambda widths, _: "|" + "---|" * len(widths),
    linebetweenrows=None,
    linebelow=None,
    headerrow=DataRow("|", "|", "|"),
    datarow=DataRow("|", "|", "|"),
    padding=1,
    with_header_hide=None,
)
UNDECIDED: Literal["cannot be told apart from"] = "cannot be told apart from"
Conclusion = Literal["beats", "loses to", "cannot be told apart from"]
MANY = 10_000  # patients, beyond which a number says no more
NAMES = {
    "f1": "F1",
    "iou": "IoU",
    "mcc": "MCC",
    "auprc": "AUPRC",
    "nsd": "NSD",
    "hd95_px": "95 % Hausdorff distance",
    "false_regions": "false regions",
    "brier": "Brier score",
}
"""Of metrics, where that is not their column."""


def name_of(metric: str) -> str:
    """What people call a metric.

    Args:
        metric: a column of per_image.csv.
    """
    return NAMES.get(metric, metric)


def compare(
    baseline: pd.DataFrame,
    adaptive: pd.DataFrame,
    patients: pd.Series,
    naive: dict[str, pd.DataFrame],
    published: pd.DataFrame,
) -> pd.DataFrame:
    """One row per predictor: pooled metrics, mean F1 over images, an interval, spreads, prevalence and n.

    Args:
        baseline, adaptive: per-image counts and metrics with seed and fold, the same images in the same order.
        patients: the patient of each row.
        naive: the same of predictors that cost nothing, each film once.
        published: of `published.audit`; its rows of single images are left out.
    Returns:
        columns row, METRICS (each the mean over seeds), f1_low, f1_high, f1_seed_sd and f1_fold_sd (standard deviation
        over seeds of all films together, and over folds of their means over seeds), mean_f1, prevalence, images.
    """
    rows: list[dict[Any, Any]] = [
        row_of("baseline", baseline, pooled_f1_interval(baseline, None, patients)),
        row_of("adaptive", adaptive, pooled_f1_interval(adaptive, None, patients)),
    ]
    first, second = (pd.Series(row) for row in rows)
    names = [*METRICS, "mean_f1"]
    gain: dict[Any, Any] = {"row": GAIN, "images": first["images"], **(second[names] - first[names]).to_dict()}
    gain |= dict(zip(("f1_low", "f1_high"), pooled_f1_interval(baseline, adaptive, patients), strict=True))
    rows.append(gain)
    patient_of = dict(zip(baseline["image_id"], patients, strict=True))
    for name, table in naive.items():
        rows.append(row_of(name, table, pooled_f1_interval(table, None, table["image_id"].map(patient_of))))
    overall = published[~published["row"].str.contains("image")]
    rows += [row | {"images": 40} for row in overall[["row", *PRINTED, "prevalence"]].to_dict("records")]
    return pd.DataFrame(rows)[["row", *names[:-1], *INTERVAL, *SPREADS, "mean_f1", "prevalence", "images"]]


def row_of(name: str, table: pd.DataFrame, f1_interval: tuple[float, float]) -> dict[Any, Any]:
    """One predictor: means over its seeds, how far they and the folds lie apart."""
    seeds = pd.DataFrame([flat_summary(rows) for _, rows in table.groupby("seed")])
    folds = [
        np.mean([flat_summary(rows)["f1"] for _, rows in fold.groupby("seed")]) for _, fold in table.groupby("fold")
    ]
    spread = (seeds["f1"].std(), pd.Series(folds).std())  # NaN for one
    rest = dict(zip((*INTERVAL, *SPREADS), (*f1_interval, *spread), strict=True))
    return {"row": name, **seeds.mean().to_dict(), **rest}


def flat_summary(table: pd.DataFrame) -> dict[str, float]:
    """Pooled metrics, mean F1, prevalence and number of images of one seed."""
    summary = summarise(table)
    scores = summary["pooled"] | {"mean_f1": summary["mean"]["f1"]}
    test_set = summary["test_set"]
    counted = {"prevalence": test_set["prevalence"], "images": test_set["images"]}
    return {key: np.nan if value is None else value for key, value in scores.items()} | counted


def runs_table(runs: dict[str, list[Evaluated]]) -> pd.DataFrame:
    """One row per training: variant, seed, fold, epoch kept, threshold, images, pooled metrics, mean F1, AUPRC."""
    rows = []
    for evaluated in runs.values():
        for item in evaluated:
            row = {
                **vars(item.run),
                "epoch": item.model["epoch"],
                "threshold": item.metrics["threshold"]["value"],
                "images": len(item.table),
                **{name: item.metrics["pooled"][name] for name in PRINTED},
                "mean_f1": item.metrics["mean"]["f1"],
                "auprc": item.metrics["auprc"],
            }
            rows.append(row)
    return pd.DataFrame(rows)


def subgroups(baseline: pd.DataFrame, adaptive: pd.DataFrame, facts: pd.DataFrame, patients: pd.Series) -> pd.DataFrame:
    """The comparison within sources, modalities, labels (the bone, where a source names it) and thirds of marked area.

    Args:
        baseline, adaptive, patients: as for `compare`.
        facts: columns source, modality and label, a row for each of theirs.
    Returns:
        columns subgroup, images, patients, baseline, adaptive (pooled F1), difference, low, high; no interval for fewer
        than 10 patients.
    """
    films = baseline.drop_duplicates("image_id").set_index("image_id")
    area = films["tp"] + films["fn"]
    size, marked = pd.Series("none", index=area.index), area > 0
    size[marked] = "any"
    if marked.sum() >= len(THIRDS):
        size[marked] = pd.qcut(area[marked].rank(method="first"), len(THIRDS), labels=THIRDS).astype(str)
    keys = {name: facts[name] for name in ("source", "modality", "label")} | {
        "fracture": baseline["image_id"].map(size)
    }
    rows = []
    for kind, values in keys.items():
        values = pd.Series(values.to_numpy())
        for value in sorted(values.unique()):
            chosen = (values == value).to_numpy()
            sides, units = [table[chosen] for table in (baseline, adaptive)], patients[chosen]
            scores = [row_of("", side, (np.nan, np.nan))["f1"] for side in sides]
            enough = units.nunique() >= FEW
            low, high = pooled_f1_interval(sides[0], sides[1], units) if enough else (math.nan, math.nan)
            rows.append(
                {
                    "subgroup": f"{kind}: {value or 'unknown'}",
                    "images": sides[0]["image_id"].nunique(),
                    "patients": units.nunique(),
                }
                | {"baseline": scores[0], "adaptive": scores[1], "difference": scores[1] - scores[0]}
                | {"low": low, "high": high}
            )
    return pd.DataFrame(rows)


def subgroup_cells(table: pd.DataFrame) -> list[list[str]]:
    """The subgroups as text, in the columns of SUBGROUP_HEAD, on the page and in the model card."""
    rows = []
    for row in table.to_dict("records"):
        numbers = ["too few"] * (len(VARIANTS) + 1)  # of a few patients they would be the largest and say the least
        if row["patients"] >= FEW:
            difference = span(row["difference"], row["low"], row["high"], "+.3f")
            numbers = [*(f"{row[name]:.3f}" for name in VARIANTS), difference]
        rows.append([row["subgroup"], str(row["images"]), str(row["patients"]), *numbers])
    return rows


def by_patient(baseline: pd.DataFrame, adaptive: pd.DataFrame, patients: pd.Series) -> pd.DataFrame:
    """Each patient's F1, the mean over films, and what adaptive gains.

    Args:
        baseline, adaptive: means over seeds of each film, in one order.
        patients: of each film.
    Returns:
        columns patient, films, baseline, adaptive, difference; the largest loss first.
    """
    f1 = pd.DataFrame({"baseline": baseline["f1"].to_numpy(), "adaptive": adaptive["f1"].to_numpy()})
    groups = f1.groupby(patients.to_numpy())
    table = groups.mean().assign(films=groups.size()).rename_axis("patient").reset_index()
    table["difference"] = table["adaptive"] - table["baseline"]
    columns = ["patient", "films", "baseline", "adaptive", "difference"]
    return table[columns].sort_values(["difference", "patient"], ignore_index=True)


def outcome(comparison: pd.DataFrame, paired: pd.DataFrame) -> Conclusion:
    """What may be said of adaptive and baseline.

    A claim needs both: an interval of the pooled F1's difference without 0, and a permutation test of the patients'
    mean F1 that agrees in sign at 5 %.
    """
    gain = comparison.set_index("row").loc[GAIN]
    test = paired.set_index("metric").loc["f1"]
    agrees = test["permutation"] < LEVEL and np.sign(test["difference"]) == np.sign(gain["f1"])
    if agrees and gain["f1_low"] > 0:
        return "beats"
    if agrees and gain["f1_high"] < 0:
        return "loses to"
    return UNDECIDED


def verdict(comparison: pd.DataFrame, paired: pd.DataFrame, seeds: int) -> str:
    """Whether adaptive beats baseline, as far as the numbers support it, unless neither network is of any use."""
    gain: Any = comparison.set_index("row").loc[GAIN]
    test: Any = paired.set_index("metric").loc["f1"]
    covered = "films" if seeds == 1 else f"films and of {seeds} seeds"
    interval = f"95 % interval over the choice of {covered} {gain['f1_low']:+.3f} to {gain['f1_high']:+.3f}"
    p = "undefined" if math.isnan(test["permutation"]) else f"p = {test['permutation']:.2g}"
    numbers = (
        f"F1 differs by {gain['f1']:+.3f}, {'no interval' if math.isnan(gain['f1_low']) else interval}; "
        f"permutation test over {test['patients']:.0f} patients: {p}"
    )
    # Training from another seed changes the difference as well, and can change its sign.
    caveat = " One seed: training variance is not estimated; train from several seeds." if seeds == 1 else ""
    useless = no_better_than_trivial(comparison)
    if len(useless) == len(VARIANTS):
        return " ".join([*useless, f"Their difference says nothing about the weights ({numbers}).{caveat}"])
    said = outcome(comparison, paired)
    further = [*useless, *(undecided(gain, test, seeds) if said == UNDECIDED else [])]
    return " ".join([f"On these films adaptive {said} baseline ({numbers}).", *further]) + caveat


def disagreement(gain: Any, test: Any) -> str:
    """Which of interval and permutation test claims no difference, or that they favour different networks.

    Args:
        gain: of the comparison, the row GAIN.
        test: of the paired statistics, the row of the F1.
    """
    leaves_out, significant = gain["f1_low"] > 0 or gain["f1_high"] < 0, test["permutation"] < LEVEL
    interval = "there is no interval" if math.isnan(gain["f1_low"]) else "the interval holds 0"
    if leaves_out and significant:
        return "all pixels together and the mean over patients favour different networks"
    if leaves_out:
        return "the interval leaves out 0, but the test over patients does not agree"
    if significant:
        return f"the test over patients finds a difference, but {interval}"
    found = "is undefined" if math.isnan(test["permutation"]) else "finds no difference"
    return f"{interval}, and the test over patients {found}"


def undecided(gain: Any, test: Any, seeds: int) -> list[str]:
    """Why no difference is claimed, and what would decide: how many patients, and that of seeds no number is known.

    The spread of a few seeds is too uncertain a ground for their number: of 3, the 95 % interval of a standard
    deviation reaches from half to six times the one that was found.

    Args:
        gain: of the comparison, the row GAIN.
        test: of the paired statistics, the row of the F1.
        seeds: that each network was trained from.
    """
    reason = disagreement(gain, test)
    sentences = [f"{reason[0].upper()}{reason[1:]}; a difference is claimed only where both agree."]
    share = (test["detectable"] / test["difference"]) ** 2 if test["difference"] else math.nan
    if math.isfinite(share):
        needed = max(math.ceil(test["patients"] * share), int(test["patients"]))
        count = f"about {needed:,}" if needed <= MANY else f"more than {MANY:,}"
        sentences.append(
            f"The patients' mean F1 differs by {test['difference']:+.3f}; to detect that with a power of 80 % takes "
            f"{count} patients."
        )
    if seeds > 1:  # what one seed lacks stands at the end of the verdict
        sentences.append(f"More seeds may decide as well; from {seeds}, their number cannot be told.")
    return sentences


def best_trivial(comparison: pd.DataFrame) -> Any:
    """The row of the predictor that costs nothing and has the highest pooled F1."""
    rows: Any = comparison[comparison["row"].isin(TRIVIAL_BASELINES)]
    return rows.loc[rows["f1"].idxmax()]


def no_better_than_trivial(comparison: pd.DataFrame) -> list[str]:
    """A sentence for each network whose pooled F1 does not exceed that of every predictor that costs nothing."""
    best = best_trivial(comparison)
    f1 = comparison.set_index("row")["f1"]
    return [
        f"{variant.capitalize()} has learnt nothing of use: its F1 of {f1[variant]:.3f} does not exceed the "
        f"{best['f1']:.3f} of '{best['row']}', which needs no training."
        for variant in VARIANTS
        if not f1[variant] > best["f1"]
    ]


def markdown(comparison: pd.DataFrame) -> str:
    """The comparison as Markdown with three decimals: what was measured here, then the paper's rows."""
    ours, papers = (
        pd.DataFrame(cells_of(rows), columns=HEAD).to_markdown(
            index=False, tablefmt=UNPADDED, stralign=None, disable_numparse=True
        )
        for rows in apart(comparison)
    )
    return f"{ours}\n\n{published_note(comparison)}:\n\n{papers}\n"


def latex(comparison: pd.DataFrame) -> str:
    """The comparison as a LaTeX tabular for the package booktabs; it goes into a table environment by \\input."""

    def typeset(text: object) -> str:
        return str(text).replace("–", "--").replace(" - ", " $-$ ")

    table = pd.DataFrame(cells_of(comparison), columns=HEAD)
    style = table.style.hide(axis="index").format(typeset, escape="latex").format_index(escape="latex", axis="columns")
    lines = str(style.to_latex(hrules=True, column_format="l" + "r" * (len(HEAD) - 1))).splitlines(keepends=True)
    first = lines.index("\\midrule\n") + 1 + len(apart(comparison)[0])
    note = published_note(comparison).replace("%", r"\%")
    lines[first:first] = ["\\midrule\n", f"\\multicolumn{{{len(HEAD)}}}{{l}}{{{note}}} \\\\\n"]
    return "".join(lines)


def apart(comparison: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The rows that were measured here, and the paper's, which stand last."""
    papers = comparison["row"].isin(PUBLISHED)
    return comparison[~papers], comparison[papers]


def predictors(comparison: pd.DataFrame) -> pd.DataFrame:
    """The rows that a chart can show side by side: scores on the same films, without the difference of two of them."""
    ours = apart(comparison)[0]
    return ours[ours["row"] != GAIN].reset_index(drop=True)


def published_note(comparison: pd.DataFrame) -> str:
    """With which rows the paper's do not compare: what stands above them in every table, without a full stop."""
    share = apart(comparison)[1]["prevalence"].iloc[-1]
    return (
        f"Published, for other films: some {100 * share:.0f} % of their pixels must have been labelled fracture; "
        "rows of another prevalence do not compare with these"
    )


def cells_of(comparison: pd.DataFrame) -> list[list[str]]:
    """The comparison as text, in the columns of HEAD."""
    rows = []
    for row in comparison.to_dict("records"):
        shown = "+.3f" if row["row"] == GAIN else ".3f"
        f1 = span(row["f1"], row["f1_low"], row["f1_high"], shown)
        names = ("precision", "recall", "iou", "mcc", "mean_f1", "accuracy")
        others = [*(number(row[name], shown) for name in names), number(row["prevalence"], ".3f")]
        rows.append([str(row["row"]), f1, *others, str(int(row["images"]))])
    return rows
