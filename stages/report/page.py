"""The page: everything that the paper shows, for our two models, in one HTML file that needs no network."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from stages.common.artifacts import read_json, read_png, read_table
from stages.report import figures
from stages.report.published import PUBLISHED, everything_f1, implied_prevalence
from stages.report.tables import HEAD, RESAMPLES, cells_of, number, verdict

SHOWN = ("accuracy", "precision", "recall", "f1")
VARIANTS = ("baseline", "adaptive")


def render(root: Path, comparison: pd.DataFrame, tables: dict[str, pd.DataFrame]) -> str:
    """The HTML of the report.

    Args:
        root: the folder that holds data/, models/ and reports/.
        comparison: of `tables.compare`.
        tables: per-image metrics of each variant.
    """
    split = read_table(root / "data/dataset/split.csv")
    manifest = read_table(root / "data/raw/manifest.csv")
    models = {name: read_json(root / f"models/{name}/model.json") for name in VARIANTS}
    printed = PUBLISHED["paper, adaptive weights"]
    prevalence = implied_prevalence(printed["accuracy"], printed["precision"], printed["recall"])
    precision, recall = printed["precision"], printed["recall"]
    count = split["split"].value_counts()
    page = Environment(loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined)
    return page.get_template("page.html").render(
        train=int(count["train"] + count["validation"]),
        validation=int(count["validation"]),
        test=int(count["test"]),
        synthetic=is_synthetic(manifest),
        verdict=verdict(comparison),
        head=HEAD,
        comparison=[{"kind": kind(cells[0]), "cells": cells} for cells in cells_of(comparison)],
        resamples=RESAMPLES,
        threshold=read_json(root / "reports/evaluation/baseline/metrics.json")["threshold"],
        implied=f"{prevalence:.0%}",
        implied_all=f"{everything_f1(prevalence):.3f}",
        recomputed=f"{2 * precision * recall / (precision + recall):.4f}",
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
