"""params.yaml, read as DVC reads it and refused by name when something in it is wrong."""

from importlib import import_module
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from stages.common.errors import Fault, faults

ROOMS = ("ingest", "preprocess", "threshold", "annotate", "train", "evaluate", "report")


class Strict(BaseModel):
    """A section of params.yaml: no unknown keys, no silent conversions, no changes after reading."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


def read_params(path: Path) -> dict[str, Any]:
    """The whole file as plain Python values, each section checked by the `Params` of its room.

    All sections are checked whichever stage asks, so that a typo in `train` stops `ingest` before any work.
    The rooms are imported by name: what another section says can only refuse, never change a result, and so
    the other rooms are no dependencies of a stage.

    Raises:
        Fault: the file is missing, is no YAML, or a key is unknown, missing, of the wrong type or out of range.
    """
    try:
        content = YAML(typ="safe").load(path.read_text())
    except FileNotFoundError:
        raise Fault(f"{path}: expected the pipeline's parameters, found no file; run from the project's root") from None
    except YAMLError as error:
        raise Fault(f"{path}: expected YAML, found a fault in it: {' '.join(str(error).split())}") from None
    content = content if isinstance(content, dict) else {}
    findings = [f"{name}: there is no such section" for name in content if name not in ROOMS]
    findings += [f"{name}: this section is missing" for name in ROOMS if name not in content]
    for name in ROOMS:
        try:
            section_model(name).model_validate(content.get(name, {}) if name in content else {})
        except ValidationError as error:
            if name in content:
                findings += [f"{name}.{describe(item)}" for item in error.errors()]
    if findings:
        raise faults(f"{path}: these parameters cannot be used", findings)
    return content


def section_model(name: str) -> type[Strict]:
    model: type[Strict] = import_module(f"stages.{name}.params").Params
    return model


def describe(item: Any) -> str:
    """One pydantic error as `key.key: message (found value)`."""
    key = ".".join(str(part) for part in item["loc"]) or "(whole section)"
    found = "" if item["type"] in ("missing", "extra_forbidden") else f" (found {item['input']!r})"
    message = {"extra_forbidden": "there is no such parameter", "missing": "this parameter is missing"}
    return f"{key}: {message.get(item['type'], item['msg'])}{found}"
