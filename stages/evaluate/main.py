"""Evaluate: one trained model on the test films, each film by itself and all pixels pooled.

Run: python -m stages.evaluate adaptive 1 1     (dvc repro evaluate@adaptive-1-1: seed 1, fold 1)
"""

import math
from concurrent.futures import ThreadPoolExecutor
from functools import partial, reduce
from operator import add
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import nn
from tqdm import tqdm

from stages.common.core.arithmetic import require_pinned
from stages.common.core.busy import busy
from stages.common.core.errors import UserError
from stages.common.core.files import new_folder, write_json, write_png
from stages.common.core.hashing import sha256
from stages.common.core.parallel import count_workers
from stages.common.data.dataset import Films, load_films
from stages.common.data.layout import (
    DATASET,
    EVALUATION,
    METRICS,
    MODELS,
    PREDICTED_MASK,
    PROBABILITY,
    WEIGHTS,
    Side,
    map_file,
)
from stages.common.data.records import DetectionSummary, ImageLevelSummary, TestMetrics, read_model_record
from stages.common.data.rows import SplitRow
from stages.common.data.run_id import Run
from stages.common.data.shapes import read_points
from stages.common.data.tables import FROC, PER_IMAGE, PRECISION_RECALL, RELIABILITY, SPLIT
from stages.common.model.calibration import mean_probabilities
from stages.common.model.devices import device_name, explain_gpu_errors, lock_one_device, to_gpu
from stages.common.model.metrics import defined, score_images, summarise
from stages.common.model.network import load_model, predict_logits
from stages.evaluate.boundary import boundary
from stages.evaluate.calibration_error import brier, calibration_error, reliability
from stages.evaluate.curves import (
    Levels,
    average_precision,
    best_temperature,
    best_threshold,
    levels_of,
    precision_recall,
)
from stages.evaluate.detection import detection, froc, marks_of
from stages.evaluate.image_level import fit_calibration, summarise_films
from stages.evaluate.params import Params

TESTED: tuple[Side, ...] = ("test", "validation")
ON_CPU = "evaluate.accelerator: cpu"


def main(
    settings: Params,
    variant: str,
    seed: int = 1,
    fold: int = 1,
    *,
    source: Path = DATASET,
    models: Path = MODELS,
    target: Path = EVALUATION,
) -> str:
    """Score one network on the test films and write its folder.

    Args:
        settings: the section `evaluate`.
        variant: baseline or adaptive.
        seed: that it was trained from.
        fold: counted from 1.
        source: data/dataset.
        models: where the run has a folder.
        target: where it gets one.
    Returns:
        A line for the user.
    """
    require_pinned("evaluate")
    this = Run(variant, seed, fold)
    model, out_folder = models / this.folder, target / this.folder
    network = load_model(model)
    record = read_model_record(model)
    threads = record["machine"]["threads"]
    torch.set_num_threads(threads)
    films, validation = (load_films(source, side, record["network"]["input"], this.fold) for side in TESTED)
    with (
        explain_gpu_errors(f"evaluate {this}", ON_CPU),
        lock_one_device(settings.accelerator, threads) as device,
        busy(f"evaluate {this}: predicts"),
    ):
        if device.type == "cuda":
            to_gpu("evaluate", [network], device, threads, ON_CPU)
        temperature, threshold = calibrate(settings, network, validation)
        predicted = probabilities(network, temperature, films, settings.mirror)
        highest = probabilities(network, temperature, validation, settings.mirror).max(axis=(1, 2))
    rows = {row["image_id"]: row for row in SPLIT.rows(SPLIT.read(source))}
    facts, others = ([rows[image_id] for image_id in side.ids] for side in (films, validation))
    with busy(f"evaluate {this}: ranks pixels and regions"):
        levels = [levels_of(chances, mask) for chances, mask in zip(predicted, films.masks, strict=True)]
        marks = [marks_of(chances, boxes_of(fact)) for chances, fact in zip(predicted, facts, strict=True)]
    table = score(films, predicted, levels, threshold, settings.boundary_px, facts)
    pooled_levels = reduce(add, levels)
    diagram = reliability(pooled_levels)
    origin = "validation" if settings.threshold == "validation" else "params"
    summary: TestMetrics = {
        **summarise(table),
        "auprc": defined(average_precision(pooled_levels)),
        "boundary": {name: defined(float(table[name].mean())) for name in ("nsd", "hd95_px", "hd95_mm")},
        "detection": summarise_detection(table),
        "calibration": {"ece": calibration_error(diagram), "brier": float(table["brier"].mean())},
        "image_level": image_level(table, highest, others),
        "threshold": {"value": threshold, "from": origin},
        "temperature": {"value": temperature, "from": settings.temperature},
        "mirror": settings.mirror,
        "device": device_name(device),
    }
    with busy(f"evaluate {this}: writes its tables and maps"), new_folder(out_folder) as out:
        PER_IMAGE.write(out, table)
        PRECISION_RECALL.write(out, precision_recall(pooled_levels))
        RELIABILITY.write(out, diagram)
        FROC.write(out, froc(marks))
        write_json(out / METRICS, summary)
        write_maps(out, films.ids, predicted, threshold)
    from stages.common.model.tracking import log_test_metrics  # MLflow takes a second, and no film needs it

    pooled, test_set = summary["pooled"], summary["test_set"]
    known_metrics = {name: value for name, value in pooled.items() if value is not None}
    log_test_metrics(sha256(model / WEIGHTS), known_metrics)
    return (
        f"{this}: pooled F1 {pooled['f1']:.3f} on {test_set['images']} films at a prevalence of "
        f"{100 * test_set['prevalence']:.2f} % -> {out_folder}"
    )


def calibrate(settings: Params, network: nn.Module, validation: Films) -> tuple[float, float]:
    """Temperature and threshold, each as params.yaml says or as the validation films do.

    The temperature fits the network's logits of the films alone, the threshold what the test films get.

    Args:
        settings: which of the two they are.
        network: that was trained.
        validation: films of its fold.
    Raises:
        UserError: none of them has a fracture to choose a threshold by: every F1 would be 0 or undefined.
    """
    temperature, threshold = 1.0, settings.threshold
    if threshold == "validation" and not validation.masks.any():
        raise UserError(
            "evaluate.threshold: expected validation films with a fracture to choose it by, found none; write a "
            "number, or change annotate.split"
        )
    if settings.temperature == "validation":
        logits = predict_logits(network, validation.inputs)
        temperature = best_temperature(logits.numpy(), validation.masks)
    if threshold == "validation":
        predicted = probabilities(network, temperature, validation, settings.mirror)
        threshold = best_threshold(levels_of(predicted, validation.masks))
    return temperature, float(threshold)


def probabilities(network: nn.Module, temperature: float, films: Films, mirror: bool) -> np.ndarray:
    """Of fracture in every pixel of the films, float32 (N, H, W), as `predict` computes them."""
    return mean_probabilities([partial(predict_logits, network)], [temperature], films.inputs, mirror)


def score(
    films: Films,
    predicted: np.ndarray,
    levels: list[Levels],
    threshold: float,
    tolerance: float,
    facts: list[SplitRow],
) -> pd.DataFrame:
    """One row per film: what `FilmScores` holds.

    Args:
        predicted: float32 (N, H, W).
        levels: of each film.
        tolerance: pixels, of the outline.
        facts: rows of split.csv in the order of the films.
    """
    rows = []
    tested = list(zip(predicted, films.masks, levels, facts, strict=True))
    for chances, mask, level, fact in tqdm(tested, desc="evaluate", disable=None, leave=False):
        known = not math.isnan(fact["row_mm"])
        spacing = (fact["row_mm"], fact["column_mm"]) if known else None
        outline = boundary(mask_pred=chances >= threshold, mask_ref=mask, tolerance=tolerance, spacing=spacing)
        detected = detection(chances, threshold, boxes_of(fact))
        whole = {"brier": brier(chances, mask), "probability_max": float(chances.max())}
        rows.append({"auprc": average_precision(level), **outline, **detected, **whole})
    table = pd.concat([score_images(predicted, films.masks, threshold), pd.DataFrame(rows)], axis=1)
    table.insert(0, "image_id", films.ids)
    return table


def boxes_of(fact: SplitRow) -> np.ndarray:
    """The boxes of a film's fractures on its grid, float (K, 4)."""
    return np.reshape(read_points(fact["boxes"]), (-1, 4)).astype(float)


def image_level(table: pd.DataFrame, highest: np.ndarray, validation: list[SplitRow]) -> ImageLevelSummary | None:
    """Whether the largest probability tells test films with a fracture from those without; None without such films.

    Args:
        table: of `score`.
        highest: the largest probability of each validation film, float (N,).
        validation: rows of split.csv of these films.
    """
    calibration = fit_calibration(highest, np.array([len(boxes_of(fact)) > 0 for fact in validation]))
    return summarise_films(table["probability_max"].to_numpy(), table["fractures"].to_numpy() > 0, calibration)


def summarise_detection(table: pd.DataFrame) -> DetectionSummary:
    """The fractures of all films, from the rows of `score`."""
    fractured = table["fractures"] > 0
    return {
        "fractures": int(table["fractures"].sum()),
        "found_iou": int(table["found_iou"].sum()),
        "found_centre": int(table["found_centre"].sum()),
        "false_regions_per_image": float(table["false_regions"].mean()),
        "pointing": defined(float(table.loc[fractured, "pointing"].mean())),
    }


def write_maps(out: Path, names: list[str], predicted: np.ndarray, threshold: float) -> None:
    """Probabilities (8 bit) and the masks that were scored, a picture per film.

    Args:
        out: the folder that becomes that of the evaluation.
        names: ids of the films.
        predicted: probabilities, float32 (N, H, W).
        threshold: from which on a pixel is marked.
    """

    def one(name: str, chances: np.ndarray) -> None:
        write_png(map_file(out, PROBABILITY, name), np.round(chances * 255).astype(np.uint8))
        write_png(map_file(out, PREDICTED_MASK, name), chances >= threshold)

    with ThreadPoolExecutor(count_workers()) as pool:  # compressing pictures leaves the interpreter to others
        list(pool.map(one, names, predicted))
