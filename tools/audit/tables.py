"""Tables as an audit reads them: what is not as the pipeline writes it is named, and what follows is not looked at."""

import csv
import json
import math
from io import StringIO
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from stages.common.core.errors import UserError
from stages.common.core.files import json_text
from stages.common.data.tables import Table, table_text
from stages.common.model.metrics import COUNTS
from stages.ingest.annotations.json_file import Repeated, mapping
from tools.audit.check_record import list_differences
from tools.audit.findings import Check
from tools.audit.trace import Project

# Columns of text that holds numbers, as `write_points` writes them.
LISTS_OF_NUMBERS = ("points", "pixel_spacing_mm", "imager_pixel_spacing_mm", "thresholds", "boxes")
CLOSE = 1e-9  # relative; sums of a hundred floats in another order
NOISE = 1e-12  # what such sums leave of 0 where they are subtracted
PROBABILITIES = ("wilcoxon", "permutation", "holm", "false_claim")  # of the statistics: small ones say something


def read_table(project: Project, check: Check, folder: Path, table: Table[Any]) -> pd.DataFrame | None:
    """A table of an output; None where it is named, or something in it is wrong.

    Args:
        project: whose table is read.
        check: gets a finding for each column that is not the table's, for cells of another type, and for the first line
            that is not as the pipeline writes it.
        folder: of the table, from the root.
        table: says which columns it has.
    """
    path = str(folder / table.name)
    if not check.whole(path):
        return None
    try:
        text = (project.root / path).read_bytes().decode()
        header, *rows = list(csv.reader(StringIO(text, newline=""))) or [[]]
        further = table.further(header)
        columns = [name for column in table.columns for name in (column, *further.get(column, ()))]
        for name, message in list_differences(header, columns, path, "the pipeline"):
            check.add(f"{path}: {name}", "mismatch", message)
        for number, row in enumerate(rows, start=2):
            if len(row) != len(header):
                check.add(f"{path}: line {number}", "mismatch", f"expected {len(header)} cells, found {len(row)}")
        if check.whole(path):
            check.add_first_line(path, text, as_table(text, table), "the pipeline")
        if not check.whole(path):
            return None
        found = table.parse(project.root / path)
    except (OSError, ValueError, OverflowError, csv.Error, UserError):
        check.add(path, "mismatch", "it cannot be read as the pipeline's table")
        return None
    for name in set(LISTS_OF_NUMBERS) & set(found):
        for number, text in enumerate(found[name], start=2):
            if text != (written := spelled(text)):
                message = f"{text!r:.80} stands there, and the pipeline writes {written!r:.80}"
                check.add(f"{path}: line {number}/{name}", "mismatch", message)
    for name in set(COUNTS) & set(found):
        if (found[name] < 0).any():
            check.add(f"{path}: {name}", "mismatch", "a number of pixels is below 0")
    return found if check.whole(path) else None


def spelled(text: str) -> str:
    """A text of numbers, with blanks between them and `;` between lists of them, as the pipeline writes it; else a
    blank text.
    """
    try:
        lists = [list(map(float, part.split())) for part in text.split(";")]
    except ValueError:
        return ""
    if not all(map(math.isfinite, chain.from_iterable(lists))):
        return ""
    return ";".join(" ".join(f"{number:.10g}" for number in part) for part in lists)


def as_table(text: str, table: Table[Any]) -> str:
    """What the pipeline writes of what it reads in the text of a table.

    Raises:
        ValueError: it cannot read it.
    """
    return table_text(table.cells(StringIO(text, newline="")))


def read_record(project: Project, check: Check, path: Path) -> dict[str, Any] | None:
    """A JSON file of an output; None where it is named, or holds no mapping.

    A key that stands there twice would say one thing to a reader, and another to a program.
    """
    if not check.whole(str(path)):
        return None
    try:
        text = (project.root / path).read_bytes().decode()
        content = json.loads(text, object_pairs_hook=mapping)
        written = json_text(content)
    except (OSError, ValueError, Repeated, RecursionError):
        check.add(str(path), "mismatch", "it cannot be read as JSON whose keys stand there once")
        return None
    if not isinstance(content, dict):
        check.add(str(path), "mismatch", "expected names and values, found something else")
        return None
    check.add_first_line(str(path), text, written, "the pipeline")
    return content if check.whole(str(path)) else None


def first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else "no reason given"


def compare_lists(check: Check, path: str, found: list[str], expected: list[str], origin: str = "the split") -> bool:
    """Name what a table has too little, too much, twice or in another order; returns whether there is nothing.

    Args:
        check: gets the findings.
        path: of the table.
        found, expected: names of its rows.
        origin: what says which rows are expected.
    """
    problems = list(list_differences(found, expected, path, origin))
    for name, message in problems:
        check.add(f"{path}: {name}", "mismatch", message)
    return not problems


def compare_tables(check: Check, path: str, found: pd.DataFrame, expected: pd.DataFrame, whole: bool = False) -> None:
    """Name each cell that is not as expected, by its row and column.

    A row is called by its first cell, or by as many of its first as no other row has: trainings of a variant by seed
    and fold.

    Args:
        check: gets the findings.
        path: of the table.
        found: what it holds.
        expected: what follows from other files; its columns are compared, its rows stand in the same order.
        whole: whether it has all columns, so that no other is expected.
    """
    columns = [str(column) for column in expected.columns if column in found]
    most = range(1, len(columns) + 1)
    keys = next((columns[:count] for count in most if not expected.duplicated(columns[:count]).any()), columns)
    names, rows = (row_names(table, keys) for table in (found, expected))
    if not compare_lists(check, path, names, rows):
        return
    for column in expected.columns.difference(found.columns, sort=False):
        check.add(f"{path}: {column}", "mismatch", "there is no such column, which follows from its files")
    for column in found.columns.difference(expected.columns, sort=False) if whole else ():
        check.add(f"{path}: {column}", "extra", "no such column follows from its files")
    for column in expected.columns.intersection(found.columns, sort=False)[1:]:
        if found[column].equals(expected[column]):
            continue  # to look at cell by cell takes a hundred times as long
        for name, cell, value in zip(names, found[column], expected[column], strict=True):
            if not same(cell, value, noise=0.0 if column in PROBABILITIES else NOISE):
                check.add(
                    f"{path}: {name}/{column}", "mismatch", f"{cell} stands there, {value} follows from its files"
                )


def row_names(table: pd.DataFrame, keys: list[str]) -> list[str]:
    """What the rows of a table are called: their cells in some columns."""
    return [" ".join(map(str, cells)) for cells in zip(*(table[key] for key in keys), strict=True)]


def compare_records(check: Check, path: str, found: dict[str, Any], expected: dict[str, Any], within: str = "") -> None:
    """Name each field of a JSON file that is not as expected, missing or extra.

    Args:
        check: gets the findings.
        path: of the file.
        found: what it holds.
        expected: what follows from other files.
        within: the keys that lead to both, with a dot at their end.
    """
    for key in sorted(found.keys() | expected.keys()):
        name, cell, value = f"{within}{key}", found.get(key), expected.get(key)
        if key not in found:
            check.add(f"{path}: {name}", "missing", f"{value} follows from its files")
        elif key not in expected:
            check.add(f"{path}: {name}", "extra", "nothing of that name follows from its files")
        elif isinstance(cell, dict) and isinstance(value, dict):
            compare_records(check, path, cell, value, f"{name}.")
        elif cell == "" or not same(cell, value):  # a blank of a table is `null` here
            check.add(f"{path}: {name}", "mismatch", f"{cell!r} stands there, {value} follows from its files")


def same(found: Any, expected: Any, close: float = CLOSE, noise: float = NOISE) -> bool:
    """Whether two values are one: floats nearly, lists item by item, blank and undefined alike.

    Args:
        found, expected: of a cell or a record, where a whole number is written as the pipeline writes it.
        close: how far floats may be from one another, relative to them.
        noise: the same, absolute.
    """
    if isinstance(found, list | tuple) and isinstance(expected, list | tuple):
        pairs = zip(found, expected, strict=False)
        return len(found) == len(expected) and all(same(*pair, close, noise) for pair in pairs)
    if is_undefined(found) or is_undefined(expected):
        return is_undefined(found) and is_undefined(expected)
    if isinstance(found, bool | np.bool_) != isinstance(expected, bool | np.bool_):
        return False  # `true` is no 1 for a reader
    if isinstance(found, str | bool | list | dict) or isinstance(expected, str | bool | list | dict):
        return bool(found == expected)
    if isinstance(expected, int | np.integer):
        return isinstance(found, int | np.integer) and bool(found == expected)
    if isinstance(found, int) and isinstance(expected, float):
        return False
    try:
        return math.isclose(float(found), float(expected), rel_tol=close, abs_tol=noise)
    except OverflowError:  # a whole number beyond all decimal ones
        return False


def is_undefined(value: Any) -> bool:
    return value is None or value == "" or (isinstance(value, float) and math.isnan(value))


def without_path(error: Exception, path: Path) -> str:
    """What an error says of a file, as one line; a finding has the path already."""
    return " ".join(str(error).split()).removeprefix(f"{path}: ")
