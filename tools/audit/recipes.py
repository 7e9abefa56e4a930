"""Under which recipe the outputs of dvc.lock were made, and what the encoder of a model started from."""

from pathlib import Path
from typing import Any

from pydantic import ValidationError

from stages.common.data.records import PretrainedRecord, read_model_record
from stages.common.model.architecture import read_network
from stages.recipes import SECTIONS, recipe_name
from tools.audit.dvc_lock import Lock, Stage
from tools.audit.yaml_files import lookup


def recipe_of(lock: Lock) -> str:
    """The recipe of the params that the stages ran with; blank where a stage has not run, or had other params."""
    params: dict[str, Any] = {section: {} for section in SECTIONS}
    ran_with = [item for stage in lock.stages.values() for item in stage.params.items() if in_recipe(item[0])]
    for key, value in ran_with:
        section, _, rest = key.partition(".")
        put(params[section], rest, value)
    if any(lookup(params, key) != value for key, value in ran_with):  # a stage has run since with others
        return ""
    try:
        return recipe_name(params) if all(params.values()) else ""
    except ValidationError:
        return ""


def in_recipe(key: str) -> bool:
    """Whether a dotted key of params.yaml lies in a section that recipes set."""
    return key.partition(".")[0] in SECTIONS


def put(section: dict[str, Any], key: str, value: Any) -> None:
    """Set a dotted key of a section, or the whole section."""
    if not key:
        section.update(value)
        return
    *parents, last = key.split(".")
    for parent in parents:
        section = section.setdefault(parent, {})
    section[last] = value


def encoder_file(stage: Stage) -> str:
    """The file, from the root, that the encoder of a training starts from; blank where it starts from none.

    The file is no dependency of the stage, whose pins have its SHA-256.
    """
    try:
        settings = read_network(stage.params.get("train.network"))
    except ValidationError:  # of another stage, or one that a training refuses
        return ""
    return settings.weight_file


def pretrained_of(folder: Path) -> PretrainedRecord | None:
    """What the encoder of a model started from; None for random weights."""
    return read_model_record(folder).get("pretrained")
