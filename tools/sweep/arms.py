"""The arms of an honest comparison: what the paper's weighting must beat, each from the same seeds.

Domain: with AdamW only alpha / (alpha + beta) matters, so that a static weight is one number.
"""

from typing import Any

STATIC = (0.0, 0.1, 0.25, 0.5, 0.75, 0.9, 1.0)  # alpha / (alpha + beta)
METHODS = ("reversed", "time_mean", "shuffled", "dwa", "uncertainty", "random")


def arms() -> dict[str, dict[str, Any]]:
    """Changed params of each arm, by its name; what is not named here is as params.yaml says."""
    adaptive = "train.adaptive"
    found: dict[str, dict[str, Any]] = {}
    for share in STATIC:
        found[f"static-{share:g}"] = {
            f"{adaptive}.method": "fixed",
            f"{adaptive}.alpha.start": share,
            f"{adaptive}.beta.start": round(1 - share, 9),
        }
    for reading in ("as_printed", "start_to_end"):
        found[f"linear-{reading}"] = {f"{adaptive}.method": "linear", f"{adaptive}.beta_reading": reading}
    return found | {name: {f"{adaptive}.method": name} for name in METHODS}
