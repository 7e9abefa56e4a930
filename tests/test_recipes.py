"""Recipes: what they change in params.yaml, and the name that is derived from it."""

from pathlib import Path
from typing import Any

import pytest
from dvc.utils.hydra import apply_overrides

from stages import read_params, recipe_name
from stages.common.core.errors import UserError
from stages.common.data.layout import PARAMS
from stages.recipes import RECIPES
from tests.helpers.commands import wrist
from tests.helpers.params import read_yaml
from tests.helpers.paths import ROOT
from tools.recipe import choose_recipe

SHIPPED = (ROOT / PARAMS).read_text()


@pytest.fixture
def params(here: Path) -> Path:
    """params.yaml as shipped, in the current folder."""
    (here / PARAMS).write_text(SHIPPED)
    return here / PARAMS


def test_params_yaml_as_shipped_is_the_paper() -> None:
    assert recipe_name(ROOT / PARAMS) == "paper"


@pytest.mark.parametrize("name", RECIPES)
def test_there_and_back_leaves_the_bytes_of_params_yaml(name: str, params: Path) -> None:
    said = choose_recipe(name)
    assert recipe_name(params) == name
    assert len(said) == len(RECIPES[name])
    assert choose_recipe(name) == []
    choose_recipe("paper")
    assert read_yaml(params) == read_yaml(ROOT / PARAMS)
    assert params.read_text() == SHIPPED


def test_it_says_what_it_changes_and_keeps_comments_and_the_users_own_keys(
    params: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    params.write_text(SHIPPED.replace("seeds: [1] ", "seeds: [4, 5] ").replace("threads: 2 ", "threads: 8 "))
    assert wrist("recipe", "strong") == 0
    lines = capsys.readouterr().out.splitlines()
    assert "preprocess.size: 256 -> 512" in lines
    steps = "[crop, mat2gray, imresize, imadjust"
    assert f"preprocess.steps: {steps}, medfilt2, histeq] -> {steps}]" in lines
    assert "evaluate.mirror: false -> true" in lines
    assert lines[-1] == "recipe: strong"
    content = read_params(params)
    assert (content["train"]["seeds"], content["train"]["loop"]["threads"]) == ([4, 5], 8)
    before, after = (text.splitlines() for text in (SHIPPED, params.read_text()))
    of_steps = 4  # lines of medfilt2 and histeq
    assert len(after) == len(before) - of_steps
    assert after[:3] == before[:3]  # comments by hand
    assert "    - step: imadjust       # Contrast stretch between two quantiles" in after


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        (["train.loop.epochs=60"], "strong, changed: train.loop.epochs 60 (100)"),
        (
            ["evaluate.mirror=false", "preprocess.size=256"],
            "strong, changed: preprocess.size 256 (512), evaluate.mirror false (true)",
        ),
        (["train.adaptive=dwa"], "strong, changed: train.adaptive dwa (linear)"),
        (["preprocess.steps=[imresize]"], "strong, changed: preprocess.steps [imresize] ([crop, mat2gray, "),
        (["train.seeds=[1,2]", "evaluate.folds=[1,2]", "ingest.sources=[{source: sample, films: 99}]"], "strong"),
    ],
)
def test_single_knobs_are_named(overrides: list[str], expected: str, params: Path) -> None:
    choose_recipe("strong")
    apply_overrides(PARAMS, overrides)
    assert recipe_name(params).startswith(expected)


@pytest.mark.parametrize(
    "overrides",
    [["train.network=Unet", "train.adaptive=linear"], ["train.network=FPN"], ["train.adaptive=gradnorm"]],
)
def test_entries_that_are_written_by_their_name_are_chosen_over_too(overrides: list[str], params: Path) -> None:
    apply_overrides(PARAMS, overrides)
    choose_recipe("strong")
    assert recipe_name(params) == "strong"
    choose_recipe("paper")
    assert recipe_name(params) == "paper"


def test_an_unknown_recipe_is_refused_and_nothing_changes(params: Path) -> None:
    with pytest.raises(UserError, match="recipe: expected paper, strong, fast, found best"):
        choose_recipe("best")
    assert params.read_text() == SHIPPED


def test_params_that_cannot_be_used_are_refused_before_a_change(params: Path) -> None:
    broken: Any = SHIPPED.replace("size: 256 ", "size: 255 ")
    params.write_text(broken)
    with pytest.raises(UserError, match=r"preprocess\.size"):
        choose_recipe("strong")
    assert params.read_text() == broken
