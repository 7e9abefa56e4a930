"""A model without training, which marks what is bright."""

import numpy as np

from stages.ingest.params import CtWindow
from stages.preprocess.params import Params as Preprocess
from stages.threshold.params import Params as Threshold
from tests.helpers.params import read_yaml
from tests.helpers.paths import ROOT
from tools.predict.model import Model
from tools.predict.recipe import Recipe


def bright_is_fracture(inputs: np.ndarray) -> np.ndarray:
    """A network that marks what is bright; logits float32 (N, S, S)."""
    return np.where(inputs[:, 0] > 180, 4, -4).astype(np.float32)


def stub_model() -> Model:
    params = read_yaml(ROOT / "params.yaml")
    recipe = Recipe(
        megapixels=64,
        file_mb=4,
        ct_window=CtWindow(centre=400, width=2000),
        preprocess=Preprocess.model_validate(params["preprocess"]),
        threshold=Threshold.model_validate(params["threshold"]),
        input="image",
        temperatures=[1.0],
        cut=0.5,
        film_calibration={"slope": 2.0, "intercept": 0.5},
        mirror=False,
        familiar={"mean": [0.0] * 16, "precision": np.eye(16).tolist(), "limit": 2.0},
    )
    return Model("stub", [bright_is_fracture], recipe, "0", "AVX2")
