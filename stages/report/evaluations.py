"""What the runs that params.yaml asks for have left: one table per variant, a row per film and seed."""

import shutil
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import pandas as pd

from stages.common.analysis.formatting import machine_in_words
from stages.common.core.errors import UserError
from stages.common.core.files import read_json
from stages.common.data.layout import EVALUATION, METRICS, MODELS, PREDICTED_MASK, VALIDATION
from stages.common.data.records import ModelRecord, TestMetrics, read_model_record
from stages.common.data.run_id import RUN_FOLDERS, VARIANTS, Run
from stages.common.data.tables import FROC, HISTORY, HOW_TO_FIX, PER_IMAGE, PRECISION_RECALL, RELIABILITY


@dataclass(frozen=True)
class Evaluated:
    """A run with what training and evaluation wrote about it."""

    run: Run
    table: pd.DataFrame  # per_image.csv
    metrics: TestMetrics
    model: ModelRecord
    history: pd.DataFrame
    precision_recall: pd.DataFrame
    reliability: pd.DataFrame
    froc: pd.DataFrame


def read_runs(root: Path, seeds: list[int], folds: list[int]) -> dict[str, list[Evaluated]]:
    """Every run of both variants, by seed and fold.

    Raises:
        UserError: a run is missing, or the two variants were not scored on the same films.
    """
    by_variant = {name: [read_run(root, Run(name, *pair)) for pair in product(seeds, folds)] for name in VARIANTS}
    for pair in zip(*by_variant.values(), strict=True):
        if len({tuple(item.table["image_id"]) for item in pair}) > 1:
            names = " and ".join(str(item.run) for item in pair)
            raise UserError(f"{EVALUATION}: expected {names} on the same films, found others; run `dvc repro`")
    return by_variant


def methods_of(runs: dict[str, list[Evaluated]]) -> dict[str, str]:
    """The weighting of each variant's losses; params.yaml gives one to all runs of a variant."""
    return {name: of_variant[0].model["weights"]["method"] for name, of_variant in runs.items()}


def machines_of(runs: dict[str, list[Evaluated]]) -> str:
    """What computed the trainings and the probabilities of test films; several where runs differ."""
    items = [item for of_variant in runs.values() for item in of_variant]
    return "; others on ".join(
        sorted({machine_in_words(item.model["machine"], item.metrics["device"]) for item in items})
    )


def read_run(root: Path, run: Run) -> Evaluated:
    """What training and evaluation wrote about a run.

    Raises:
        UserError: some of it is missing, or a table was cut.
    """
    model, scores = root / MODELS / run.folder, root / EVALUATION / run.folder
    record, history = read_model_record(model), HISTORY.read(model)
    epochs = record["loop"]["epochs"]
    if list(history["epoch"]) != list(range(1, epochs + 1)):
        raise UserError(
            f"{model / HISTORY.name}: expected the epochs 1 to {epochs}, found {len(history)} rows; {HOW_TO_FIX}"
        )
    return Evaluated(
        run,
        PER_IMAGE.read_films(scores, PREDICTED_MASK),
        read_json(scores / METRICS),
        record,
        history,
        PRECISION_RECALL.read(scores),
        RELIABILITY.read(scores),
        FROC.read(scores),
    )


def together(runs: list[Evaluated]) -> pd.DataFrame:
    """The films of all runs of a variant, with columns seed and fold; films stand in one order for each seed."""
    tables = [item.table.assign(seed=item.run.seed, fold=item.run.fold) for item in runs]
    return pd.concat(tables, ignore_index=True)


def remove_leftovers(root: Path, seeds: list[int], folds: list[int]) -> None:
    """Remove runs that params.yaml no longer asks for; DVC's cache keeps them.

    They are outputs of stages that are no more, and DVC would count them among this stage's inputs, so that its lock
    would differ from that of a fresh clone.
    """
    asked = [Run(name, *pair) for name in VARIANTS for pair in product(seeds, folds)]
    folders, names = {run.folder for run in asked}, {str(run) for run in asked}
    for parent in (root / MODELS, root / EVALUATION):
        for folder in sorted(parent.glob(RUN_FOLDERS)):
            if folder.relative_to(parent) not in folders:
                shutil.rmtree(folder)
    for name in VARIANTS:
        for record in (root / VALIDATION).glob(f"{name}-*-*.json"):
            if record.stem not in names:
                record.unlink()
