"""What params.yaml may hold, written from the pydantic models: its comments, a page of the docs, a schema for editors.

Run: make reference     (after a change of a stages/NAME/params.py)
"""

import json
from collections.abc import Iterable
from pathlib import Path

from ruamel.yaml import YAML

from stages import STAGES
from stages.common.core.files import write_text
from stages.common.data.layout import PARAMS
from tools.params_file import Node, Schema, commented, meaning, shown

SCHEMA, PAGE = Path("params.schema.json"), Path("docs/reference/params.md")
HEAD = """# Parameters

Every key of [params.yaml](../../params.yaml), written by `make reference` from the models that check it. Unknown keys,
values of another type and values out of range are refused. `dvc exp run -S KEY=VALUE` changes a key for an experiment;
[sweeps](../how-to/sweeps.md) has lists, whole sections and other methods. The last column names the stages that rerun;
`report` prints all parameters and reruns after any change.

A key that takes an entry holds a mapping with the entry's name and its own keys only, such as
`{method: dwa, temperature: 2.0}`. Keys that are left out have their defaults; the name alone, `dwa`, has all of them.
"""
HEADS = ("values", "unit", "default", "meaning")  # of the cells of a key


def table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, *([cell.replace("|", "\\|") for cell in row] for row in rows)]
    text = [f"| {' | '.join(line)} |\n" for line in lines]
    return "".join([text[0], f"|{'---|' * len(head)}\n", *text[1:]])


def cells(schema: Schema, node: Node) -> list[str]:
    """Values, unit, default and meaning of a key."""
    values, tag = schema.values(node), ""
    if (entries := schema.entries(node)) is not None:
        tag, values = entries[0], "entries, see below" if node.get("type") == "array" else "an entry, see below"
    elif node.get("type") in ("integer", "number") and values != node["type"]:
        values = f"{node['type']}, {values}"
    default = f"`{shown(node['default'], tag)}`" if "default" in node else ""
    return [values, node.get("unit", ""), default, meaning(node)]


def reruns(pipeline: Node, key: str) -> str:
    """The stages that a parameter concerns, as dvc.yaml has them; NAME@VARIANT where only one variant uses it."""
    concerned = []
    for name, stage in pipeline["stages"].items():
        variants = stage.get("matrix", {}).get("variant", [""])
        users = []
        for variant in variants:
            params = [param.replace("${item.variant}", variant) for param in stage["params"]]
            if any(f"{key}.".startswith(f"{param}.") for param in params) or f"${{{key}}}" in str(stage):
                users.append(variant)
        if users and (name != "report" or key.startswith("report.")):
            concerned += [name] if users == variants else [f"{name}@{variant}" for variant in users]
    return ", ".join(concerned)


def page(schema: Schema, pipeline: Node) -> str:
    """docs/reference/params.md."""
    parts = [HEAD]
    for section in STAGES:
        leaves = dict(schema.leaves(schema.resolve(schema.content["properties"][section]), section))
        rows = [[f"`{key}`", *cells(schema, node), reruns(pipeline, key)] for key, node in leaves.items()]
        parts.append(f"\n## {section}\n\n" + table(["key", *HEADS, "reruns"], rows))
        parts += [entries_of(schema, keys, tag, entries) for keys, tag, entries in shared_entries(schema, leaves)]
    return "".join(parts)


def shared_entries(schema: Schema, leaves: dict[str, Node]) -> list[tuple[list[str], str, dict[str, Node]]]:
    """The entries that some keys hold, and those that their own keys hold: keys, tag, entries by name."""
    users: dict[str, list[str]] = {}
    for key, node in leaves.items():
        if (own := schema.entries(node)) is not None:
            users.setdefault(json.dumps(own), []).append(key)
    shared = []
    for text, keys in users.items():
        tag, entries = json.loads(text)
        shared.append((keys, tag, entries))
        below = {f"{keys[0]}.{key}": node for entry in entries.values() for key, node in schema.leaves(entry)}
        shared += shared_entries(schema, below)
    return shared


def entries_of(schema: Schema, keys: list[str], tag: str, entries: dict[str, Node]) -> str:
    """The entries that may stand at some keys, and the keys that they have.

    Args:
        schema: of params.yaml.
        keys: that may hold them.
        tag: the key that names an entry.
        entries: their schemas by name.
    Returns:
        Markdown.
    """
    kinds: dict[tuple[str, str], list[str]] = {}  # names of entries, by what they do and their keys
    users: dict[tuple[str, ...], list[str]] = {}  # names of entries, by a key that they have and what it may hold
    for name, entry in entries.items():
        own = {key: node for key, node in schema.leaves(entry) if key != tag}
        kinds.setdefault((meaning(entry), spelt(own)), []).append(name)
        for key, node in own.items():
            users.setdefault((key, *cells(schema, node)), []).append(name)
    what = [[spelt(of), *kind] for kind, of in kinds.items()]
    rows = [[f"`{key}`", "all" if len(of) == len(entries) else spelt(of), *more] for (key, *more), of in users.items()]
    title = f"\n### Entries of {' and '.join(f'`{key}`' for key in keys)}\n\n"
    return title + table([tag, "", "keys"], what) + "\n" + table(["key", "of", *HEADS], rows)


def spelt(words: Iterable[str]) -> str:
    return ", ".join(f"`{word}`" for word in words)


def written(root: Path) -> dict[Path, str]:
    """The text of each file that this script writes, by its path below `root`."""
    schema = Schema.of_models()
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema"}
    return {
        PARAMS: commented(schema, (root / PARAMS).read_text()),
        SCHEMA: json.dumps(head | schema.content, indent=2) + "\n",
        PAGE: page(schema, YAML(typ="safe").load((root / "dvc.yaml").read_text())),
    }


def main(root: Path = Path()) -> None:
    for name, text in written(root).items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        write_text(root / name, text)


if __name__ == "__main__":
    main()
