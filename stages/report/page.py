"""The page: everything that the paper shows, for our two models, in one HTML file that needs no network."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from stages.common.artifacts import read_json, read_png, read_table
from stages.report import figures
from stages.report.statistics import RESAMPLES
from stages.report.tables import FEW, HEAD, cells_of, number

SHOWN = ("accuracy", "precision", "recall", "f1")
VARIANTS = ("baseline", "adaptive")


def render(root: Path, results: dict[str, pd.DataFrame], tables: dict[str, pd.DataFrame], verdict: str) -> str:
    """The HTML of the report.

    Args:
        root: the folder that holds data/, models/ and reports/.
        results: comparison, statistics, subgroups and paper_audit.
        tables: per-image metrics of each variant.
        verdict: of `tables.verdict`.
    """
    comparison = results["comparison"]
    evaluations = {name: read_json(root / f"reports/evaluation/{name}/metrics.json") for name in VARIANTS}
    split = read_table(root / "data/dataset/split.csv")
    manifest = read_table(root / "data/raw/manifest.csv")
    models = {name: read_json(root / f"models/{name}/model.json") for name in VARIANTS}
    published = results["paper_audit"].set_index("row").loc["paper, adaptive weights"]
    count = split["split"].value_counts()
    page = Environment(loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined)
    return page.get_template("page.html").render(
        train=int(count["train"] + count["validation"]),
        validation=int(count["validation"]),
        test=int(count["test"]),
        synthetic=is_synthetic(manifest),
        verdict=verdict,
        head=HEAD,
        comparison=[{"kind": kind(cells[0]), "cells": cells} for cells in cells_of(comparison)],
        resamples=RESAMPLES,
        thresholds=", ".join(f"{name} {evaluations[name]['threshold']['value']:g}" for name in VARIANTS),
        origin=evaluations["baseline"]["threshold"]["from"],
        more={name: beyond_pixels(evaluation) for name, evaluation in evaluations.items()},
        statistics=paired_cells(results["statistics"]),
        subgroups=subgroup_cells(results["subgroups"]),
        audit=audit_cells(results["paper_audit"]),
        few=FEW,
        implied=f"{published['prevalence']:.0%}",
        implied_all=f"{published['everything_f1']:.3f}",
        recomputed=f"{published['f1_recomputed']:.4f}",
        charts=charts(root, float(comparison["prevalence"].iloc[0])),
        methods=[describe(name, models[name]["weights"]) for name in VARIANTS],
        select=models["adaptive"]["loop"]["select"],
        kept=", ".join(f"{name} epoch {models[name]['epoch']}" for name in VARIANTS),
        steps=steps(root, manifest, split),
        films=films(root, tables),
        sources=sources(manifest),
        checks=[
            f"{name}: {check['expectation']} ({check['rows']} rows)"
            for name in ("raw", "dataset")
            for check in read_json(root / f"data/{name}/validation.json")
        ],
    )


def describe(name: str, weights: dict[str, Any]) -> str:
    """How a model's loss was weighted, in words."""
    ends = {loss: f"{weights[loss]['start']:g} to {weights[loss]['end']:g}" for loss in ("alpha", "beta")}
    reading = weights["beta_reading"].replace("_", " ")
    about = {
        "fixed": f"fixed at alpha {weights['alpha']['start']:g}, beta {weights['beta']['start']:g}",
        "linear": f"linear (equation 3, beta {reading}), alpha {ends['alpha']}, beta {ends['beta']}",
    }
    return f"{name}: {about.get(weights['method'], weights['method'].replace('_', ' '))}"


def beyond_pixels(evaluation: dict[str, Any]) -> list[tuple[str, str]]:
    """What pixel metrics do not tell, in words and numbers."""
    found, outline, calibration = (evaluation[name] for name in ("detection", "boundary", "calibration"))
    of = f"of {found['fractures']}"

    def shown(value: float | None, style: str = ".3f", unit: str = "") -> str:
        return "–" if value is None else format(value, style) + unit

    return [
        ("AUPRC of all pixels", shown(evaluation["auprc"])),
        ("boxes met by a region, IoU at least 0.5", f"{found['found_iou']} {of}"),
        ("boxes with a region's centre in them", f"{found['found_centre']} {of}"),
        ("regions outside every box, per film", shown(found["false_regions_per_image"], ".2f")),
        ("films whose most probable pixel lies in a box", shown(found["pointing"], ".0%")),
        ("outline within tolerance (NSD), mean", shown(outline["nsd"])),
        ("95 % Hausdorff distance, mean, pixels", shown(outline["hd95_px"], ".1f")),
        ("the same in mm, where spacing is known", shown(outline["hd95_mm"], ".1f")),
        ("calibration error (ECE, 15 steps)", shown(calibration["ece"], ".4f")),
        ("Brier score", shown(calibration["brier"], ".4f")),
        ("films with both masks empty", str(evaluation["test_set"]["both_empty"])),
        ("films where only the prediction is empty", str(evaluation["test_set"]["only_prediction_empty"])),
        ("films where only the label is empty", str(evaluation["test_set"]["only_label_empty"])),
    ]


def span(row: dict[Any, Any]) -> str:
    """A difference with its interval, or a dash where there is none."""
    if np.isnan(row["low"]):
        return number(row["difference"], "+.3f")
    return f"{row['difference']:+.3f} ({row['low']:+.3f} to {row['high']:+.3f})"


def paired_cells(statistics: pd.DataFrame) -> list[list[str]]:
    styles = {"wilcoxon": ".2g", "permutation": ".2g", "holm": ".2g", "effect": "+.2f", "detectable": ".3f"}
    styles |= {"false_claim": ".2g", "patients": "d"}
    rows = statistics.to_dict("records")
    return [[row["metric"], span(row), *(number(row[name], style) for name, style in styles.items())] for row in rows]


def subgroup_cells(table: pd.DataFrame) -> list[list[str]]:
    rows = []
    for row in table.to_dict("records"):
        scores = (f"{row[name]:.3f}" for name in ("baseline", "adaptive"))
        rows.append([row["subgroup"], str(row["images"]), str(row["patients"]), *scores, span(row)])
    return rows


def audit_cells(table: pd.DataFrame) -> list[list[str]]:
    shown = (
        "accuracy",
        "f1",
        "f1_recomputed",
        "prevalence",
        "specificity",
        "mcc",
        "everything_accuracy",
        "everything_f1",
    )
    return [[row["row"], *(f"{row[name]:.3f}" for name in shown)] for row in table.to_dict("records")]


def is_synthetic(manifest: pd.DataFrame) -> bool:
    return bool(manifest["source"].str.startswith("sample").all())


def kind(row: str) -> str:
    """The CSS class of a row of the comparison."""
    return {"baseline": "ours", "adaptive": "ours", "adaptive - baseline": "ours gain"}.get(
        row, "published" if row.startswith("paper") else ""
    )


def charts(root: Path, prevalence: float) -> list[dict[str, str]]:
    """Figures 4 and 5 of the paper, the weights that were in force, validation Dice, precision and recall."""
    history = {name: read_table(root / f"models/{name}/history.csv") for name in VARIANTS}
    found = []
    for name, number_ in (("baseline", 4), ("adaptive", 5)):
        table = history[name]
        curves = {"train": table["train_loss"], "validation": table["validation_loss"]}
        title = f"Loss, {name} (figure {number_} of the paper)"
        found.append({"alt": title, "uri": figures.lines(title, "alpha Dice + beta BCE", curves, table["epoch"])})
    table = history["adaptive"]
    weights = {"alpha (Dice)": table["alpha"], "beta (BCE)": table["beta"]}
    title = "Weights of the adaptive loss"
    found.append({"alt": title, "uri": figures.lines(title, "weight", weights, table["epoch"])})
    dice = {name: history[name]["validation_dice"] for name in VARIANTS}
    title = "Mean Dice on the validation films"
    found.append({"alt": title, "uri": figures.lines(title, "Dice", dice, table["epoch"])})
    curves_pr = {name: read_table(root / f"reports/evaluation/{name}/precision_recall.csv") for name in VARIANTS}
    title = "Precision and recall of all test pixels"
    return [*found, {"alt": title, "uri": figures.precision_recall(curves_pr, prevalence)}]


def steps(root: Path, manifest: pd.DataFrame, split: pd.DataFrame) -> list[dict[str, str]]:
    """Figures 2 and 3 of the paper for the first test film with a fracture: original, cropped, levels, label."""
    fractured = split[(split["split"] == "test") & split["fracture"]]["image_id"]
    chosen = fractured.iloc[0] if len(fractured) else split[split["split"] == "test"]["image_id"].iloc[0]
    file = manifest.set_index("image_id").loc[chosen, "file"]
    pictures = (
        (root / "data/raw" / str(file), "original"),
        (root / f"data/preprocessed/images/{chosen}.png", "cropped and prepared (figure 3)"),
        (root / f"data/levels/images/{chosen}.png", "grey levels (figure 2)"),
        (root / f"reports/evaluation/baseline/label/{chosen}.png", "labelled"),
    )
    return [{"uri": figures.picture(read_png(path), 440), "caption": caption} for path, caption in pictures]


def films(root: Path, tables: dict[str, pd.DataFrame]) -> list[dict[str, Any]]:
    """Tables I and II of the paper: label, both predictions and their metrics for every test film."""
    rows = []
    for i, image_id in enumerate(tables["baseline"]["image_id"]):
        row = tables["baseline"].iloc[i]
        share = (row["tp"] + row["fn"]) / row[["tp", "fp", "fn", "tn"]].sum()
        sides = [
            {
                "name": name,
                "overlay": film_picture(root, name, "overlay", image_id),
                "cells": [number(float(table.iloc[i][metric]), ".3f") for metric in SHOWN],
            }
            for name, table in tables.items()
        ]
        label = film_picture(root, "baseline", "label", image_id)
        rows.append({"id": image_id, "share": f"{share:.1%}", "label": label, "sides": sides})
    return rows


def film_picture(root: Path, variant: str, what: str, image_id: str) -> str:
    pixels: np.ndarray = read_png(root / f"reports/evaluation/{variant}/{what}/{image_id}.png")
    return figures.picture(pixels)


def sources(manifest: pd.DataFrame) -> list[list[str]]:
    """Each source with its films, patients, fractured films and licence."""
    return [
        [
            str(name),
            str(len(rows)),
            str(rows["patient_id"].nunique()),
            str(int((rows["fractures"] > 0).sum())),
            str(licence),
        ]
        for (name, licence), rows in manifest.groupby(["source", "licence"])
    ]
