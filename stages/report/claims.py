"""Each claim of the paper beside what was found here: reproduced, deviates, or cannot be told, and why."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from stages.common.analysis.formatting import number, span
from stages.common.analysis.statistics import LEVEL
from stages.common.data.rows import ClaimRow
from stages.report.params import Tolerance
from stages.report.published import PUBLISHED
from stages.report.tables import GAIN, UNDECIDED, Conclusion, best_trivial, disagreement, name_of

REPRODUCED, DEVIATES, UNKNOWN = "reproduced", "deviates", "cannot be told"
FIXED, ADAPTIVE = PUBLISHED
ROWS = {FIXED: "baseline", ADAPTIVE: "adaptive"}
METHODS = {FIXED: "fixed", ADAPTIVE: "linear"}  # equation 3


def claims(
    comparison: pd.DataFrame,
    paired: pd.DataFrame,
    audit: pd.DataFrame,
    outcome: Conclusion,
    tolerance: Tolerance,
    methods: Mapping[str, str],
) -> pd.DataFrame:
    """A row per claim.

    Args:
        comparison, outcome: of `tables`.
        paired: of `statistics.compare_metrics`.
        audit: of `published.audit`.
        methods: of `evaluations.methods_of`; of networks with other weights than the paper's its claims say nothing.
    Returns:
        columns claim, published, found, result, why; published and found are text.
    """
    table: Any = comparison.set_index("row")
    implied: Any = audit.set_index("row")
    tests: Any = paired.set_index("metric")
    rows = [
        of_weights(
            score(name, metric, table.loc[ROWS[name]], implied.loc[name, "prevalence"], tolerance), methods, name
        )
        for name in ROWS
        for metric in PUBLISHED[name]
    ]
    changes = [gain_of_f1(table.loc[GAIN], tests.loc["f1"], outcome)]
    changes += [change(metric, tests.loc[metric]) for metric in ("accuracy", "precision", "recall")]
    rows += [of_weights(found, methods, *ROWS) for found in changes]
    rows += [arithmetic(name, implied.loc[name], tolerance) for name in ROWS]
    rows.append(better_than_trivial(comparison, implied.loc[ADAPTIVE]))
    return pd.DataFrame(rows)


def row(claim: str, published: str, measured: str, result: str, why: str) -> ClaimRow:
    """A row of claims.csv.

    Args:
        claim: in words.
        published: the paper's value.
        measured: ours.
        result: REPRODUCED, DEVIATES or UNKNOWN.
        why: a sentence.
    """
    return {"claim": claim, "published": published, "found": measured, "result": result, "why": why}


def of_weights(found: ClaimRow, methods: Mapping[str, str], *names: str) -> ClaimRow:
    """A row as it is where the networks were trained with the paper's weights, else one that tells nothing.

    Args:
        found: the row.
        methods: as for `claims`.
        names: of PUBLISHED, which the claim is on.
    """
    others = [ROWS[name] for name in names if methods[ROWS[name]] != METHODS[name]]
    if not others:
        return found
    why = "; ".join(f"`{name}` was trained with {methods[name].replace('_', ' ')} weights" for name in others)
    return {**found, "result": UNKNOWN, "why": f"{why}, and the claim is on others"}


def score(name: str, metric: str, ours: pd.Series, prevalence: float, tolerance: Tolerance) -> ClaimRow:
    """A published score, which compares with ours only where as many pixels are fracture.

    Args:
        name: a row of PUBLISHED.
        metric: a key of it.
        ours: this variant's row of the comparison.
        prevalence: that the published numbers imply, 0..1.
        tolerance: below which differences count as none.
    """
    printed, ours_value = PUBLISHED[name][metric], float(ours[metric])
    apart = abs(float(ours["prevalence"]) - prevalence)
    claim = f"{name_of(metric)} of {ROWS[name]}"
    if np.isnan(ours_value):
        return row(claim, f"{printed:.4f}", number(ours_value, ".4f"), UNKNOWN, "undefined on these test films")
    if apart > tolerance.prevalence:
        here = f"{100 * ours['prevalence']:.1f} % of the pixels are fracture here"
        why = f"{here}, {100 * prevalence:.0f} % there by its own numbers"
        return row(claim, f"{printed:.4f}", f"{ours_value:.4f}", UNKNOWN, why)
    near = abs(ours_value - printed) <= tolerance.score
    why = f"{abs(ours_value - printed):.3f} apart, tolerance {tolerance.score:g}"
    return row(claim, f"{printed:.4f}", f"{ours_value:.4f}", REPRODUCED if near else DEVIATES, why)


def gain_of_f1(gain: pd.Series, test: pd.Series, outcome: Conclusion) -> ClaimRow:
    """The gain of F1, judged as the verdict judges it.

    Args:
        gain: of the comparison, the row GAIN.
        test: of the paired statistics, the row of the F1.
        outcome: of `tables.outcome`.
    """
    results: dict[Conclusion, str] = {
        "beats": REPRODUCED,
        "loses to": DEVIATES,
        "cannot be told apart from": UNKNOWN,
    }
    published = PUBLISHED[ADAPTIVE]["f1"] - PUBLISHED[FIXED]["f1"]
    measured = span(gain["f1"], gain["f1_low"], gain["f1_high"], "+.4f")
    reason = disagreement(gain, test) if outcome == UNDECIDED else "interval and permutation test agree"
    why = f"adaptive {outcome} baseline: {reason} (p = {number(test['permutation'], '.2g')})"
    return row("adaptive weights raise F1", f"{published:+.4f}", measured, results[outcome], why)


def change(metric: str, test: pd.Series) -> ClaimRow:
    """How a metric moves from fixed to adaptive weights, patient by patient; certain where interval and test agree."""
    published = PUBLISHED[ADAPTIVE][metric] - PUBLISHED[FIXED][metric]
    measured = span(test["difference"], test["low"], test["high"], "+.4f")
    leaves_out = test["low"] * test["high"] > 0
    certain = test["holm"] < LEVEL and leaves_out
    interval = "no interval" if np.isnan(test["low"]) else f"the interval {'leaves out' if leaves_out else 'holds'} 0"
    result = UNKNOWN if not certain else REPRODUCED if test["difference"] * published > 0 else DEVIATES
    p = number(test["holm"], ".2g")
    why = f"mean over {test['patients']:.0f} patients, {interval}, permutation p = {p} after Holm"
    return row(
        f"adaptive weights {'raise' if published > 0 else 'lower'} {metric}", f"{published:+.4f}", measured, result, why
    )


def arithmetic(name: str, implied: pd.Series, tolerance: Tolerance) -> ClaimRow:
    """Whether the printed F1 is that of the printed precision and recall."""
    apart = abs(implied["f1"] - implied["f1_recomputed"])
    result = REPRODUCED if apart <= tolerance.rounding else DEVIATES
    why = f"{apart:.5f} apart, tolerance {tolerance.rounding:g} for rounding"
    claim = f"F1 of {ROWS[name]} is 2PR/(P+R)"
    return row(claim, f"{implied['f1']:.4f}", f"{implied['f1_recomputed']:.4f}", result, why)


def better_than_trivial(comparison: pd.DataFrame, implied: pd.Series) -> ClaimRow:
    """Whether the networks know more about fractures than predictors that cost nothing."""
    names = comparison["row"]
    ours = comparison.loc[names.isin(ROWS.values()), "f1"].min()
    naive = best_trivial(comparison)["f1"]
    claim, published = "the networks find fractures", f"F1 {implied['f1']:.4f}"
    if not comparison["prevalence"].iloc[0]:
        return row(claim, published, number(np.nan, ".3f"), UNKNOWN, "no test film has a fracture")
    why = f"the best predictor without training has F1 {naive:.3f} here, {implied['everything_f1']:.3f} there"
    return row(claim, published, f"F1 at least {ours:.3f}", REPRODUCED if ours > naive else DEVIATES, why)
