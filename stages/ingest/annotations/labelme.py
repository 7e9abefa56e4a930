"""LabelMe: a JSON file per film."""

from typing import Any

from stages.common.data.shapes import Shape, box_shape
from stages.ingest.annotations.json_file import (
    HOW_TO_FIX,
    SHAPES,
    error_text,
    finite,
    listed,
    load,
    numbers,
    record,
    ring,
    with_lines,
)
from stages.ingest.annotations.labels import FilmLabels, Labels
from stages.ingest.problems import Problem, Unreadable, Wrong


def read_labelme(content: bytes) -> Labels:
    """LabelMe JSON: one film, rectangles by two opposite corners and polygons, in pixels."""
    text, data = load(content, "LabelMe JSON")
    labels = Labels()
    try:
        shapes = with_lines(text, "shapes", record(data)["shapes"])
        film = FilmLabels()
        if data.get("imageWidth"):
            film.size = (finite(data["imageWidth"]), finite(data["imageHeight"]))
    except SHAPES as error:
        raise Unreadable("LabelMe JSON with shapes", error_text(error), HOW_TO_FIX) from None
    for index, (item, line) in enumerate(shapes):
        try:
            film.shapes.append(labelme_shape(record(item), line))
        except SHAPES as error:
            reason = f"{error_text(error)} (shapes[{index}])"
            label = str(item.get("label", "")) if isinstance(item, dict) else ""
            film.problems.append((label, Problem("a rectangle or polygon", reason, "correct the annotation", line)))
    labels.films[""] = film
    return labels


def labelme_shape(item: dict[str, Any], line: int) -> Shape:
    kind, label = item.get("shape_type") or "polygon", str(item["label"])
    if kind == "polygon":
        return Shape(label, "polygon", (ring(item["points"]),), line)
    if kind != "rectangle":
        raise Wrong(f"a shape of type {kind!r:.40}")
    if len(points := listed(item["points"])) != 2:
        raise Wrong(f"a rectangle of {len(points)} points")
    (x0, y0), (x1, y1) = (numbers(point, 2, "a point") for point in points)
    return box_shape(min(x0, x1), min(y0, y1), max(x0, x1), max(y0, y1), label, line)
