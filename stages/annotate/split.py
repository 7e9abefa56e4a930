"""Train, validation and test by group, alike in source and fractures, drawn or given by the source; further folds."""

import warnings

import numpy as np
import pandas as pd
from sklearn.model_selection import StratifiedGroupKFold

from stages.annotate.params import Given, Params, Split, count_validation
from stages.common.core.errors import UserError, first_few
from stages.common.data.layout import fold_column

TRIALS = 200
# What a source may call a side, in any case; films of the last are left out.
WORDS = {
    "train": ("train", "training"),
    "validation": ("validation", "valid", "val", "dev"),
    "test": ("test", "testing"),
    "unused": ("unused", "spare", ""),
}


def divide(films: pd.DataFrame, settings: Params, evaluated: list[int]) -> tuple[pd.Series, pd.DataFrame]:
    """The split, which is the first fold, and the further folds.

    Args:
        films: as for `assign`.
        settings: of the stage.
        evaluated: evaluate.folds.
    Raises:
        UserError: of `assign` and `require_sides`.
    """
    sides = assign(films, settings.split)
    folds = further_folds(films, sides, settings.split)
    require_sides(sides.to_frame().join(folds), evaluated, films["fracture"] if settings.need_fractures else None)
    return sides, folds


def assign(films: pd.DataFrame, settings: Split) -> pd.Series:
    """`train`, `validation`, `test` or `unused` for every film; validation films belong to the paper's 120.

    Args:
        films: columns image_id, group, source, fracture (bool), split (what the source says, may be '').
    Returns:
        str, indexed like `films`. The order of the rows never matters.
    Raises:
        UserError: too few films, or a given split with other words, or with a patient on two sides.
    """
    ordered = films.sort_values("image_id")
    if isinstance(settings, Given):
        chosen = given(ordered)
    else:
        need = settings.train + settings.test
        if len(ordered) < need:
            raise UserError(
                f"annotate.split: expected at least {need} films ({settings.train} train + {settings.test} test), "
                f"found {len(ordered)}; lower the numbers in params.yaml or ingest more films"
            )
        chosen = pd.Series("unused", index=ordered.index)
        chosen[draw(ordered, settings.test, settings.seed, 0, "test")] = "test"
        rest = ordered[chosen != "test"]
        chosen[draw(rest, settings.train, settings.seed, 1, "train")] = "train"
    if not (chosen == "validation").any():
        inside = ordered[chosen == "train"]
        size = count_validation(settings.validation, len(inside))
        if 2 * size > len(inside):
            raise UserError(
                f"annotate.split.validation: expected at most half of the {len(inside)} train films, found {size}; "
                "lower it, or write a share such as 0.2"
            )
        chosen[draw(inside, size, settings.seed, 2, "validation")] = "validation"
    return chosen.reindex(films.index)


def require_sides(folds: pd.DataFrame, evaluated: list[int], fracture: pd.Series | None = None) -> None:
    """Refuse folds that are evaluated, and with which nothing can be learnt, chosen or tested.

    Args:
        folds: a column per fold, the first first, with train, validation, test or unused.
        evaluated: evaluate.folds, counted from 1.
        fracture: bool, of each film, indexed like `folds`; None where sides without a fracture are meant.
    Raises:
        UserError: names folds that are not there, and each side that has no film or no fracture.
    """
    columns = dict(enumerate(folds, start=1))
    if unknown := [str(number) for number in evaluated if number not in columns]:
        raise UserError(
            f"evaluate.folds: expected folds from 1 to {len(columns)}, as many as the split makes, found "
            f"{first_few(unknown)}; correct it in params.yaml"
        )
    sides = [(number, side) for number in evaluated for side in ("train", "validation", "test")]
    films = {(number, side): folds[columns[number]] == side for number, side in sides}
    if empty := [f"as {side} in fold {number}" for number, side in sides if not films[number, side].any()]:
        raise UserError(
            f"annotate: expected films on every side of each fold of evaluate.folds, found none {first_few(empty)}, "
            "since patients stay whole; change annotate.split, or leave the fold out of evaluate.folds"
        )
    bare = [
        f"the {films[number, side].sum()} {side} films of fold {number}"
        for number, side in sides
        if fracture is not None and not fracture[films[number, side]].any()
    ]
    if bare:
        raise UserError(
            "annotate: expected fractures on every side of each fold of evaluate.folds, found none on "
            f"{first_few(bare)}; see in reports/data_quality.md whether labels met their films, change annotate.split, "
            "leave the fold out of evaluate.folds, or set annotate.need_fractures to false if this is meant"
        )


def given(films: pd.DataFrame) -> pd.Series:
    """The source's own split, in its own words (`WORDS`). A patient on two sides is refused."""
    sides = {word: side for side, words in WORDS.items() for word in words}
    chosen = films["split"].str.strip().str.lower().map(sides)
    if chosen.isna().any():
        accepted = ", ".join(word for words in WORDS.values() for word in words if word)
        raise UserError(
            f"annotate.split.by: expected the source's table to call sides {accepted}, or to leave them blank, found "
            f"{', '.join(sorted(set(films['split'][chosen.isna()]))):.200}; correct its column `split`"
        )
    for side in ("train", "test"):
        if not (chosen == side).any():
            raise UserError(
                f"annotate.split.by: expected films that their source marks as {side}, found none; "
                "add a column `split` to its table, or set annotate.split.by to drawn"
            )
    used = chosen != "unused"
    count = chosen[used].groupby(films.loc[used, "group"]).nunique()
    if (count > 1).any():
        both = films[films["group"].isin(count[count > 1].index)]["image_id"]
        raise UserError(
            f"annotate.split.by: expected every patient on one side, found several for {', '.join(both[:10])}; "
            "correct the source's table, or set annotate.split.by to drawn"
        )
    return chosen


def further_folds(films: pd.DataFrame, split: pd.Series, settings: Split) -> pd.DataFrame:
    """The folds after the first, which is the split itself: each used film is tested in exactly one fold.

    The films outside the test set are dealt into further test sets of about its size, whole groups, alike in source and
    fractures; validation films are drawn anew from the rest of each fold.

    Args:
        films, settings: as for `assign`.
        split: of `assign`.
    Returns:
        columns fold_2, fold_3, ... with train, validation, test or unused, indexed like `films`.
    """
    ordered = films.sort_values("image_id")
    split = split.reindex(ordered.index)
    rest = ordered[split.isin(["train", "validation"])]
    count = min(round(len(rest) / (split == "test").sum()), rest["group"].nunique())
    columns = {}
    for number, tested in enumerate(deal(rest, max(count, 1), settings.seed), start=2):
        role = split.where(split == "unused", "train")
        role[tested] = "test"
        inside = ordered[role == "train"]
        size = min(count_validation(settings.validation, len(inside)), len(inside) // 2)
        role[draw(inside, size, settings.seed, number + 1, "validation", exact=False)] = "validation"
        columns[fold_column(number)] = role.reindex(films.index)
    return pd.DataFrame(columns)


def deal(films: pd.DataFrame, count: int, seed: int) -> list[pd.Index]:
    """The films in `count` parts of about one size, whole groups, alike in source and fractures."""
    if count == 1:
        return [films.index]
    kind = strata(films)
    common = kind.map(kind.value_counts()) >= count  # rarer kinds cannot stand in each part
    folds = StratifiedGroupKFold(
        count, shuffle=True, random_state=int(np.random.default_rng([seed, 3]).integers(2**32))
    )
    with warnings.catch_warnings():
        # The rare kinds together can still be fewer than the parts: they cannot stand in each.
        warnings.filterwarnings("ignore", "The least populated class", UserWarning)
        parts = list(folds.split(films, kind.where(common, ""), films["group"]))
    return [films.index[tested] for _, tested in parts]


def strata(films: pd.DataFrame) -> pd.Series:
    """Source and fracture of each film in one word."""
    return films["source"] + films["fracture"].map({True: "+", False: "-"})


def draw(films: pd.DataFrame, size: int, seed: int, purpose: int, name: str, exact: bool = True) -> pd.Index:
    """Whole patients with `size` films in all, as alike to `films` in source and fractures as 200 tries allow.

    Fractures are on both sides of the draw where one of the tries has it so, however few there are.

    Args:
        exact: or as nearly so many as whole patients allow, never more.
    Returns:
        The index labels of the chosen films.
    Raises:
        UserError: no combination of whole patients has that many films.
    """
    table = pd.crosstab(films["group"], strata(films))
    counts, fractured = table.to_numpy(), table.columns.str.endswith("+")
    films_of = counts.sum(axis=1)
    goal = counts.sum(axis=0) * (size / counts.sum())
    rng = np.random.default_rng([seed, purpose])
    best, best_cost = None, np.inf
    for _ in range(TRIALS):
        order = rng.permutation(len(counts))
        taken = order[fill(films_of[order], size)]
        total = counts[taken].sum(axis=0)
        missing = size - total.sum()
        bare = min(total[fractured].sum(), (counts.sum(axis=0) - total)[fractured].sum()) == 0
        cost = float(np.abs(total - goal).sum() + missing + bare * counts.sum())
        if not (exact and missing) and cost < best_cost:
            best, best_cost = taken, cost
    if best is None:
        raise UserError(
            f"annotate.split: expected whole patients with {size} films for {name}, found no such combination among "
            f"{len(counts)} patients; change the numbers in params.yaml"
        )
    return films.index[films["group"].isin(table.index[best])]


def fill(sizes: np.ndarray, limit: int) -> np.ndarray:
    """Which of the groups are taken when each in turn is taken if it still fits; bool (n,).

    Args:
        sizes: int (n,), at least 1, in that order.
        limit: of the sum of those that are taken.
    """
    taken = np.zeros(len(sizes), dtype=bool)
    ends, start, left = np.cumsum(sizes), 0, limit
    while start < len(sizes):
        before = ends[start] - sizes[start]
        end = int(np.searchsorted(ends, before + left, side="right"))  # the first that does not fit
        taken[start:end] = True
        left -= int(sizes[start:end].sum())
        fits = sizes[end:] <= left
        start = end + int(fits.argmax()) if fits.any() else len(sizes)
    return taken
