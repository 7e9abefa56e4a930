"""The page: what the paper shows, for our two models, and what it leaves out; it needs no network."""

from collections.abc import Container
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from ruamel.yaml import YAML
from ruamel.yaml.compat import StringIO

from stages.common.analysis import figures
from stages.common.analysis import overlays as pictures
from stages.common.analysis.formatting import number, span
from stages.common.analysis.statistics import RESAMPLES
from stages.common.analysis.templates import page_templates
from stages.common.core.files import read_json, read_png
from stages.common.core.markdown import without_escapes
from stages.common.core.validation import HeldExpectation
from stages.common.data.layout import (
    CHECKS,
    DATASET,
    LEVELS,
    PREPROCESSED,
    QUALITY,
    RAW,
    image_file,
)
from stages.common.data.run_id import VARIANTS
from stages.common.data.tables import QUARANTINE
from stages.recipes import recipe_name
from stages.report import image_level
from stages.report.evaluations import Evaluated, machines_of, methods_of
from stages.report.films import TestFilms, cards, to_mail
from stages.report.first_screen import first_screen
from stages.report.public_params import public_params
from stages.report.published import PUBLISHED
from stages.report.sides import sides_of
from stages.report.tables import FEW, GAIN, HEAD, SUBGROUP_HEAD, cells_of, name_of, published_note, subgroup_cells

# Dice or IoU of fracture masks on whole films, by others who publish code or data (FracAtlas: Abedeen et al. 2023).
REFERENCES = (
    (
        "U-Net, 256 pixels, 0.3 BCE + 0.7 Dice",
        "FracAtlas, fractured test films",
        "Dice 0.351",
        "github.com/maxrusse/xray_fracture_benchmark",
    ),
    ("DeepLab with two heads, flips at test time", "the same", "Dice 0.384", "the same"),
    (
        "DeepLabV3-MobileNetV3, 1024 pixels",
        "FracAtlas, 61 test films",
        "Dice 0.377, accuracy 0.997",
        "github.com/Samar-git-hub/DeepLabV3-FracAtlas",
    ),
    (
        "two annotations of one film",
        "FracAtlas, 28 pairs",
        "Dice 0.69 (0.62 to 0.77)",
        "its annotations, compared by us",
    ),
)


def render(films: TestFilms, facts: dict[str, Any]) -> tuple[str, str]:
    """The HTML of the page beside PAGE_FILMS, which are written, and of the page in one file.

    Args:
        films: that were tested.
        facts: of `contents`.
    """
    shown, template = cards(films), page_templates(Path(__file__).parent).get_template("page.html")
    few, scripts = to_mail(films, shown)
    return (
        template.render(facts, films=shown, mailed=False, scripts=""),
        template.render(facts, films=few, mailed=True, scripts=scripts),
    )


def contents(
    films: TestFilms,
    runs: dict[str, list[Evaluated]],
    results: dict[str, pd.DataFrame],
    verdict: str,
    params: dict[str, Any],
) -> dict[str, Any]:
    """What both pages have: all but the films.

    Args:
        films: that were tested.
        runs: of each variant, by seed and fold.
        results: the tables of the report by the names of their files.
        verdict: of `tables.verdict`.
        params: the whole of params.yaml.
    """
    root, split, manifest = films.root, films.split, films.manifest
    comparison, statistics = results["comparison"], results["statistics"]
    published = results["paper_audit"].set_index("row").loc["paper, adaptive weights"]
    first, single = runs["adaptive"][0], len(runs["adaptive"]) == 1
    answer, stop, why = verdict.partition(". ")
    thresholds = {name: {item.metrics["threshold"]["value"] for item in evaluated} for name, evaluated in runs.items()}
    return {
        "sides": sides_of(split, params["evaluate"]["folds"]),
        "seeds": params["train"]["seeds"],
        "folds": params["evaluate"]["folds"],
        "answer": answer + stop.strip(),
        "why": why,
        "question": question(methods_of(runs)),
        "head": HEAD,
        "published_note": published_note(comparison),
        "first_screen": first_screen(comparison),
        "comparison": [{"kind": kind(cells[0]), "cells": cells} for cells in cells_of(comparison)],
        "spreads": [(name, *spread(comparison, name)) for name in VARIANTS],
        "runs": runs_cells(results["runs"]),
        "ranking": ranking_cells(results["ranking"]),
        "tau": f"{results['ranking']['tau'].iloc[0]:.2f}",
        "resamples": f"{RESAMPLES:,}",
        "thresholds": "; ".join(
            f"{name} {', '.join(f'{t:g}' for t in sorted(evaluated))}" for name, evaluated in thresholds.items()
        ),
        "origin": first.metrics["threshold"]["from"],
        "more": beyond_pixels(runs, params["evaluate"]["boundary_px"]),
        "image_level": image_level.shown(results["image_level"], runs),
        "statistics": paired_cells(statistics),
        "subgroup_head": SUBGROUP_HEAD,
        "subgroups": subgroup_cells(results["subgroups"]),
        "claims": results["claims"].to_dict("records"),
        "audit": audit_cells(results["paper_audit"]),
        "few": FEW,
        "references": REFERENCES,
        "implied": f"{100 * published['prevalence']:.0f} %",
        "implied_all": f"{published['everything_f1']:.3f}",
        "recomputed": f"{published['f1_recomputed']:.4f}",
        "charts": charts(runs, results),
        "methods": [weighting_sentence(name, runs[name][0].model["weights"]) for name in VARIANTS],
        "architecture": first.model["network"]["architecture"],
        "select": first.model["loop"]["select"],
        "steps": steps(films, step_names(params)),
        "shown_seed": None if single else first.run.seed,
        "sources": sources(manifest),
        "refused": int(QUARANTINE.read(root / RAW)["file"].nunique()),
        "kin": int(manifest.groupby("group")["patient_id"].nunique().gt(1).sum()),
        "quality": without_escapes((root / QUALITY).read_text()),
        "checks": checks(root),
        "copy_bits": params["ingest"]["near_duplicate_bits"],
        "machines": machines_of(runs),
        "params": as_yaml(public_params(params)),
        "recipe": recipe_name(params),
        "size": params["preprocess"]["size"],
    }


def as_yaml(params: dict[str, Any]) -> str:
    buffer = StringIO()
    YAML().dump(params, buffer)
    return str(buffer.getvalue())


def weighting_sentence(name: str, weights: dict[str, Any]) -> str:
    """How a model's loss was weighted, in words; `weights` as model.json has them."""
    if weights["method"] == "fixed":
        return f"{name}: fixed at alpha {weights['alpha']:g}, beta {weights['beta']:g}"
    if weights["method"] == "linear":
        alpha, beta = (f"{weights[loss]['start']:g} to {weights[loss]['end']:g}" for loss in ("alpha", "beta"))
        reading = weights["beta_reading"].replace("_", " ")
        scaled = ", divided by their sum" if weights["normalise"] else ""
        return f"{name}: linear (equation 3, beta {reading}), alpha {alpha}, beta {beta}{scaled}"
    return f"{name}: {weights['method'].replace('_', ' ')}"


def question(methods: dict[str, str]) -> str:
    """What the page answers: the paper's question, where the networks are its fixed and its adaptive one.

    Args:
        methods: of `methods_of`.
    """
    if methods["baseline"] == "fixed" != methods["adaptive"]:
        return "Do adaptive weights of Dice and BCE segment wrist fractures better than fixed ones?"
    one, other = (methods[name].replace("_", " ") for name in ("adaptive", "baseline"))
    return f"Do the weights of `adaptive` ({one}) segment wrist fractures better than those of `baseline` ({other})?"


def spread(comparison: pd.DataFrame, name: str) -> tuple[str, str]:
    row: Any = comparison.set_index("row").loc[name]
    return number(row["f1_seed_sd"], ".3f"), number(row["f1_fold_sd"], ".3f")


def beyond_pixels(runs: dict[str, list[Evaluated]], boundary_px: float) -> list[tuple[str, str, str]]:
    """What pixel metrics do not tell, in words and numbers, for baseline and adaptive: means over runs.

    Args:
        runs: of each variant.
        boundary_px: of params.yaml, pixels.
    """
    rows = [
        ("AUPRC of all pixels", "auprc", ".3f"),
        ("annotated boxes", "detection.fractures", "g"),
        ("boxes met by a region, IoU at least 0.5", "detection.found_iou", "g"),
        ("boxes with a region's centre in them", "detection.found_centre", "g"),
        ("regions outside every box, per film", "detection.false_regions_per_image", ".2f"),
        ("share of films whose most probable pixel lies in a box", "detection.pointing", ".2f"),
        (f"outline within {boundary_px:g} pixels (NSD), mean", "boundary.nsd", ".3f"),
        ("95 % Hausdorff distance, mean, pixels", "boundary.hd95_px", ".1f"),
        ("the same in mm, where spacing is known", "boundary.hd95_mm", ".1f"),
        ("calibration error (ECE, 15 steps)", "calibration.ece", ".4f"),
        ("Brier score", "calibration.brier", ".4f"),
        ("films with both masks empty", "test_set.both_empty", "g"),
        ("films where only the prediction is empty", "test_set.only_prediction_empty", "g"),
        ("films where only the label is empty", "test_set.only_label_empty", "g"),
    ]
    return [(label, *(mean_of(runs[name], key, style) for name in VARIANTS)) for label, key, style in rows]  # type: ignore[misc]


def mean_of(evaluated: list[Evaluated], key: str, style: str) -> str:
    """The mean over runs of one entry of metrics.json, as text; runs in which it is undefined are left out."""
    values = []
    for item in evaluated:
        value: Any = item.metrics
        for part in key.split("."):
            value = value[part]
        values.append(np.nan if value is None else float(value))
    defined = [value for value in values if not np.isnan(value)]
    return number(float(np.mean(defined)), style) if defined else "–"


def paired_cells(statistics: pd.DataFrame) -> list[list[str]]:
    styles = {"wilcoxon": ".2g", "permutation": ".2g", "holm": ".2g", "effect": "+.2f", "detectable": ".4f"}
    styles |= {"false_claim": ".2g", "patients": "d"}
    rows = statistics.to_dict("records")
    return [
        [
            name_of(row["metric"]),
            span(row["difference"], row["low"], row["high"], "+.4f"),
            *(number(row[name], style) for name, style in styles.items()),
        ]
        for row in rows
    ]


def runs_cells(table: pd.DataFrame) -> list[list[str]]:
    facts, scores = ("variant", "seed", "fold", "epoch", "images"), ("precision", "recall", "f1", "mean_f1", "auprc")
    rows = table.to_dict("records")
    return [
        [*(str(row[k]) for k in facts), *(number(np.nan if row[k] is None else float(row[k]), ".3f") for k in scores)]
        for row in rows
    ]


def ranking_cells(table: pd.DataFrame) -> list[list[str]]:
    return [
        [row["row"], f"{row['rank']:g}", f"{row['rank_low']:g} to {row['rank_high']:g}", f"{100 * row['first']:.0f} %"]
        for row in table.to_dict("records")
    ]


def audit_cells(table: pd.DataFrame) -> list[list[str]]:
    shown = [
        "accuracy",
        "f1",
        "f1_recomputed",
        "prevalence",
        "specificity",
        "mcc",
        "everything_accuracy",
        "everything_f1",
    ]
    return [[row["row"], *(f"{row[name]:.3f}" for name in shown)] for row in table.to_dict("records")]


def kind(row: str) -> str:
    """The CSS class of a row of the comparison."""
    return {"baseline": "ours", "adaptive": "ours", GAIN: "ours gain"}.get(row, "published" if row in PUBLISHED else "")


def charts(runs: dict[str, list[Evaluated]], results: dict[str, pd.DataFrame]) -> dict[str, list[dict[str, str]]]:
    """Figures 4 and 5 of the paper, the weights that were in force, validation Dice; and those of the test set."""

    def history(name: str, column: str) -> list[tuple[pd.Series, pd.Series]]:
        return [(item.history["epoch"], item.history[column]) for item in runs[name]]

    training = [
        figures.lines(
            f"Loss, {name} (figure {figure} of the paper)",
            "alpha Dice + beta BCE",
            {"train": history(name, "train_loss"), "validation": history(name, "validation_loss")},
        )
        for name, figure in (("baseline", 4), ("adaptive", 5))
    ]
    weights = {"alpha (Dice)": history("adaptive", "alpha")[:1], "beta (BCE)": history("adaptive", "beta")[:1]}
    training.append(figures.lines("Weights of the adaptive loss", "weight", weights))
    dice = {name: history(name, "validation_dice") for name in VARIANTS}
    training.append(figures.lines("Mean Dice on the validation films", "Dice", dice))
    gains = results["patients"]["difference"]
    prevalence = float(results["comparison"]["prevalence"].iloc[0])
    test = [
        figures.differences(gains.to_numpy(), float(gains.mean())),
        figures.precision_recall(
            {name: [r.precision_recall for r in evaluated] for name, evaluated in runs.items()}, prevalence
        ),
        figures.calibration({name: [r.reliability for r in evaluated] for name, evaluated in runs.items()}),
    ]
    if not results["image_level"].empty:
        test.append(figures.froc({name: [r.froc for r in evaluated] for name, evaluated in runs.items()}))
    return {"training": training, "test": test}


def steps(films: TestFilms, names: Container[str]) -> list[dict[str, str]]:
    """Figures 2 and 3 of the paper for the first test film with a fracture: original, cropped, levels.

    Args:
        films: that were tested.
        names: of the steps of preprocess.
    """
    tested = films.split.loc[films.split["image_id"].isin(films.ids)]
    chosen = str(tested.sort_values("fracture", ascending=False, kind="stable")["image_id"].iloc[0])
    prepared, levels = (read_png(image_file(films.root / folder, chosen)) for folder in (PREPROCESSED, LEVELS))
    return [
        {"uri": pictures.picture(films.original(chosen), 440), "caption": "original"},
        {
            "uri": pictures.picture(prepared, 440),
            "caption": "cropped and prepared (figure 3)" if "crop" in names else "prepared",
        },
        {"uri": pictures.levels_picture(levels), "caption": "grey levels (figure 2)"},
    ]


def step_names(params: dict[str, Any]) -> list[str]:
    """The steps of preprocess, in their order; an entry of params.yaml may be a name alone.

    Args:
        params: the whole of params.yaml.
    """
    return [step if isinstance(step, str) else step["step"] for step in params["preprocess"]["steps"]]


def checks(root: Path) -> list[str]:
    """The expectations that hold of the data, one sentence each."""
    held: dict[str, list[HeldExpectation]] = {
        folder.name: read_json(root / folder / CHECKS) for folder in (RAW, DATASET)
    }
    return [
        f"{name}: {check['expectation']} ({check['rows']} rows)" for name, checks in held.items() for check in checks
    ]


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
