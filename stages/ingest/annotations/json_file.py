"""What the readers of JSON annotations share: places in the file, numbers, rings."""

import json
import re
from math import isfinite
from typing import Any

import numpy as np

from stages.ingest.annotations.text_file import text_of
from stages.ingest.problems import Unreadable, Wrong

HOW_TO_FIX = "export the annotations again"
SHAPES = (KeyError, TypeError, ValueError, AttributeError, IndexError, OverflowError)
KINDS = {dict: "an object", list: "a list", str: "a text", bool: "true or false", type(None): "null"}


class Repeated(Exception):
    """A key that an object has twice, of which Python would take the last and others the first."""


def mapping(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object of a JSON file; raises Repeated."""
    made = dict(pairs)
    if len(made) < len(pairs):
        names = [name for name, _ in pairs]
        raise Repeated(next(name for name in names if names.count(name) > 1))
    return made


def load(content: bytes, what: str) -> tuple[str, Any]:
    """The text of a JSON file and what it holds."""
    text = text_of(content)
    try:
        return text, json.loads(text, object_pairs_hook=mapping)
    except Repeated as error:
        raise Unreadable(what, f"the key {str(error)!r:.40} twice in one object", HOW_TO_FIX) from None
    except json.JSONDecodeError as error:
        raise Unreadable(
            what, f"no JSON (it ends early, or breaks the rules in column {error.colno})", HOW_TO_FIX, error.lineno
        ) from None
    except RecursionError:
        raise Unreadable(what, "JSON that is nested too deeply", HOW_TO_FIX) from None
    except ValueError:  # Python's limit
        raise Unreadable(what, "JSON with a number of thousands of digits", HOW_TO_FIX) from None


def with_lines(text: str, key: str, items: Any) -> list[tuple[Any, int]]:
    """Each item of the list under `key` (of the file itself, if key is '') with the line where it starts.

    0 for all where no list of that key is walked to the same items.
    """
    items = listed(items)
    for start in re.finditer(rf'"{key}"\s*:\s*\[' if key else r"\A\s*\[", text):
        found, lines = item_lines(text, start.end())
        if found == items:
            return list(zip(items, lines, strict=True))
    return [(item, 0) for item in items]


def item_lines(text: str, offset: int) -> tuple[list[Any], list[int]]:
    """The items of the list that starts before `offset`, and the line where each starts.

    The JSON parser keeps no offsets, so the list is walked once more.
    """
    decoder, space = json.JSONDecoder(), re.compile(r"[\s,]*")
    items: list[Any] = []
    lines: list[int] = []
    counted, line = 0, 1
    while True:
        offset = space.match(text, offset).end()  # type: ignore[union-attr]
        if offset >= len(text) or text[offset] == "]":
            return items, lines
        line += text.count("\n", counted, offset)
        counted = offset
        try:
            item, offset = decoder.raw_decode(text, offset)
        except ValueError:
            return items, lines
        items.append(item)
        lines.append(line)


def line_of_key(text: str, key: str) -> int:
    """The line where a key of an object stands first, or 0."""
    offset = text.find(json.dumps(key))
    return text.count("\n", 0, offset) + 1 if offset >= 0 else 0


def finite(value: Any) -> float:
    """A number that is one, and no text that looks like one."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not isfinite(value):
        raise Wrong(f"{kind_of(value) if isinstance(value, list | dict) else repr(value)[:40]} where a number belongs")
    return float(value)


def kind_of(value: Any) -> str:
    """What JSON calls a value."""
    return KINDS.get(type(value), "a number")


def listed(value: Any) -> list[Any]:
    """A list, which nothing else is."""
    if not isinstance(value, list):
        raise Wrong(f"{kind_of(value)} where a list belongs")
    return value


def record(value: Any) -> dict[str, Any]:
    """An object with named values, which nothing else is."""
    if not isinstance(value, dict):
        raise Wrong(f"{kind_of(value)} where an object belongs")
    return value


def numbers(values: Any, count: int, what: str) -> list[float]:
    """A list of so many numbers; `what` is its name."""
    if len(listed(values)) != count:
        raise Wrong(f"{len(values)} values where {what} has {count}")
    return [finite(value) for value in values]


def ring(values: Any) -> np.ndarray:
    """At least three points, float64 (n, 2) of x, y, from a flat list or one of pairs.

    Raises:
        Wrong: they are fewer, or no numbers.
    """
    in_pairs = bool(listed(values)) and isinstance(values[0], list)
    pairs = values if in_pairs else [values[start : start + 2] for start in range(0, len(values), 2)]
    points = np.array([numbers(pair, 2, "a point") for pair in pairs])
    if len(points) < 3:
        raise Wrong(f"{len(points)} points where a polygon needs three")
    return points


def error_text(error: Exception) -> str:
    """Why a part of a file cannot be read; what Python itself says would be of its own types, and may quote."""
    if isinstance(error, KeyError):
        return f"no {error}"
    return f"{error!s:.120}" if isinstance(error, Wrong) else "a value of another kind than the format has"
