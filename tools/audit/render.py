"""A chain of evidence as text, JSON, or a graph for Graphviz."""

import json
import re
from typing import Any

from stages.common.core.printed import one_line, plain_lines
from tools.audit.graph import Graph, Node

SHORT = 12  # digits of a hash in text; JSON has all
FEW = 12  # results of one thing that text lists
HASHES = ("md5", "sha256", "commit")


def text(graph: Graph, start: str) -> str:
    """What it is, what it was made from (<-), and what was made from it (->)."""
    if start not in graph.films:
        return chain(graph, start)
    films = graph.films[start]
    kind = f"{' and '.join(graph.kinds)} of that name" if len(graph.kinds) > 1 else node_line(graph.nodes[start])
    head = one_line(f"{start}: {kind}, films {', '.join(films)}")
    return "\n\n".join([head, *(chain(graph, film) for film in films)])


def chain(graph: Graph, start: str) -> str:
    """`text` of a node by itself."""
    lines = [f"{start}: {node_line(graph.nodes[start])}" if start in graph.nodes else start]
    for sign, down in (("<-", False), ("->", True)):
        for depth, name, repeated in graph.walk(start, down):
            if depth:
                node = graph.nodes.get(name, Node(name, "input"))
                lines.append(
                    f"{'   ' * (depth - 1)}{sign} {name}" + (" (above)" if repeated else f": {node_line(node)}")
                )
    return "\n".join(map(one_line, lines))


def node_line(node: Node) -> str:
    """Kind and facts of a node in a line."""
    parts = [f"{key} {brief(key, value)}" for key, value in node.facts.items()]
    return ", ".join([node.kind, *parts])


def shortened(text: str) -> str:
    """A hash (MD5, SHA-1 or SHA-256 in hexadecimal digits, with the suffix .dir or without) cut to SHORT; else all."""
    digest = re.fullmatch(r"([0-9a-f]{32,64})(\.dir)?", text)
    return digest[1][:SHORT] + (digest[2] or "") if digest else text


def brief(key: str, value: Any) -> str:
    if key in HASHES or key.startswith("stages/"):
        return shortened(str(value))
    return json.dumps(value) if isinstance(value, dict | list) else str(value)


def dot(graph: Graph, start: str) -> str:
    """The graph in the language of Graphviz, arrows from what is made to what it is made of."""

    def quoted(word: str) -> str:
        return '"' + plain_lines(word).replace("\\", "\\\\").replace('"', '\\"') + '"'

    lines = ["digraph lineage {", f"  rankdir=RL; node [shape=box]; {quoted(start)} [style=bold];"]
    for node in graph.nodes.values():
        label = quoted(f"{node.name}\n{node.kind} {shortened(str(node.facts.get('md5', '')))}".strip())
        lines.append(f"  {quoted(node.name)} [label={label}];")
    lines += [f"  {quoted(name)} -> {quoted(origin)};" for name, origin in graph.edges()]
    return "\n".join([*lines, "}"])


def as_json(graph: Graph, start: str) -> str:
    return json.dumps({"start": start} | graph.as_dict(), indent=1, sort_keys=True)
