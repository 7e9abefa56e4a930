"""A chain of evidence: things, and what each was made from."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Node:
    """A thing that can be checked: a number, a file, a row, a set of params. facts: hashes, stage, commit..."""

    name: str
    kind: str
    facts: dict[str, Any] = field(default_factory=dict)


class Graph:
    """Nodes by name, and for each what it was made from."""

    def __init__(self) -> None:
        self.nodes: dict[str, Node] = {}
        self.origins: dict[str, list[str]] = {}
        self.films: dict[str, list[str]] = {}  # of a patient or a source file that the graph is about
        self.kinds: list[str] = []  # what is called as what the graph is about

    def add(self, name: str, kind: str, *origins: str, **facts: Any) -> str:
        """Add a node made from others, or more facts and origins to one that is there."""
        node = self.nodes.get(name, Node(name, kind))
        self.nodes[name] = Node(name, kind, node.facts | {key: value for key, value in facts.items() if value != ""})
        its_origins = self.origins.setdefault(name, [])
        its_origins += [origin for origin in origins if origin not in its_origins]
        return name

    def results(self) -> dict[str, list[str]]:
        """What was made from each node."""
        results: dict[str, list[str]] = {name: [] for name in self.nodes}
        for name, origins in self.origins.items():
            for origin in origins:
                results.setdefault(origin, []).append(name)
        return results

    def walk(self, start: str, down: bool = False) -> Iterator[tuple[int, str, bool]]:
        """Depth, name, and whether it was visited before, from `start` to its origins (or results), depth first."""
        follow, visited = self.results() if down else self.origins, set[str]()
        todo = [(0, start)]
        while todo:
            depth, name = todo.pop()
            yield depth, name, name in visited
            if name not in visited:
                visited.add(name)
                todo += [(depth + 1, after) for after in reversed(follow.get(name, []))]

    def edges(self) -> Iterator[tuple[str, str]]:
        """What each node was made from; films, also the patient or source file that the graph is about."""
        for name, origins in self.origins.items():
            yield from ((name, origin) for origin in origins)
        for what, films in self.films.items():
            yield from ((film, what) for film in films)

    def as_dict(self) -> dict[str, Any]:
        nodes = [{"name": node.name, "kind": node.kind, **node.facts} for node in self.nodes.values()]
        return {"nodes": nodes, "edges": [{"of": name, "from": origin} for name, origin in self.edges()]}
