"""Label Studio: its own JSON export."""

import re
from typing import Any

import numpy as np

from stages.common.data.shapes import Shape
from stages.ingest.annotations.json_file import SHAPES, error_text, finite, item_lines, load, ring
from stages.ingest.annotations.labels import FilmLabels, Labels, rotate
from stages.ingest.problems import Problem, Unreadable


def read_label_studio(content: bytes) -> Labels:
    """Label Studio's own JSON: rectangles (also rotated) and polygons in per cent of the film's sides."""
    text, data = load(content, "Label Studio JSON")
    labels = Labels()
    if not isinstance(data, list):
        raise Unreadable("a list of Label Studio tasks", type(data).__name__, "export as JSON")
    for index, (task, line) in enumerate(zip(data, item_lines(text, ""), strict=False)):
        try:
            done = [entry for entry in task["annotations"] if not entry.get("was_cancelled")]
            if len(done) > 1:
                raise ValueError(f"{len(done)} annotations of one task")
            film = FilmLabels(line=line)
            for item in done[0]["result"] if done else []:
                if item["type"] != "choices":
                    film.shapes.append(studio_shape(item, line))
                    film.size = (finite(item["original_width"]), finite(item["original_height"]))
            name = str(task.get("file_upload") or task["data"]["image"]).rsplit("/", 1)[-1]
            labels.add_film(re.sub(r"^[0-9a-f]{8}-", "", name), film)
        except SHAPES as error:
            reason = f"{error_text(error)} (task {index})"
            labels.problems.append(Problem("a task with one finished annotation", reason, "correct the task", line))
    return labels


def studio_shape(item: dict[str, Any], line: int) -> Shape:
    if item.get("image_rotation"):
        raise ValueError("a rotated image, whose labels have no fixed frame")
    value, kind = item["value"], item["type"]
    scale = np.array([finite(item["original_width"]), finite(item["original_height"])]) / 100
    if kind not in ("rectanglelabels", "polygonlabels"):
        raise ValueError(f"a result of type {kind!r:.40}, not rectanglelabels or polygonlabels")
    label = str(value[kind][0])
    if kind == "polygonlabels":
        return Shape(label, "polygon", (ring(value["points"]) * scale,), line)
    start = np.array([finite(value["x"]), finite(value["y"])]) * scale
    extent = np.array([finite(value["width"]), finite(value["height"])]) * scale
    if not value.get("rotation"):
        return Shape(label, "box", (np.stack([start, start + extent]),), line)
    corners = start + np.array([[0, 0], [1, 0], [1, 1], [0, 1]]) * extent
    return Shape(label, "polygon", (rotate(corners, start, finite(value["rotation"])),), line)
