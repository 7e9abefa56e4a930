"""How a model's films are prepared and judged: read from dvc.lock for a run, from recipe.json for an export."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from pydantic import BaseModel, ValidationError

from stages.common.core.errors import UserError, error_list
from stages.common.core.files import need, read_json
from stages.common.core.params import Strict, section_errors
from stages.common.data.layout import EVALUATION, METRICS, MODELS, Input
from stages.common.data.records import ImageCalibration, ModelRecord, Reference, TestMetrics
from stages.ingest.params import CtWindow
from stages.ingest.params import Params as Ingest
from stages.preprocess.params import Params as Preprocess
from stages.threshold.params import Params as Threshold
from tools.audit.dvc_lock import LOCK, Stage, read_entries, read_stages

MODEL = "model.onnx"
RECIPE = "recipe.json"
Section = TypeVar("Section", bound=Strict)


@dataclass(frozen=True)
class Recipe:
    """All that decides a prediction beside the film and the weights.

    megapixels, file_mb: larger films and files are refused. temperatures: of each network. cut: the probability from
    which a pixel is marked; of several networks the mean. film_calibration: from the largest probability of a film to
    that of a fracture on it; None where evaluate could fit none, or for several networks. mirror: whether probabilities
    are means over a film and its mirror image. familiar: what the training films look like.
    """

    megapixels: int
    file_mb: int
    ct_window: CtWindow
    preprocess: Preprocess
    threshold: Threshold
    input: Input
    temperatures: list[float]
    cut: float
    film_calibration: ImageCalibration | None
    mirror: bool
    familiar: Reference

    def as_json(self) -> dict[str, Any]:
        """As recipe.json has it."""
        return {
            name: value.model_dump() if isinstance(value, BaseModel) else value for name, value in vars(self).items()
        }

    @property
    def sha256(self) -> str:
        return hashlib.sha256(json.dumps(self.as_json(), sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True)
class ExportRecord:
    """recipe.json. weights, onnx: the SHA-256 of the weights, and of model.onnx."""

    recipe: Recipe
    weights: str
    onnx: str
    output: str
    seed: int
    fold: int

    def as_json(self) -> dict[str, Any]:
        return vars(self) | {"recipe": self.recipe.as_json()}


def read_export(folder: Path) -> ExportRecord:
    """recipe.json in the folder of an export.

    Raises:
        UserError: it is missing, or another version of the project wrote it.
    """
    content = read_json(folder / RECIPE)
    try:
        recipe = content["recipe"]
        sections = {
            "ct_window": CtWindow.model_validate(recipe["ct_window"]),
            "preprocess": Preprocess.model_validate(recipe["preprocess"]),
            "threshold": Threshold.model_validate(recipe["threshold"]),
        }
        return ExportRecord(**content | {"recipe": Recipe(**recipe | sections)})
    except (KeyError, TypeError, ValidationError):
        raise UserError(f"{folder / RECIPE}: another version of this project wrote it; export it again") from None


def read_recipe(folders: list[Path], record: ModelRecord, root: Path) -> Recipe:
    """How the training films were prepared, from dvc.lock: params.yaml may have been changed since.

    Args:
        folders: of the runs whose networks are averaged.
        record: of the first of them.
        root: the repository.
    Raises:
        UserError: another version of the project ran a stage, or a run was not evaluated.
    """
    lock = read_stages(read_entries(need(root / LOCK).read_text()))
    ingest = ran_with(lock, "ingest", Ingest)
    runs = [folder.resolve().relative_to((root / MODELS).resolve()) for folder in folders]
    scores: list[TestMetrics] = [read_json(root / EVALUATION / run / METRICS) for run in runs]
    return Recipe(
        megapixels=ingest.limits.megapixels,
        file_mb=ingest.limits.file_mb,
        ct_window=ingest.ct_window,
        preprocess=ran_with(lock, "preprocess", Preprocess),
        threshold=ran_with(lock, "threshold", Threshold),
        input=record["network"]["input"],
        temperatures=[score["temperature"]["value"] for score in scores],
        cut=float(np.mean([score["threshold"]["value"] for score in scores])),
        film_calibration=calibration_of(scores),
        mirror=scores[0]["mirror"],
        familiar=record["familiar"],
    )


def calibration_of(scores: list[TestMetrics]) -> ImageCalibration | None:
    """The calibration of films that evaluate fitted for a network; None for several, whose mean it does not fit."""
    summary = scores[0]["image_level"]
    return summary["calibration"] if summary and len(scores) == 1 else None


def ran_with(lock: dict[str, Stage], stage: str, model: type[Section]) -> Section:
    """The section of params.yaml that a stage ran with; all keys, so that an export is whole.

    Args:
        lock: the stages of dvc.lock, by name.
        stage: its name.
        model: of its section.
    Raises:
        UserError: another version of the project ran the stage.
    """
    content = lock[stage].params[stage]
    if errors := section_errors(stage, model, content):
        raise error_list("dvc.lock: another version of the project made this model; run `dvc repro`", errors)
    return model.model_validate(content)
