"""From nothing, or from a folder, to the report on the wrists of FracAtlas."""

from pathlib import Path
from typing import Any

from stages import read_params
from stages.annotate.params import Given
from stages.common.core.errors import UserError
from stages.common.data.layout import PARAMS
from stages.ingest.params import Params
from stages.ingest.sources.presets import READY
from tools.fetch.data_sets import fetch_urls
from tools.params_file import change
from tools.recipe import choose_recipe, in_full
from tools.sweep.cost import cost_of_rest
from tools.sweep.matrix import repro, trainings_left

SUBSET = {"subset": "fracatlas_wrist"}


def compare_on_fracatlas(films: Path | None, recipe: str) -> int:
    """Change params.yaml to the 171 wrists of FracAtlas, fetch them unless they are here, and run the pipeline.

    It says how long the trainings will take before the first of them starts. Returns the exit code of `dvc repro`.

    Args:
        films: a folder with the 171 films and FracAtlas's COCO file; None: they are fetched.
        recipe: how films are prepared and networks trained.
    Raises:
        UserError: there is no such folder or recipe, or the archive cannot be fetched.
    """
    if films and not films.is_dir():
        raise UserError(f"--films: expected a folder of films, found none at {films}; correct the path")
    lines = choose_recipe(recipe)
    changes = source_changes(films) | {"annotate.split": in_full(Given())}
    change(PARAMS, changes)
    lines += [f"{key} -> {value}" for key, value in changes.items()]
    print("\n".join([f"{PARAMS}, recipe {recipe}:", *(f"  {line}" for line in lines)]), flush=True)
    if not films:
        fetch_urls(Params.model_validate(read_params(PARAMS)["ingest"]))
    if code := repro("annotate"):
        return code
    params = read_params(PARAMS)
    if left := trainings_left(params):
        print(cost_of_rest(params, len(left)), flush=True)
    return repro()


def source_changes(films: Path | None) -> dict[str, Any]:
    """The changes of the section `ingest` of params.yaml."""
    if films is None:
        return {"ingest.sources": [{"source": "url", "name": "fracatlas"} | SUBSET]}
    ready = READY["fracatlas"]
    facts = {"annotations": ready["annotations"], "classes": ready["classes"], "licence": ready["licence"]}
    return {"ingest.sources": [{"source": "folder"} | facts | SUBSET], "ingest.inbox": str(films.resolve())}
