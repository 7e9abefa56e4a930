"""The first losses of a training with the default params; run as a module, it writes the golden file anew.

Run: python -m tests.helpers.golden_losses
"""

import csv
from itertools import islice
from typing import Any

import numpy as np

from stages.train.params import Params
from tests.helpers.films import squares
from tests.helpers.params import merge, read_yaml
from tests.helpers.paths import ROOT
from tests.helpers.training import start

GOLDEN = ROOT / "tests/train/golden_losses.csv"


def first_steps(number: int = 8, **loop: Any) -> np.ndarray:
    """Total, Dice and BCE of the first steps of `adaptive` with the default params, in fp32 on the CPU.

    Eight films make one batch, so that each epoch is one step.
    """
    content = merge(read_yaml(ROOT / "params.yaml")["train"], {"loop": {"precision": "fp32", **loop}})
    films = squares(8, 0, 64)
    _, rows, _ = start(Params.model_validate(content), films=(films, films))
    return np.array(
        [[row[f"train_{name}"] for name in ("loss", "dice_loss", "bce_loss")] for row in islice(rows, number)]
    )


if __name__ == "__main__":
    with GOLDEN.open("w", newline="") as file:
        csv.writer(file).writerows([["loss", "dice_loss", "bce_loss"], *first_steps().tolist()])
