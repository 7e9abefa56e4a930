"""Params as nested dictionaries, and those of a toy project that takes seconds."""

from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

SAMPLE: dict[str, Any] = {"source": "sample", "seed": 7, "films": 24, "width": 96}
"""The entry of a toy project in `ingest.sources`."""
TOY: dict[str, Any] = {
    "ingest": {"sources": [SAMPLE]},
    "preprocess": {"size": 64},
    "annotate": {"split": {"train": 16, "test": 8, "validation": 4}},
    "train": {"network": {"channels": [16, 8, 8]}, "loop": {"epochs": 2, "batch": 4, "threads": 1}},
}
"""What a toy project changes in params.yaml."""
TWO_SEEDS: dict[str, Any] = {
    "train": {"seeds": [1, 2], "loop": {"epochs": 6}, "optimiser": {"learning_rate": 0.01}},
    "evaluate": {"threshold": 0.3},  # networks of six epochs are timid
}
"""What the toy project of `two_seeds` changes in that."""


def merge(base: dict[str, Any], change: dict[str, Any]) -> dict[str, Any]:
    """`base` with the leaves of `change`, as new dictionaries."""
    out = dict(base)
    for key, value in change.items():
        out[key] = merge(out[key], value) if isinstance(value, dict) else value
    return out


def read_yaml(path: Path) -> Any:
    return YAML(typ="safe").load(path.read_text())


def write_yaml(path: Path, content: dict[str, Any]) -> None:
    with path.open("w") as file:
        YAML(typ="safe").dump(content, file)


def change_params(project: Path, change: dict[str, Any]) -> None:
    """Change leaves of a project's params.yaml."""
    path = project / "params.yaml"
    write_yaml(path, merge(read_yaml(path), change))
