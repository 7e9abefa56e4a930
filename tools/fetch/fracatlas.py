"""From nothing to the report on the wrists of FracAtlas."""

import json
import shlex
import subprocess
from pathlib import Path

from dvc.utils.hydra import apply_overrides

from stages import read_params
from stages.common.core.errors import UserError
from stages.common.data.layout import PARAMS
from stages.ingest.params import Params
from stages.ingest.sources.presets import READY
from tools.fetch.data_sets import fetch_urls
from tools.sweep.overrides import overridden

SUBSET = "fracatlas_wrist"


def compare_on_fracatlas(films: Path | None) -> None:
    """Change params.yaml to the 171 wrists of FracAtlas, fetch them unless they are here, and run the pipeline.

    Args:
        films: a folder with the 171 films and FracAtlas's COCO file; None: they are fetched.
    Raises:
        UserError: there is no such folder, the archive cannot be fetched, or a stage failed.
    """
    if films and not films.is_dir():
        raise UserError(f"--films: expected a folder of films, found none at {films}; correct the path")
    changes = overrides(films)
    overridden(changes)  # refuses what params.yaml makes impossible before it is changed
    apply_overrides(PARAMS, changes)
    print("\n".join([f"{PARAMS} has now:", *(f"  {change}" for change in changes)]), flush=True)
    if not films:
        fetch_urls(Params.model_validate(read_params(PARAMS)["ingest"]))
    words = ["dvc", "repro"]
    if code := subprocess.run(words, check=False).returncode:
        raise UserError(f"`{shlex.join(words)}` ended with {code}, see above; fix the cause and give the command again")


def overrides(films: Path | None) -> list[str]:
    """The changes of params.yaml in Hydra's grammar: the source, and the split of its table."""
    if films is None:
        return [f"ingest.sources=[{{source: url, name: fracatlas, subset: {SUBSET}}}]", "annotate.split=given"]
    licence = json.dumps(READY["fracatlas"]["licence"])
    entry = f"source: folder, annotations: coco, classes: [fractured], licence: {licence}, subset: {SUBSET}"
    inbox = json.dumps(str(films.resolve()))
    return [f"ingest.sources=[{{{entry}}}]", f"ingest.inbox={inbox}", "annotate.split=given"]
