"""Choose a recipe: write its values into params.yaml, and say what that changes."""

from pathlib import Path
from typing import Any

from stages import read_params
from stages.common.core.errors import UserError
from stages.common.core.params import Alternative, Strict
from stages.common.data.layout import PARAMS
from stages.recipes import RECIPES, Change, changes, in_words, of_recipe, recipe_name
from tools.params_file import change


def choose_recipe(name: str, path: Path = PARAMS) -> list[str]:
    """Give params.yaml the values of a recipe.

    Sources, labels, split, seeds, folds and what concerns the machine stay.

    Args:
        name: of the recipe.
        path: params.yaml.
    Returns:
        What changed, a line per key.
    Raises:
        UserError: there is no such recipe.
    """
    if name not in RECIPES:
        raise UserError(f"recipe: expected {', '.join(RECIPES)}, found {name}")
    params = read_params(path)
    found = changes(params, name)
    change(path, dict(written(params, one, name) for one in found))
    return [f"{one.key}: {in_words(one.here)} -> {in_words(one.recipe)}" for one in found]


def present_recipe(path: Path = PARAMS) -> str:
    """The recipe of params.yaml."""
    return recipe_name(read_params(path))


def written(params: dict[str, Any], one: Change, name: str) -> tuple[str, Any]:
    """A key of params.yaml and its new value; an entry that is written by its name alone is written whole.

    Args:
        params: of params.yaml.
        one: what changes.
        name: of the recipe.
    """
    section, *parents, _ = one.key.split(".")
    content, recipe = params[section], of_recipe(name, section)
    for depth, parent in enumerate(parents, start=1):
        content, recipe = content[parent], getattr(recipe, parent)
        if not isinstance(content, dict):
            return ".".join([section, *parents[:depth]]), in_full(recipe)
    return one.key, in_full(one.recipe)


def in_full(value: Any) -> Any:
    """A value with all keys of its entries, which params.yaml as shipped has, so that DVC sees the same."""
    if isinstance(value, list):
        return [in_full(item) for item in value]
    if not isinstance(value, Strict):
        return value
    content = value.model_dump()
    name = {value.tag: content.pop(value.tag)} if isinstance(value, Alternative) else {}
    return name | content
