"""Evaluate: one trained model on the test films, each film by itself and all pixels pooled.

Run: python -m stages.evaluate adaptive     (dvc repro evaluate@adaptive)
"""

import sys
from pathlib import Path

import numpy as np
import torch

from stages.common.artifacts import new_folder, read_json, sha256, write_json, write_png, write_table
from stages.common.dataset import Films, load_films
from stages.common.errors import Fault
from stages.common.metrics import score_images, summarise
from stages.common.stage import run_stage
from stages.common.tracking import log_test_metrics
from stages.common.unet import load_model, probabilities
from stages.evaluate.curves import precision_recall
from stages.evaluate.params import Params
from stages.evaluate.pictures import outline, overlay


def main(
    settings: Params,
    variant: str = "",
    source: Path = Path("data/dataset"),
    models: Path = Path("models"),
    target: Path = Path("reports/evaluation"),
) -> str:
    if not variant or not (models / variant).is_dir():
        raise Fault(f"expected the name of a folder in {models} after `python -m stages.evaluate`, found {variant!r}")
    network = load_model(models / variant)
    description = read_json(models / variant / "model.json")
    torch.set_num_threads(description["machine"]["threads"])
    films = load_films(source, "test", description["unet"]["input"])
    predicted = probabilities(network, films.inputs)
    table = score_images(predicted, films.masks, settings.threshold)
    table.insert(0, "image_id", films.ids)
    summary = summarise(table)
    with new_folder(target / variant) as out:
        write_table(out / "per_image.csv", table)
        write_table(out / "precision_recall.csv", precision_recall(predicted, films.masks))
        write_json(out / "metrics.json", summary | {"threshold": settings.threshold})
        draw(out, films, predicted, settings.threshold)
    pooled, test_set = summary["pooled"], summary["test_set"]
    log_test_metrics(
        sha256(models / variant / "weights.safetensors"), {k: v for k, v in pooled.items() if v is not None}
    )
    return (
        f"{variant}: pooled F1 {pooled['f1']:.3f} on {test_set['images']} films at a prevalence of "
        f"{test_set['prevalence']:.2%} -> {target / variant}"
    )


def draw(out: Path, films: Films, predicted: np.ndarray, threshold: float) -> None:
    """Probability maps (8 bit), overlays with errors in colour, and the films with their labels."""
    for name, image, mask, chance in zip(films.ids, films.inputs[:, 0], films.masks, predicted, strict=True):
        write_png(out / "probability" / f"{name}.png", np.round(chance * 255).astype(np.uint8))
        write_png(out / "overlay" / f"{name}.png", overlay(image, mask_pred=chance >= threshold, mask_ref=mask))
        write_png(out / "label" / f"{name}.png", outline(image, mask))


if __name__ == "__main__":
    run_stage("evaluate", main, *sys.argv[1:])
