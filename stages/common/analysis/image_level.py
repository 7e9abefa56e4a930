"""Films with a fracture against films without: ROC figures of the two models, with intervals over patients."""

from itertools import pairwise

import numpy as np
import pandas as pd

from stages.common.analysis.statistics import LEVEL, RESAMPLES
from stages.common.data.tables import IMAGE_LEVEL
from stages.common.model.roc import FIGURES, figures_of, roc

BLOCK = 500  # draws at a time, which bounds the memory
FEWEST = 2  # patients with films of a kind; below, there is no interval


def image_level(models: dict[str, pd.DataFrame], patients: pd.Series, gain: str) -> pd.DataFrame:
    """A row per model and one for the second minus the first; no row where all films have a fracture, or none has.

    Each figure is the mean over seeds. With one seed the interval lies between the 2.5th and 97.5th percentile over
    10,000 draws of patients; with several, seeds and patients are drawn anew, as for the pooled F1. Draws without films
    of both kinds say nothing and are left out.

    Args:
        models: columns seed, fractures, probability_max of two models, the same films in one order for each seed.
        patients: of each row.
        gain: the name of the last row.
    """
    first, *_ = models.values()
    films = first[first["seed"] == first["seed"].iloc[0]]
    fractured = films["fractures"].to_numpy() > 0
    of_film = patients.to_numpy()[: len(films)]
    if fractured.all() or not fractured.any():
        return IMAGE_LEVEL.frame([])
    seeds = first["seed"].nunique()
    scores = {name: table["probability_max"].to_numpy().reshape(seeds, -1) for name, table in models.items()}
    whole = {
        name: of_seeds(table, fractured, np.ones((1, len(films)))).mean(axis=0)[0] for name, table in scores.items()
    }
    drawn = draws(scores, fractured, of_film)
    whole[gain], drawn[gain] = (pair[1] - pair[0] for pair in (list(whole.values()), list(drawn.values())))
    counts = {
        "with_fracture": int(fractured.sum()),
        "without_fracture": int((~fractured).sum()),
        "patients": len(np.unique(of_film)),
    }
    known = min(len(np.unique(of_film[kind])) for kind in (fractured, ~fractured)) >= FEWEST
    rows = []
    for name, values in whole.items():
        row = {"row": name, **counts}
        limits = np.nanquantile(drawn[name], (LEVEL / 2, 1 - LEVEL / 2), axis=0) if known else np.full((2, 3), np.nan)
        for figure, value, low, high in zip(FIGURES, values, *limits, strict=True):
            row |= {figure: value, f"{figure}_low": low, f"{figure}_high": high}
        rows.append(row)
    return pd.DataFrame(rows)[list(IMAGE_LEVEL.columns)]


def draws(scores: dict[str, np.ndarray], fractured: np.ndarray, patients: np.ndarray) -> dict[str, np.ndarray]:
    """The figures of each model in each draw of patients and seeds, float (RESAMPLES, 3); the same draws for all.

    Args:
        scores: of each model, float (seeds, N).
        fractured: bool (N,).
        patients: of each film, (N,).
    """
    codes, names = pd.factorize(patients)
    seeds = len(next(iter(scores.values())))
    rng = np.random.default_rng(0)
    counts = rng.multinomial(len(names), np.full(len(names), 1 / len(names)), RESAMPLES)
    chosen = rng.integers(0, seeds, (RESAMPLES, seeds))
    figures = {}
    for name, table in scores.items():
        blocks = [
            of_seeds(table, fractured, counts[start:stop, codes].astype(float))
            for start, stop in pairwise([*range(0, RESAMPLES, BLOCK), RESAMPLES])
        ]
        each = np.concatenate(blocks, axis=1)
        figures[name] = each[chosen.T, np.arange(RESAMPLES)].mean(axis=0)
    return figures


def of_seeds(scores: np.ndarray, fractured: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """FIGURES of each seed and draw, float (seeds, draws, 3); NaN in a draw without films of both kinds.

    Args:
        scores: float (seeds, N).
        fractured: bool (N,).
        weights: how often each film stands in a draw, float (draws, N).
    """
    return np.stack([figures_of(*roc(row, fractured, weights)) for row in scores])
