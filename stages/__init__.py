"""The pipeline: one folder per DVC stage, in the order of dvc.yaml, and `common`, which stages share.

Imports run one way: common.core <- common.data <- common.model <- common.analysis <- stages <- tools.
"""

import sys
from argparse import ArgumentParser
from collections.abc import Callable
from importlib import import_module
from io import TextIOWrapper
from pathlib import Path
from typing import Any

from stages.common.core.arithmetic import pin_instructions
from stages.common.core.git import stay_in_repository
from stages.common.core.library_path import refuse_own_libraries
from stages.common.core.printed import plain_lines
from stages.common.core.shell import run_command
from stages.common.core.signals import begin_loading, begin_working
from stages.common.data.layout import PARAMS

STAGES = ("ingest", "preprocess", "threshold", "annotate", "train", "evaluate", "report")


def section_model(stage: str) -> Any:
    """The pydantic model of a stage's section of params.yaml.

    It is imported by name: what another section says can only refuse a run and never change a result, so that the
    code of other stages is no dependency of a stage.
    """
    return import_module(f"{__name__}.{stage}.params").Params


def read_params(path: Path, source: str = "") -> dict[str, Any]:
    """The whole of params.yaml as plain values, every section checked by its model.

    All sections are checked whichever stage asks, so that a typo in `train` stops `ingest` before any work.

    Args:
        path: params.yaml.
        source: what an error names in place of the path.
    Raises:
        UserError: a section, a key or a value cannot be used; the message names each.
    """
    from stages.common.core.params import read_sections  # a start must not wait for pydantic

    return read_sections(path, {stage: section_model(stage) for stage in STAGES}, source)


def recipe_name(params: Path = PARAMS) -> str:
    """The recipe of params.yaml, for records that are no output of a stage.

    It is imported by name: another definition of a recipe is no other training.
    """
    return str(import_module(f"{__name__}.recipes").recipe_name(read_params(params)))


def run(stage: str, add_arguments: Callable[[ArgumentParser], None] = lambda parser: None) -> None:
    """What `python -m stages.NAME` does: the stage's `main`, given its section of params.yaml and the arguments.

    Args:
        add_arguments: adds the command's own arguments, which become arguments of `main`.
    """
    begin_loading(stage)
    stay_in_repository()
    refuse_own_libraries()
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # names of files need not be text of the terminal's encoding
    purpose = str(import_module(f"{__name__}.{stage}").__doc__).splitlines()[0]
    parser = ArgumentParser(
        prog=f"python -m stages.{stage}",
        description=f"{purpose} Parameters: section `{stage}` of params.yaml. `dvc repro` runs it when needed.",
    )
    add_arguments(parser)
    arguments = vars(parser.parse_args())

    def work() -> int:
        settings = section_model(stage).model_validate(read_params(PARAMS)[stage])
        pin_instructions(torch=getattr(settings, "portable", True))
        main = import_module(f"{__name__}.{stage}.main").main
        begin_working()
        print(plain_lines(f"{stage}: {main(settings, **arguments)}"), flush=True)
        return 0

    run_command(stage, work)
