"""The trained network as MLflow serves it: this module is the code, safetensors the weights; nothing is pickled."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import mlflow.pyfunc
import numpy as np
from mlflow.models import ModelSignature
from mlflow.types import Schema, TensorSpec

from stages.common.model.network import load_model, predict_logits

ROOT = Path(__file__).parents[2]
CODE = ("stages/__init__.py", "stages/common", "stages/train/__init__.py", "stages/train/mlflow_model.py")
SIDE = 64  # pixels of the example, which is drawn: no film leaves the machine with the model


class Served:
    """uint8 films (N, C, H, W), prepared as in training, with sides that 32 divides, to logits float32 (N, H, W).

    `stages.common.model.calibration.to_probabilities` makes probabilities of them; the code is part of the model.
    """

    def __init__(self, folder: Path) -> None:
        self.network = load_model(folder)

    def predict(self, films: Any, params: Any = None) -> np.ndarray:
        return predict_logits(self.network, np.asarray(films, np.uint8)).numpy()


def _load_pyfunc(path: str) -> Served:
    """What MLflow calls to load the model."""
    return Served(Path(path))


@contextmanager
def mlflow_model(folder: Path, channels: int) -> Iterator[Path]:
    """models/<variant> in MLflow's format, with the code that reads it, there while the block runs."""
    films = Schema([TensorSpec(np.dtype("uint8"), (-1, channels, -1, -1))])
    logits = Schema([TensorSpec(np.dtype("float32"), (-1, -1, -1), "logit")])
    ramp = np.add.outer(np.arange(SIDE), np.arange(SIDE)).astype(np.uint8)
    with tempfile.TemporaryDirectory() as scratch:
        for name in CODE:
            target = Path(scratch, "code", name)
            target.parent.mkdir(parents=True, exist_ok=True)
            if (ROOT / name).is_dir():
                shutil.copytree(ROOT / name, target, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(ROOT / name, target)
        mlflow.pyfunc.save_model(
            str(Path(scratch, "model")),
            loader_module=__name__,
            data_path=str(folder),
            code_paths=[str(Path(scratch, "code/stages"))],
            signature=ModelSignature(films, logits),
            input_example=np.broadcast_to(ramp, (1, channels, SIDE, SIDE)).copy(),
            pip_requirements=str(ROOT / "requirements.lock"),
        )
        yield Path(scratch, "model")
