"""CSV: a table of boxes of many films."""

import csv
from collections.abc import Iterable
from io import StringIO
from typing import Any

from stages.common.data.shapes import box_shape
from stages.ingest.annotations.labels import FilmLabels, Labels
from stages.ingest.annotations.text_file import text_of
from stages.ingest.problems import Problem, Unreadable

IMAGE_COLUMNS = ("image_id", "filename", "filestem", "image")
LABEL_COLUMNS = ("label", "class", "name")
BROKEN = "a quote or line break out of place, or a cell of more than 131,072 characters"
CORNERS = ("xmin", "ymin", "xmax", "ymax")


def read_csv(content: bytes) -> Labels:
    """One row per box: an image column, `xmin, ymin, xmax, ymax` in pixels, and a label.

    A row whose coordinates are blank lists a film without a fracture. `width` and `height` are the film's.
    """
    reader = csv.DictReader(StringIO(text_of(content)), strict=True)
    try:
        return box_rows(reader, list(reader.fieldnames or []))
    except csv.Error:
        raise Unreadable("comma-separated values", BROKEN, "export the table again", reader.line_num) from None


def box_rows(reader: "csv.DictReader[str]", columns: list[str]) -> Labels:
    image = next((name for name in IMAGE_COLUMNS if name in columns), None)
    if image is None or not set(CORNERS) <= set(columns):
        raise Unreadable(
            f"a column {' or '.join(IMAGE_COLUMNS)} and columns {', '.join(CORNERS)}",
            f"the columns {', '.join(columns)[:200] or 'none'}",
            "rename the columns",
            1,
        )
    label = next((name for name in LABEL_COLUMNS if name in columns), "")
    # Not the blank label of a table without one: spreadsheets add columns without a heading.
    refuse_repeated(columns, filter(None, (image, label, *CORNERS)))
    labels = Labels()
    for row in reader:
        film = labels.films.setdefault(row[image] or "", FilmLabels(line=reader.line_num))
        if problem := misaligned(row, reader.line_num):
            film.problems.append(("", problem))
            continue
        cells = [row[edge].strip() for edge in CORNERS]
        if not any(cells):
            continue
        try:
            left, top, right, bottom = (float(cell) for cell in cells)
        except ValueError:
            problem = Problem("four numbers", repr(", ".join(cells)[:80]), "correct the row", reader.line_num)
            film.problems.append((row.get(label) or "", problem))
            continue
        film.shapes.append(box_shape(left, top, right, bottom, row.get(label) or "", reader.line_num))
        film.size = film.size or stated_size(row)
    return labels


def refuse_repeated(columns: list[str], used: Iterable[str]) -> None:
    """Raise Unreadable where a column that is used stands twice, of which the last would count."""
    if twice := [name for name in used if columns.count(name) > 1]:
        raise Unreadable("each column once", f"{twice[0]!r:.40} twice", "remove or rename one of them", 1)


def misaligned(row: dict[str, Any], line: int) -> Problem | None:
    """What is wrong with a row that has fewer or more cells than the header: a broken file, or a comma in a name."""
    if None not in row and None not in row.values():
        return None
    return Problem("as many cells as columns", "fewer or more", "put quotes round cells with the separator", line)


def stated_size(row: dict[str, str]) -> tuple[float, float] | None:
    try:
        return float(row["width"]), float(row["height"])
    except (KeyError, TypeError, ValueError):
        return None
