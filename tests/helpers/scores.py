"""Tables of scores per film whose truth is known."""

import numpy as np
import pandas as pd

from stages.common.analysis.trivial_baselines import TRIVIAL_BASELINES
from stages.common.model.metrics import metrics

PATIENTS = pd.Series([f"p{i // 2}" for i in range(40)])
COUNTS = ("tp", "fp", "fn", "tn")


def scored(rows: list[tuple[int, ...]]) -> pd.DataFrame:
    counts = [dict(zip(COUNTS, map(int, row), strict=True)) for row in rows]
    table = pd.DataFrame([row | metrics(**row) for row in counts])
    return table.assign(image_id=[f"i{i}" for i in range(len(rows))], seed=1, fold=1)


def table(seed: int, skill: float, images: int = 40) -> pd.DataFrame:
    size = np.random.default_rng(0).integers(50, 400, images)
    tp = np.round(size * np.clip(np.random.default_rng(seed).normal(skill, 0.15, images), 0, 1)).astype(int)
    fp = np.random.default_rng(seed).integers(0, 60, images)
    return scored([(a, b, s - a, 4096 - s - b) for a, b, s in zip(tp, fp, size, strict=True)])


def naive(like: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """All and nothing, each film once, from the counts of a model's table."""
    like = like.drop_duplicates("image_id")
    positive, negative, none = like["tp"] + like["fn"], like["fp"] + like["tn"], 0 * like["tp"]
    sides = {
        TRIVIAL_BASELINES[0]: (positive, negative, none, none),
        TRIVIAL_BASELINES[1]: (none, none, positive, negative),
    }
    return {name: scored(list(zip(*columns, strict=True))) for name, columns in sides.items()}
