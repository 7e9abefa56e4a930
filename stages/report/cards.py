"""The model card (after Mitchell et al. 2019) and data sheet (after Gebru et al. 2021), filled from what was run."""

from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from stages.common.core.files import write_text
from stages.common.core.hashing import sha256
from stages.common.core.markdown import plain
from stages.common.data.layout import DATASET, DATASHEET, MODEL_CARD, MODELS, RAW, WEIGHTS, fold_column
from stages.common.data.run_id import VARIANTS
from stages.common.data.tables import MANIFEST, QUARANTINE, SPLIT, is_synthetic
from stages.recipes import recipe_name
from stages.report import image_level
from stages.report.evaluations import Evaluated, machines_of, methods_of
from stages.report.page import beyond_pixels, checks, sources, step_names
from stages.report.sides import sides_of
from stages.report.tables import FEW, SUBGROUP_HEAD, markdown, subgroup_cells

# Of the comparison: what Hugging Face calls them (the names of its library `evaluate`), and what people do.
HUGGING_FACE = {
    "f1": ("f1", "F1"),
    "precision": ("precision", "precision"),
    "recall": ("recall", "recall"),
    "mcc": ("matthews_correlation", "MCC"),
}


def write_cards(
    root: Path, runs: dict[str, list[Evaluated]], results: dict[str, pd.DataFrame], verdict: str, params: dict[str, Any]
) -> None:
    """Write the model card and the data sheet.

    Args:
        root: the folder that holds data/, models/ and reports/.
        runs: of each variant, by seed and fold.
        results: the tables of the report by the names of their files.
        verdict: of `tables.verdict`.
        params: the whole of params.yaml.
    """
    templates = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        undefined=StrictUndefined,
        finalize=lambda value: plain(value) if isinstance(value, str) and not hasattr(value, "__html__") else value,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    manifest = MANIFEST.read(root / RAW)
    split = SPLIT.read(root / DATASET)
    first, folds = runs["adaptive"][0], params["evaluate"]["folds"]
    used = (split[[fold_column(fold) for fold in folds]] != "unused").any(axis="columns")
    sides = sides_of(split, folds)
    shared = {
        "synthetic": int(is_synthetic(manifest).sum()),
        "sources": sources(manifest),
        "params": params,
        "sides": sides,
        "folds": len(folds),
        "patients": int(split["group"].nunique()),
        "prevalence": float(split.loc[used, "prevalence"].mean()),
        "tested_prevalence": float(results["comparison"]["prevalence"].iloc[0]),
    }
    card = templates.get_template("model_card.md").render(
        shared,
        verdict=verdict,
        comparison=markdown(results["comparison"]),
        scores=hugging_face_scores(results["comparison"]),
        dataset=" and ".join(sides.tested),
        runs=sum(map(len, runs.values())),
        subgroup_head=SUBGROUP_HEAD,
        subgroups=subgroup_cells(results["subgroups"]),
        few=FEW,
        more=beyond_pixels(runs, params["evaluate"]["boundary_px"]),
        image_level=image_level.shown(results["image_level"], runs),
        model=first.model,
        only_mit=licences_behind(manifest[~is_synthetic(manifest)], runs) <= {"MIT"},  # that of this project's sample
        pretrained=any(item.model["pretrained"] for of_variant in runs.values() for item in of_variant),
        machines=machines_of(runs),
        recipe=recipe_name(params),
        methods=methods_of(runs),
        weights=[
            {"name": str(item.run.folder), "sha256": sha256(root / MODELS / item.run.folder / WEIGHTS)}
            for of_variant in runs.values()
            for item in of_variant
        ],
    )
    sheet = templates.get_template("datasheet.md").render(
        shared,
        modalities=manifest["modality"].value_counts().sort_index().to_dict(),
        sizes={side: (int(manifest[side].min()), int(manifest[side].max())) for side in ("width", "height")},
        bits=sorted(int(bits) for bits in manifest["bits"].unique()),
        spacing=int(((manifest["pixel_spacing_mm"] != "") | (manifest["imager_pixel_spacing_mm"] != "")).sum()),
        fractures=int(manifest["fractures"].sum()),
        count=len(manifest),
        refused=int(QUARANTINE.read(root / RAW)["file"].nunique()),
        checks=checks(root),
        steps=step_names(params),
        digest=sha256(root / RAW / MANIFEST.name),
    )
    write_text(root / MODEL_CARD, card)
    write_text(root / DATASHEET, sheet)


def licences_behind(manifest: pd.DataFrame, runs: dict[str, list[Evaluated]]) -> set[str]:
    """The licences of the films, and of the weights from which encoders started."""
    started = [item.model["pretrained"] for of_variant in runs.values() for item in of_variant]
    return {*manifest["licence"], *(weights["licence"] for weights in started if weights)}


def hugging_face_scores(comparison: pd.DataFrame) -> list[dict[str, Any]]:
    """The scores of both models for `model-index` in the model card's header, which Hugging Face reads."""
    rows = comparison.set_index("row").to_dict("index")
    return [
        {"type": kind, "name": f"{name} of all test pixels, {variant}", "value": float(rows[variant][metric])}
        for variant in VARIANTS
        for metric, (kind, name) in HUGGING_FACE.items()
        if pd.notna(rows[variant][metric])
    ]
