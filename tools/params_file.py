"""params.yaml as text: the comments of its keys, made from the models, and changes that keep all else as it stands."""

import json
import re
import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

from pydantic import create_model
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.tokens import ScalarToken

from stages import STAGES, section_model
from stages.common.core.files import write_text
from stages.common.core.params import Strict

WIDTH = 120
NARROW = 30  # of a comment behind a line that is long by itself
COLUMN = 27  # of a comment behind a short line
CONTINUED = re.compile(r" {20,}#")  # a comment's further lines; what starts further left is written by hand

Node = dict[str, Any]


@dataclass(frozen=True)
class Schema:
    """The JSON schema of params.yaml."""

    content: Node

    @classmethod
    def of_models(cls) -> "Schema":
        models: dict[str, Any] = {stage: (section_model(stage), ...) for stage in STAGES}
        return cls(create_model("Params", __base__=Strict, **models).model_json_schema())

    def resolve(self, node: Node) -> Node:
        """A node with what it refers to; where both have a key, that of the node holds."""
        if "$ref" not in node:
            return node
        target: Node = self.content["$defs"][node["$ref"].rpartition("/")[2]]
        return self.resolve(target) | {key: value for key, value in node.items() if key != "$ref"}

    def alternatives(self, node: Node) -> tuple[str, dict[str, Node]] | None:
        """The key that names the entries which may stand at a node, and those by their names; None for other nodes."""
        for part in [node, *node.get("anyOf", [])]:
            if "discriminator" in part:
                tag = part["discriminator"]["propertyName"]
                entries = [self.resolve(entry) for entry in part["oneOf"]]
                return tag, {name: entry for entry in entries for name in names(entry["properties"][tag])}
        return None

    def entries(self, node: Node) -> tuple[str, dict[str, Node]] | None:
        """As `alternatives`, also for a list of such entries."""
        return self.alternatives(self.resolve(node.get("items", {})) if node.get("type") == "array" else node)

    def chosen(self, node: Node, value: Any) -> tuple[Node, str]:
        """The schema of a mapping that stands at a node, and the key that holds its name where it is an entry."""
        if (alternatives := self.alternatives(node)) is None:
            return node, ""
        tag, entries = alternatives
        return entries[value[tag]], tag

    def leaves(self, node: Node, key: str = "") -> Iterator[tuple[str, Node]]:
        """The keys below a node that hold a value or entries, by their dotted names."""
        for name, child in node.get("properties", {}).items():
            child = self.resolve(child)
            path = f"{key}.{name}" if key else name
            if "properties" in child:
                yield from self.leaves(child, path)
            else:
                yield path, child

    def values(self, node: Node) -> str:
        """What may stand at a node, in words."""
        node = self.resolve(node)
        if (alternatives := self.alternatives(node)) is not None:
            return " | ".join(alternatives[1])
        if "properties" in node:
            return ", ".join(dict.fromkeys(self.values(child) for _, child in self.leaves(node)))
        if "enum" in node or "const" in node:
            return " | ".join(names(node))
        if "anyOf" in node:
            return " | ".join(self.values(part) for part in node["anyOf"])
        if node["type"] == "array":
            count = interval(node.get("minItems"), node.get("maxItems"))
            items = self.resolve(node["items"])
            what = "mappings" if "properties" in items else self.values(items)
            return f"list{f' ({count})' if count else ''} of {what}"
        words = {"boolean": "true | false", "string": "text", "object": "mapping"}
        return words.get(node["type"]) or numbers(node)


def names(node: Node) -> list[str]:
    """The words that a node allows."""
    return [shown(value) for value in node.get("enum", [node.get("const")])]


def shown(value: Any, tag: str = "") -> str:
    """A value as in params.yaml; an entry by its name, which stands at the key `tag`."""
    if isinstance(value, list):
        return f"[{', '.join(shown(item, tag) for item in value)}]"
    if isinstance(value, dict):
        return str(value[tag])
    return json.dumps(value) if isinstance(value, bool) or value == "" else str(value)


def interval(low: float | None, high: float | None) -> str:
    """A closed interval in words."""
    if low is None or high is None:
        return f">= {low}" if low is not None else f"<= {high}" if high is not None else ""
    return f"{low}" if low == high else f"{low}..{high}"


def numbers(node: Node) -> str:
    """The numbers that a node allows, in words; its type where those are all."""
    bounds = ("minimum", "exclusiveMinimum", "exclusiveMaximum", "maximum")
    least, above, below, most = (int(node[key]) if node.get(key, 0.5) % 1 == 0 else node.get(key) for key in bounds)
    if above is None and below is None:
        text = interval(least, most) or node["type"]
    elif below is None and most is None:
        text = f"> {above}"
    else:
        left = f"{above} <" if above is not None else f"{least} <="
        text = f"{left} x {f'< {below}' if below is not None else f'<= {most}'}"
    return f"{text}, a multiple of {node['multipleOf']}" if "multipleOf" in node else text


def comment(schema: Schema, node: Node) -> str:
    """The comment of a key: unit and values; what it means."""
    values = schema.values(node)
    limits = ", ".join(filter(None, [node.get("unit", ""), "" if values in ("text", "number", "integer") else values]))
    return "; ".join(filter(None, [limits, meaning(node)]))


def comments(schema: Schema, section: CommentedMap, node: Node, tag: str = "") -> Iterator[tuple[int, str]]:
    """Each line of params.yaml on which a key of `section` stands, from 0, and its comment.

    Args:
        node: the schema of the section.
        tag: the key that holds its name, where the section is an entry.
    """
    for key, value in section.items():
        child = schema.resolve(node["properties"][key])
        block = isinstance(value, CommentedMap) and not value.fa.flow_style()
        if key == tag:
            text = meaning(node)
        else:
            text = meaning(child) if block and "properties" in child else comment(schema, child)
        yield section.lc.key(key)[0], text
        if block:
            yield from comments(schema, value, *schema.chosen(child, value))
        if isinstance(value, CommentedSeq):
            items = schema.resolve(child["items"])
            for item in value:
                if isinstance(item, CommentedMap) and not item.fa.flow_style():
                    yield from comments(schema, item, *schema.chosen(items, item))


def meaning(node: Node) -> str:
    """The first paragraph of a description, on one line, without a full stop at its end."""
    return " ".join(node.get("description", "").partition("\n\n")[0].split()).removesuffix(".")


def commented(schema: Schema, text: str) -> str:
    """params.yaml with the comments of its keys written anew; values and other comments stay."""
    of_line: Mapping[int, str] = dict(comments(schema, YAML().load(text), schema.content))
    ends = ends_of_code(text)
    lines = []
    for number, line in enumerate(text.removesuffix("\n").split("\n")):
        if number not in of_line or ends[number] < 0:
            lines += [] if CONTINUED.match(line) and number not in ends else [line]
            continue
        code = line[: ends[number]]
        column = max(COLUMN, len(code) + 2)
        wrapped = textwrap.wrap(of_line[number], max(WIDTH - column - 2, NARROW)) or [""]
        lines += [f"{code:<{column}}# {wrapped[0]}" if wrapped[0] else code]
        lines += [f"{'':<{column}}# {more}" for more in wrapped[1:]]
    return "\n".join(lines) + "\n"


def ends_of_code(text: str) -> dict[int, int]:
    """Where the comment of each line that has more may begin, from 0: a # in a quoted value is none.

    After the lines of a value that goes on in the next line there can be no comment; their end is -1.
    """
    ends: dict[int, int] = {}
    for token in YAML(typ="safe", pure=True).scan(text):
        last = token.end_mark
        if isinstance(token, ScalarToken):
            ends |= dict.fromkeys(range(token.start_mark.line, last.line), -1)
        if ends.get(last.line) != -1:
            ends[last.line] = max(ends.get(last.line, 0), last.column)
    return ends


def change(path: Path, changes: Mapping[str, Any]) -> None:
    """Set keys of params.yaml; its other values stay, and so do comments that are written by hand.

    Args:
        path: params.yaml.
        changes: values by dotted keys that are in the file, or whose parent is.
    """
    editor = YAML()
    editor.indent(mapping=2, sequence=4, offset=2)
    editor.width = 10_000  # lines are broken by their comments only
    content = editor.load(path.read_text())
    for key, value in changes.items():
        *parents, last = key.split(".")
        section = content
        for name in parents:
            section = section[name]
        section[last] = in_style_of(section.get(last), value)
    text = StringIO()
    editor.dump(content, text)
    # A list that is replaced takes the blank line behind it along.
    apart = re.sub(r"(?m)(?<!\n)\n(?=[a-z_]+:$)", "\n\n", text.getvalue())
    write_text(path, commented(Schema.of_models(), apart))


def in_style_of(old: Any, value: Any) -> Any:
    """A value to stand in place of another one; on one line where that is a list on one line."""
    if isinstance(value, list) and isinstance(old, CommentedSeq) and old.fa.flow_style():
        value = CommentedSeq(value)
        value.fa.set_flow_style()
    return value
