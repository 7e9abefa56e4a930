"""The pipeline: one folder per DVC stage, in the order of dvc.yaml, and `common`, which stages share.

Imports run one way: common.core <- common.data <- common.model <- common.analysis <- stages <- tools.
"""

import sys
from collections.abc import Callable
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

from stages.common.core.params import read_sections
from stages.common.core.stage import run_stage

STAGES = ("ingest", "preprocess", "threshold", "annotate", "train", "evaluate", "report")


def section_model(stage: str) -> Any:
    """The pydantic model of a stage's section of params.yaml.

    It is imported by name: what another section says can only refuse a run and never change a result, so that the
    code of other stages is no dependency of a stage.
    """
    return import_module(f"{__name__}.{stage}.params").Params


def read_params(path: Path) -> dict[str, Any]:
    """The whole of params.yaml as plain values, every section checked by its model.

    All sections are checked whichever stage asks, so that a typo in `train` stops `ingest` before any work.

    Raises:
        UserError: a section, a key or a value cannot be used; the message names each.
    """
    return read_sections(path, {stage: section_model(stage) for stage in STAGES})


def run(stage: str) -> None:
    """What `python -m stages.NAME` does: the stage's `main` with its section of params.yaml and the command's words."""

    def load() -> Callable[[], str]:
        main = import_module(f"{__name__}.{stage}.main").main
        return partial(
            main, section_model(stage).model_validate(read_params(Path("params.yaml"))[stage]), *sys.argv[1:]
        )

    run_stage(stage, load)
