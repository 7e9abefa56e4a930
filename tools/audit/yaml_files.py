"""params.yaml, dvc.yaml and dvc.lock: as they stand there, and the sections of params.yaml as the stages read them."""

from os.path import normpath
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from stages import read_params, section_model
from stages.common.core.errors import UserError
from stages.common.data.layout import INBOX, PARAMS


def read_yaml(name: str, text: str) -> Any:
    """What a YAML file of the project holds.

    Raises:
        UserError: it is none, or says something twice.
    """
    try:
        return YAML(typ="safe").load(text)
    except (YAMLError, ValueError):
        raise UserError(
            f"{name}: expected one YAML document with each key once, found something else; `git checkout {name}` "
            "brings back the committed one"
        ) from None


def lookup(params: Any, key: str) -> Any:
    """The value of a dotted key in nested mappings; None where there is none."""
    for part in key.split("."):
        params = params.get(part) if isinstance(params, dict) else None
    return params


def params_here(root: Path) -> Any:
    """What params.yaml of a project holds.

    Raises:
        UserError: it is no YAML, or says something twice.
    """
    return read_yaml(str(PARAMS), (root / PARAMS).read_text())


def inbox_of(params: Any) -> str:
    """The folder of sources, as dvc.lock writes it; the default one where params.yaml names none."""
    return normpath(lookup(params, "ingest.inbox") or INBOX)


def settings_of(root: Path, stage: str) -> Any:
    """The section of a stage in params.yaml of a project, checked by its model.

    Raises:
        UserError: params.yaml cannot be used.
    """
    return section_model(stage).model_validate(read_params(root / PARAMS)[stage])
