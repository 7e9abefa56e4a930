"""params.yaml, read as DVC reads it and refused by name when something in it is wrong."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from stages.common.core.errors import UserError, error_list


class Strict(BaseModel):
    """A section of params.yaml: no unknown keys, no silent conversions, no changes after reading."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


def read_sections(path: Path, models: Mapping[str, type[Strict]]) -> dict[str, Any]:
    """The whole file as plain Python values, each section checked by its model.

    Args:
        path: params.yaml.
        models: the model of each section, by its name.
    Raises:
        UserError: the file is missing, is no YAML, or a key is unknown, missing, of the wrong type or out of range.
    """
    try:
        content = YAML(typ="safe").load(path.read_text())
    except FileNotFoundError:
        raise UserError(
            f"{path}: expected the pipeline's parameters, found no file; run from the project's root"
        ) from None
    except YAMLError as error:
        raise UserError(f"{path}: expected YAML, found a fault in it: {' '.join(str(error).split())}") from None
    content = content if isinstance(content, dict) else {}
    findings = [f"{name}: there is no such section" for name in content if name not in models]
    findings += [f"{name}: this section is missing" for name in models if name not in content]
    for name, model in models.items():
        try:
            model.model_validate(content.get(name, {}) if name in content else {})
        except ValidationError as error:
            if name in content:
                findings += [f"{name}.{describe_error(item)}" for item in error.errors()]
    if findings:
        raise error_list(f"{path}: these parameters cannot be used", findings)
    return content


def describe_error(item: Any) -> str:
    """One pydantic error as `key.key: message (found value)`."""
    key = ".".join(str(part) for part in item["loc"]) or "(whole section)"
    found = "" if item["type"] in ("missing", "extra_forbidden") else f" (found {item['input']!r})"
    message = {"extra_forbidden": "there is no such parameter", "missing": "this parameter is missing"}
    return f"{key}: {message.get(item['type'], item['msg'])}{found}"
