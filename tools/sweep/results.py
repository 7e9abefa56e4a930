"""What the experiments of a sweep say together: one row each, set against one of them on the same films."""

import math
from typing import Any

import numpy as np
import pandas as pd
from statsmodels.stats.multitest import multipletests

from stages.common.analysis.statistics import bca, compare_metric, over_seeds, pooled_f1, pooled_f1_interval, sums_of
from stages.common.core.errors import UserError
from stages.common.model.tracking import flat
from stages.train.params import Fixed
from tools.sweep.experiments import Experiment, how_to_remove

NEAR = 0.005  # shares that differ by less are the same


def films_of(experiments: list[Experiment]) -> pd.DataFrame:
    """Validation Dice by film (rows) and experiment (columns), averaged over seeds and folds.

    Raises:
        UserError: the experiments were not judged on the same films.
    """
    columns = {item.name: item.validation.groupby("image_id")["f1"].mean() for item in experiments}
    first = next(iter(columns.values()))
    for name, column in columns.items():
        if not column.index.equals(first.index):
            raise UserError(
                f"experiment {name}: expected the validation films of {experiments[0].name}, found others, so that "
                f"scores do not compare; leave it out ({how_to_remove(name)}) or run it on the same data"
            )
    return pd.DataFrame(columns)


def find(experiments: list[Experiment], shares: tuple[float, float] | None) -> Experiment | None:
    """The first experiment whose params ask for alpha / (alpha + beta) to start and end so."""
    fixed_first = sorted(experiments, key=lambda item: not isinstance(item.adaptive, Fixed))
    asked = [(item, item.declared) for item in fixed_first]
    near = (item for item, own in asked if own and shares and np.allclose(own, shares, atol=NEAR))
    return next(near, None)


def table_of(experiments: list[Experiment], reference: Experiment, patients: pd.Series) -> pd.DataFrame:
    """One row per experiment, best validation Dice first.

    Columns: experiment, method, seeds, start, end (shares in the first and last epoch), from, to (shares that params
    ask for, NaN where the method decides), dice, low, high (95 % over patients), gain, gain_low, gain_high, p, holm
    (paired with the reference; Holm's over all experiments), and the same of the test films' pooled F1 (test, test_low,
    ...), NaN where nothing was tested.

    Args:
        patients: of each film, by its id.
    """
    films = films_of(experiments)
    groups = films.index.to_series().map(patients)
    rows = []
    for item in experiments:
        means = films[item.name].groupby(groups.to_numpy()).mean().to_numpy()
        low, high = spread(means)
        paired = compare_metric("f1", films[reference.name], films[item.name], groups)
        start, end = item.shares
        row: dict[str, Any] = {
            "experiment": item.name,
            "method": item.adaptive.model_dump()["method"],
            "seeds": item.validation["seed"].nunique(),
            "start": start,
            "end": end,
            **dict(zip(("from", "to"), item.declared or (math.nan, math.nan), strict=True)),
            "dice": item.score,
            "low": low,
            "high": high,
        }
        row |= {"gain": paired["difference"], "gain_low": paired["low"], "gain_high": paired["high"]}
        row |= {"p": paired["permutation"]}
        rows.append(row | tested(item, reference, patients))
    table = pd.DataFrame(rows)
    for p, holm in (("p", "holm"), ("test_p", "test_holm")):
        table[holm] = math.nan
        others = table[p].notna() & (table["experiment"] != reference.name)
        if others.any():
            table.loc[others, holm] = multipletests(table.loc[others, p], method="holm")[1]
    return table.sort_values("dice", ascending=False, kind="stable", ignore_index=True)


def spread(means: np.ndarray) -> tuple[float, float]:
    """The 95 % interval of a mean over patients; NaN where all are the same."""
    return bca(len(means), lambda drawn: means[drawn].mean(axis=-1)) if np.ptp(means) > 0 else (math.nan, math.nan)


def tested(item: Experiment, reference: Experiment, patients: pd.Series) -> dict[str, float]:
    """Pooled F1 on the test films, its interval, and what it gains over the reference."""
    names = ("test", "test_low", "test_high", "test_gain", "test_gain_low", "test_gain_high", "test_p")
    if item.test is None or reference.test is None:
        return dict.fromkeys(names, math.nan)
    groups = item.test["image_id"].map(patients)
    score = float(pooled_f1(sums_of(item.test, groups).sum(axis=1)).mean())
    base = float(pooled_f1(sums_of(reference.test, groups).sum(axis=1)).mean())
    alone = pooled_f1_interval(item.test, None, groups)
    both = pooled_f1_interval(reference.test, item.test, groups)
    means = over_seeds(reference.test), over_seeds(item.test)
    paired = compare_metric("f1", means[0]["f1"], means[1]["f1"], means[0]["image_id"].map(patients))
    values = (score, *alone, score - base, *both, paired["permutation"])
    return dict(zip(names, values, strict=True))


def changing(experiments: list[Experiment]) -> pd.DataFrame:
    """The numbers of params.yaml that differ between the experiments, a column each."""
    flat = pd.DataFrame([numbers_of(item.params) for item in experiments], index=[item.name for item in experiments])
    return flat.loc[:, flat.notna().all() & (flat != flat.iloc[0]).any()]


def numbers_of(params: dict[str, Any]) -> dict[str, float]:
    """Every number of nested params by its dotted name."""
    return {
        key: float(value)
        for key, value in flat(params).items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    }
