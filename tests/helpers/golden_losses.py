"""The first losses of a training with the default params; run as a module, it writes the golden file anew.

Run: python -m tests.helpers.golden_losses
"""

import csv
from itertools import islice
from typing import Any

import numpy as np

from stages.train.devices import make_fabric
from stages.train.loop import epochs
from stages.train.params import Params
from stages.train.state import init_state, to_device
from tests.helpers.films import squares
from tests.helpers.params import merge, read_yaml
from tests.helpers.paths import ROOT

GOLDEN = ROOT / "tests/train/golden_losses.csv"


def first_steps(**loop: Any) -> np.ndarray:
    """Total, Dice and BCE of the first eight steps of `adaptive` with the default params, in fp32 on the CPU.

    Eight films make one batch, so that each epoch is one step.
    """
    content = merge(read_yaml(ROOT / "params.yaml")["train"], {"loop": {"precision": "fp32", **loop}})
    params, films = Params.model_validate(content), squares(8, 0, 64)
    fabric = make_fabric(params.loop)
    state = init_state(fabric, params, params.adaptive, films.inputs.shape, seed=1)
    side = to_device(fabric, films)
    rows = list(islice(epochs(fabric, state, side, side, params), 8))
    return np.array([[row[f"train_{name}"] for name in ("loss", "dice_loss", "bce_loss")] for row in rows])


if __name__ == "__main__":
    with GOLDEN.open("w", newline="") as file:
        csv.writer(file).writerows([["loss", "dice_loss", "bce_loss"], *first_steps().tolist()])
