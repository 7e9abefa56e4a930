"""Recipes: named choices of all that decides how films are prepared and how networks are trained and read.

No file stores the name of a recipe: it is derived from params, which can be compared with every recipe.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from stages import section_model
from stages.common.core.errors import first_few
from stages.common.core.params import Alternative, Strict

RECIPES: dict[str, dict[str, Any]] = {
    # What the paper says and nothing else: the defaults.
    "paper": {},
    # The best that was measured for small sets of real films, see docs/how-to/recipes.md.
    "strong": {
        "preprocess.size": 512,
        "preprocess.steps": ["crop", "mat2gray", "imresize", "imadjust"],
        "train.network.encoder": "tu-tf_efficientnet_lite0",
        "train.network.weights": "imagenet",
        "train.network.channels": [256, 128, 64, 32, 16],
        "train.augment.flip_up_down": 0.5,
        "train.augment.rotate_deg": 30.0,
        "train.augment.scale": 0.25,
        "train.augment.gamma": 0.4,
        "train.augment.noise": 0.05,
        "train.optimiser.ema": 0.98,
        "train.loop.epochs": 100,
        "train.loop.precision": "fp32",  # on a CPU twice as fast as bf16, in which separable convolutions are slow
        "evaluate.mirror": True,
    },
    # A try, whose scores mean nothing.
    "fast": {"preprocess.size": 128, "train.loop.epochs": 8, "train.loop.precision": "auto"},
}
SECTIONS = ("preprocess", "threshold", "train", "evaluate")
# What is a matter of the machine, or of how often a result is repeated.
FREE = {
    *("train.seeds", "evaluate.folds"),
    *("train.loop.accelerator", "train.loop.threads", "train.loop.devices", "evaluate.accelerator"),
}


@dataclass(frozen=True)
class Change:
    """A key in which params differ from a recipe, and both values."""

    key: str
    here: Any
    recipe: Any

    def __str__(self) -> str:
        return f"{self.key} {in_words(self.here)} ({in_words(self.recipe)})"


def recipe_name(params: Mapping[str, Any]) -> str:
    """The recipe of params, with the keys that differ: `strong`, or `strong, changed: KEY VALUE (THE RECIPE'S)`.

    Args:
        params: of params.yaml, at least SECTIONS.
    """
    name, changes = nearest(params)
    return f"{name}, changed: {first_few([str(change) for change in changes])}" if changes else name


def nearest(params: Mapping[str, Any]) -> tuple[str, list[Change]]:
    """The recipe from which params differ in the fewest keys, the first of equals, and these keys."""
    found = [(name, changes(params, name)) for name in RECIPES]
    return min(found, key=lambda one: len(one[1]))


def changes(params: Mapping[str, Any], name: str) -> list[Change]:
    """The keys in which params differ from a recipe, in their order in params.yaml."""
    pairs = ((section, section_model(section).model_validate(params[section])) for section in SECTIONS)
    found = (change for section, here in pairs for change in differences(section, here, of_recipe(name, section)))
    return [change for change in found if change.key not in FREE]


def of_recipe(name: str, section: str) -> Strict:
    """A section of params.yaml under a recipe."""
    content = section_model(section)().model_dump()
    for key, value in RECIPES[name].items():
        first, *parents, last = key.split(".")
        if first == section:
            inner = content
            for parent in parents:
                inner = inner[parent]
            inner[last] = value
    made: Strict = section_model(section).model_validate(content)
    return made


def differences(key: str, here: Strict, recipe: Strict) -> Iterator[Change]:
    """The leaves below a key in which two sections of one type differ; entries of two types differ as a whole."""
    for name in type(here).model_fields:
        one, other = getattr(here, name), getattr(recipe, name)
        if isinstance(one, Strict) and type(one) is type(other):
            yield from differences(f"{key}.{name}", one, other)
        elif one != other:
            yield Change(f"{key}.{name}", one, other)


def in_words(value: Any) -> str:
    """A value as params.yaml has it on one line; entries by their names."""
    if isinstance(value, list):
        return f"[{', '.join(in_words(item) for item in value)}]"
    if isinstance(value, Alternative):
        return str(getattr(value, value.tag))
    return str(value).lower() if isinstance(value, bool) else str(value)
