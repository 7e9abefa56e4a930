"""Readers of plain-text annotations: YOLO lines and CSV tables.

Every reader takes the bytes of one file and returns `Labels`; it raises `Unreadable` when the file as a whole is
not what it should be.
"""

import csv
from io import StringIO
from math import isfinite

import numpy as np

from stages.common.shapes import Shape, box_shape
from stages.ingest.labels import FilmLabels, Labels, Problem, Unreadable

IMAGE_COLUMNS = ("image_id", "filename", "filestem", "image")
LABEL_COLUMNS = ("label", "class", "name")
CORNERS = ("xmin", "ymin", "xmax", "ymax")


def text_of(content: bytes) -> str:
    """UTF-8 text, with or without a byte-order mark."""
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise Unreadable("text in UTF-8", f"another encoding ({error.reason})", "save it as UTF-8") from None


def read_yolo(content: bytes) -> Labels:
    """`class cx cy w h` boxes and `class x1 y1 x2 y2 x3 y3 ...` polygons, in shares of the film."""
    film, labels = FilmLabels(in_shares=True), Labels()
    for number, line in enumerate(text_of(content).splitlines(), start=1):
        words = line.split()
        if not words:
            continue
        try:
            values = [float(word) for word in words[1:]]
        except ValueError:
            values = []
        if not words[0].isdecimal() or not all(map(isfinite, values)):
            values = []
        if len(values) == 4:
            cx, cy, w, h = values
            film.shapes.append(box_shape(cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2, words[0], number))
        elif len(values) >= 6 and len(values) % 2 == 0:
            film.shapes.append(Shape(words[0], "polygon", (np.array(values).reshape(-1, 2),), number))
        else:
            expected = "`class cx cy w h` or `class x y x y x y ...` with a whole class and shares from 0 to 1"
            labels.problems.append(Problem(expected, repr(line.strip()[:80]), "export the labels again", number))
    labels.films[""] = film
    return labels


def read_csv(content: bytes) -> Labels:
    """One row per box: an image column, `xmin, ymin, xmax, ymax` in pixels, and a label.

    A row whose coordinates are blank lists a film without a fracture. `width` and `height` are the film's.
    """
    reader = csv.DictReader(StringIO(text_of(content)), strict=True)
    try:
        return box_rows(reader, list(reader.fieldnames or []))
    except csv.Error as error:
        raise Unreadable("comma-separated values", str(error), "export the table again", reader.line_num) from None


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
    labels = Labels()
    for row in reader:
        film = labels.films.setdefault(row[image] or "", FilmLabels(line=reader.line_num))
        cells = [(row[edge] or "").strip() for edge in CORNERS]
        if not any(cells):
            continue
        try:
            left, top, right, bottom = (float(cell) for cell in cells)
        except ValueError:
            problem = Problem("four numbers", repr(", ".join(cells)[:80]), "correct the row", reader.line_num)
            labels.problems.append(problem)
            continue
        film.shapes.append(box_shape(left, top, right, bottom, row.get(label) or "", reader.line_num))
        film.size = film.size or stated_size(row)
    return labels


def stated_size(row: dict[str, str]) -> tuple[float, float] | None:
    try:
        return float(row["width"]), float(row["height"])
    except (KeyError, TypeError, ValueError):
        return None
