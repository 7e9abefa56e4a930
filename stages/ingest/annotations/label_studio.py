"""Label Studio: its own JSON export."""

from typing import Any

import numpy as np

from stages.common.data.shapes import Shape
from stages.ingest.annotations.json_file import SHAPES, error_text, finite, load, ring, with_lines
from stages.ingest.annotations.labels import FilmLabels, Labels, rotate
from stages.ingest.problems import Problem, Unreadable


def read_label_studio(content: bytes) -> Labels:
    """Label Studio's own JSON: rectangles (also rotated) and polygons in per cent of the film's sides.

    Only a submitted annotation without a shape says that a film has no fracture; any other task leaves it unlabelled.
    """
    text, data = load(content, "Label Studio JSON")
    labels = Labels()
    if not isinstance(data, list):
        raise Unreadable("a list of Label Studio tasks", type(data).__name__, "export as JSON")
    for index, (task, line) in enumerate(with_lines(text, "", data)):
        try:
            done = [entry for entry in task["annotations"] if not entry.get("was_cancelled")]
            if len(done) > 1:
                raise ValueError(f"{len(done)} annotations of one task")
            if not done:  # pending, skipped, or with drafts and predictions only: nobody has decided
                continue
            film = FilmLabels(line=line)
            for item in done[0]["result"]:
                if item["type"] != "choices":
                    film.shapes.append(studio_shape(item, line))
                    film.size = (finite(item["original_width"]), finite(item["original_height"]))
            labels.add_film(str(task.get("file_upload") or task["data"]["image"]).rsplit("/", 1)[-1], film)
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
    if len(value[kind]) != 1:
        raise ValueError(f"a shape of {len(value[kind])} labels")
    label = str(value[kind][0])
    if kind == "polygonlabels":
        return Shape(label, "polygon", (ring(value["points"]) * scale,), line)
    start = np.array([finite(value["x"]), finite(value["y"])]) * scale
    extent = np.array([finite(value["width"]), finite(value["height"])]) * scale
    if not value.get("rotation"):
        return Shape(label, "box", (np.stack([start, start + extent]),), line)
    corners = start + np.array([[0, 0], [1, 0], [1, 1], [0, 1]]) * extent
    return Shape(label, "polygon", (rotate(corners, start, finite(value["rotation"])),), line)
