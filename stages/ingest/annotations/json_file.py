"""What the readers of JSON annotations share: places in the file, numbers, rings."""

import json
import re
from math import isfinite
from typing import Any

import numpy as np

from stages.ingest.annotations.text_file import text_of
from stages.ingest.problems import Unreadable

HOW_TO_FIX = "export the annotations again"
SHAPES = (KeyError, TypeError, ValueError, AttributeError, IndexError, OverflowError)


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
        raise Unreadable(what, f"no JSON ({error.msg})", HOW_TO_FIX, error.lineno) from None
    except RecursionError:
        raise Unreadable(what, "JSON that is nested too deeply", HOW_TO_FIX) from None
    except ValueError:  # Python's limit
        raise Unreadable(what, "JSON with a number of thousands of digits", HOW_TO_FIX) from None


def with_lines(text: str, key: str, items: list[Any]) -> list[tuple[Any, int]]:
    """Each item of the list under `key` (of the file itself, if key is '') with the line where it starts.

    0 for all where no list of that key is walked to the same items.
    """
    if not isinstance(items, list):
        raise TypeError(f"{type(items).__name__} where a list belongs")
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
        raise ValueError(f"{value!r:.40} where a number belongs")
    return float(value)


def ring(values: Any) -> np.ndarray:
    """At least three points, float64 (n, 2) of x, y, from a flat list or one of pairs.

    Raises:
        ValueError, TypeError: they are fewer, or no numbers.
    """
    pairs = values if values and isinstance(values[0], list) else list(zip(values[::2], values[1::2], strict=True))
    points = np.array([[finite(x), finite(y)] for x, y in pairs])
    if len(points) < 3:
        raise ValueError(f"{len(points)} points where a polygon needs three")
    return points


def error_text(error: Exception) -> str:
    return f"no {error}" if isinstance(error, KeyError) else f"{error!s:.120}" or type(error).__name__
