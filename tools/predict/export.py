"""A trained network as ONNX, with the recipe that its films go through; it runs without torch."""

import logging
import warnings
from pathlib import Path

import numpy as np
import torch
from torch import nn

from stages.common.core.busy import busy
from stages.common.core.errors import UserError
from stages.common.core.files import new_folder, read_json, write_json
from stages.common.core.hashing import sha256
from stages.common.data.dataset import load_films
from stages.common.data.layout import DATASET
from stages.common.data.records import read_model_record
from stages.common.model.network import load_model
from tools.predict.model import ONNX_INPUT, ONNX_OUTPUT, from_onnx, from_runs, run_folders
from tools.predict.own_files import require_own_folder
from tools.predict.recipe import MODEL, RECIPE, ExportRecord

TOLERANCE = 1e-4  # of a probability, on the films that the network was tested on


class OneLogit(nn.Module):
    """Films float32 (N, C, S, S) in -1..1 to logits float32 (N, S, S), without the axis of the one class."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, film: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.network(film)
        return logits[:, 0]


def export_model(name: str, target: Path) -> None:
    """Export a model by its name (baseline, adaptive or a run below models/) and compare it on its test films.

    Raises:
        UserError: of `run_folders` and `export`.
    """
    folder = run_folders(name, Path())[0]
    record = read_model_record(folder)
    films = load_films(DATASET, "test", record["network"]["input"], record["fold"])
    with busy("export: writes ONNX and compares it with torch"):
        difference = export(folder, target, films.inputs)
    size = (target / MODEL).stat().st_size / 1e6
    print(
        f"export: {size:.0f} MB, probabilities within {difference:.1g} of torch on {len(films.ids)} test films "
        f"(allowed {TOLERANCE:g}) -> {target}"
    )


def export(folder: Path, target: Path, films: np.ndarray, root: Path = Path()) -> float:
    """Write model.onnx and recipe.json; returns the largest difference of a probability to torch on `films`.

    Args:
        folder: a run below models/.
        films: uint8 (N, C, S, S), to compare on.
    Raises:
        UserError: the two differ by more than TOLERANCE, or of `require_own_export`; nothing is written then.
    """
    require_own_export(target)
    model, network = from_runs(folder.parent.name, [folder], root), load_model(folder)
    size, channels = model.recipe.preprocess.size, films.shape[1]
    with new_folder(target) as out, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logging.getLogger("torch.onnx").setLevel(logging.ERROR)
        torch.onnx.export(
            OneLogit(network).eval(),
            (torch.zeros(2, channels, size, size),),
            str(out / MODEL),
            input_names=[ONNX_INPUT],
            output_names=[ONNX_OUTPUT],
            dynamic_shapes={ONNX_INPUT: {0: torch.export.Dim("films")}},
            dynamo=True,
            external_data=False,
            verbose=False,
        )
        record = read_model_record(folder)
        numbers = (record["seed"], record["fold"])
        origin = ExportRecord(model.recipe, model.weights, sha256(out / MODEL), ONNX_OUTPUT, *numbers)
        write_json(out / RECIPE, origin.as_json())
        exported = from_onnx(out)
        batches = (films[i : i + 8] for i in range(0, len(films), 8))
        apart = max(
            float(np.abs(exported.probabilities(batch) - model.probabilities(batch)).max()) for batch in batches
        )
        if apart > TOLERANCE:
            raise UserError(f"{target}: expected ONNX and torch within {TOLERANCE:g}, found {apart:.3g}; do not use it")
    return apart


def require_own_export(folder: Path) -> None:
    """Refuse to replace a folder that no export wrote, or whose network somebody changed since.

    Raises:
        UserError: of `require_own_folder`, or the network is not the one of the recipe.
    """
    require_own_folder(folder, (MODEL, RECIPE), is_export(folder))
    model = folder / MODEL
    if not (model.exists() or model.is_symlink()):
        return
    if not (model.is_file() and sha256(model) == read_json(folder / RECIPE).get("onnx")):
        raise UserError(
            f"{model}: expected the one that {RECIPE} has, found another, which would be replaced; move it elsewhere, "
            "or name another folder"
        )


def is_export(folder: Path) -> bool:
    """Whether a folder has the recipe of an export, as a model of another program has not."""
    try:
        recipe = read_json(folder / RECIPE)
    except UserError:
        return False
    return isinstance(recipe, dict) and recipe.keys() >= {"recipe", "weights"}
