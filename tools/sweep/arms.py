"""The arms of an honest comparison: what the paper's weighting must beat, each from the same seeds.

Domain: with AdamW only alpha / (alpha + beta) matters, so that a static weight is one number.
"""

from typing import TypeVar

from stages.train.params import Dwa, Fixed, Linear, Method, Random, Reversed, Shuffled, TimeMean, Uncertainty

STATIC = (0.0, 0.1, 0.25, 0.5, 0.75, 0.9, 1.0)  # alpha / (alpha + beta)
READINGS = ("as_printed", "start_to_end")
METHODS = (Reversed, TimeMean, Shuffled, Dwa, Uncertainty, Random)
Kind = TypeVar("Kind", bound=Method)


def arms(adaptive: Method) -> dict[str, Method]:
    """The section `train.adaptive` of each arm, by its name; what arms share with `adaptive` is as it is there."""
    sections: dict[str, Method] = {}
    for share in STATIC:
        sections[f"static-{share:g}"] = Fixed(alpha=share, beta=round(1 - share, 9))
    for reading in READINGS:
        sections[f"linear-{reading}"] = like(Linear, adaptive).model_copy(update={"beta_reading": reading})
    return sections | {kind.model_fields["method"].default: like(kind, adaptive) for kind in METHODS}


def like(kind: type[Kind], section: Method) -> Kind:
    """A section of another method, which has of `section` the keys that both have, such as alpha, beta and clock."""
    shared = next(parent for parent in kind.__mro__ if isinstance(section, parent))
    return kind(**{key: getattr(section, key) for key in shared.model_fields})  # type: ignore[attr-defined]


ARMS = tuple(arms(Linear()))
"""The names of all arms."""
