"""Label Studio: its own JSON export."""

from typing import Any

import numpy as np

from stages.common.data.shapes import Shape
from stages.ingest.annotations.film_names import without_storage
from stages.ingest.annotations.json_file import (
    SHAPES,
    error_text,
    finite,
    kind_of,
    listed,
    load,
    record,
    ring,
    with_lines,
)
from stages.ingest.annotations.labels import FilmLabels, Labels, rotate
from stages.ingest.problems import Problem, Unreadable, Wrong

# Results that state something about a film and mark nothing on it.
STATEMENTS = ("choices", "textarea", "rating", "number", "taxonomy", "datetime", "relation")


def read_label_studio(content: bytes) -> Labels:
    """Label Studio's own JSON: rectangles (also rotated) and polygons in per cent of the film's sides.

    Only a submitted annotation without any result says that a film has no fracture. One of statements alone, such as
    the choice "fracture", is a problem of its film; any other task leaves the film unlabelled.
    """
    text, data = load(content, "Label Studio JSON")
    labels = Labels()
    if not isinstance(data, list):
        raise Unreadable("a list of Label Studio tasks", kind_of(data), "export as JSON")
    for index, (task, line) in enumerate(with_lines(text, "", data)):
        film, name = FilmLabels(line=line), ""
        try:
            name = film_name(record(task))
            done = [entry for entry in map(record, listed(task["annotations"])) if not entry.get("was_cancelled")]
            if len(done) > 1:
                raise Wrong(f"{len(done)} annotations of one task")
            if not done:  # pending, skipped, or with drafts and predictions only: nobody has decided
                continue
            results = [record(item) for item in listed(done[0]["result"])]
            drawn = [item for item in results if item["type"] not in STATEMENTS]
            for item in drawn:
                add_result(film, item, line, index)
            if results and not drawn:
                film.problems.append(("", only_statements(results, line, index)))
        except SHAPES as error:
            reason = f"{error_text(error)} (task {index})"
            problem = Problem("a task with one finished annotation", reason, "correct the task", line)
            if not name:
                labels.problems.append(problem)
                continue
            film.problems.append(("", problem))
        labels.add_film(name, film)
    return labels


def film_name(task: dict[str, Any]) -> str:
    """The name of a task's film without the folders of the server.

    Raises:
        KeyError, Wrong: the task states none.
    """
    image = str(task.get("file_upload") or record(task["data"])["image"])
    return without_storage(image).rsplit("/", 1)[-1]


def add_result(film: FilmLabels, item: dict[str, Any], line: int, task: int) -> None:
    """Enter one result of a task: a shape, or the reason why it is none.

    Args:
        film: receives it.
        item: the result.
        line, task: where the task stands, and its number from 0.
    """
    named = record(item.get("value") or {}).get(item["type"]) or [""]
    try:
        film.shapes.append(studio_shape(item, line))
        film.size = (finite(item["original_width"]), finite(item["original_height"]))
    except SHAPES as error:
        reason = f"{error_text(error)} (task {task})"
        problem = Problem("a rectangle or polygon", reason, "correct the task", line)
        film.problems.append((str(named[0]), problem))


def only_statements(results: list[dict[str, Any]], line: int, task: int) -> Problem:
    """Why a task is no negative whose results mark nothing: they may say that there is a fracture."""
    kinds = " and ".join(sorted({item["type"] for item in results}))
    expected = "shapes, or an empty result where there is no fracture"
    fix = "draw the fracture, or submit the task without them"
    return Problem(expected, f"{kinds} alone (task {task})", fix, line, public="statements without a shape")


def studio_shape(item: dict[str, Any], line: int) -> Shape:
    if item.get("image_rotation"):
        raise Wrong("a rotated image, whose labels have no fixed frame")
    value, kind = record(item["value"]), item["type"]
    scale = np.array([finite(item["original_width"]), finite(item["original_height"])]) / 100
    if kind not in ("rectanglelabels", "polygonlabels"):
        raise Wrong(f"a result of type {kind!r:.40}, not rectanglelabels or polygonlabels")
    if len(listed(value[kind])) != 1:
        raise Wrong(f"a shape of {len(value[kind])} labels")
    label = str(value[kind][0])
    if kind == "polygonlabels":
        return Shape(label, "polygon", (ring(value["points"]) * scale,), line)
    start = np.array([finite(value["x"]), finite(value["y"])]) * scale
    extent = np.array([finite(value["width"]), finite(value["height"])]) * scale
    if (extent < 0).any():
        raise Wrong("a width or height below 0")
    if not value.get("rotation"):
        return Shape(label, "box", (np.stack([start, start + extent]),), line)
    corners = start + np.array([[0, 0], [1, 0], [1, 1], [0, 1]]) * extent
    return Shape(label, "polygon", (rotate(corners, start, finite(value["rotation"])),), line)
