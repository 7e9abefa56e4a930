"""COCO: a JSON file of many films."""

from typing import Any

import numpy as np

from stages.common.data.geometry import fill_polygon
from stages.common.data.shapes import Shape, box_shape
from stages.ingest.annotations.film_names import without_storage
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
from stages.ingest.annotations.rle import MAX_PIXELS, decode_counts, outline, unpack_counts
from stages.ingest.problems import Problem, Unreadable, Wrong


def read_coco(content: bytes) -> Labels:
    """COCO: polygons, run lengths (plain or compressed) and boxes in pixels.

    Several polygons of one annotation are one shape, their union, as pycocotools takes them; holes need run lengths.
    """
    text, data = load(content, "COCO JSON")
    labels, films = Labels(), dict[Any, FilmLabels]()
    try:
        names = {item["id"]: str(item["name"]) for item in map(record, listed(record(data).get("categories", [])))}
        for image, line in with_lines(text, "images", data["images"]):
            record(image)
            unknown = image.get("width") is None  # null: Label Studio's converter, of a film without a shape
            size = None if unknown else (finite(image["width"]), finite(image["height"]))
            first, own = films.get(image["id"]), FilmLabels(size=size, line=line)
            if first is not None:  # whose shapes those of this id are is not known
                again = f"id {image['id']!r:.40} a second time"
                problem = Problem("every image id once", again, "give it its own id", line)
                labels.problems.append(problem)
                for either in (first, own):
                    either.problems.append(("", problem))
            films.setdefault(image["id"], own)
            labels.add_film(without_storage(str(image["file_name"])), own)
        annotations = listed(data["annotations"])
    except SHAPES as error:
        raise Unreadable("COCO JSON with images and annotations", error_text(error), HOW_TO_FIX) from None
    for index, (item, line) in enumerate(with_lines(text, "annotations", annotations)):
        film, label = None, ""
        try:
            if record(item)["image_id"] not in films:
                raise Wrong(f"image_id {item['image_id']!r:.40}, which `images` does not list")
            film = films[item["image_id"]]
            label = names.get(item.get("category_id"), str(item.get("category_id", "")))
            if names and item["category_id"] not in names:
                raise Wrong(f"category_id {item['category_id']!r:.40}, which `categories` does not list")
            film.shapes.append(coco_shape(item, label, film.size, line))
        except SHAPES as error:
            reason = f"{error_text(error)} (annotations[{index}])"
            problem = Problem("a COCO annotation", reason, "correct the annotation", line)
            if film is None:
                labels.problems.append(problem)
            else:
                film.problems.append((label, problem))
    return labels


def coco_shape(item: dict[str, Any], label: str, size: tuple[float, float] | None, line: int) -> Shape:
    """The shape of an entry of `annotations`: a mask, polygons, or else its box.

    Args:
        item: the entry.
        label: name of its category.
        size: width and height of the film, where the file states them.
        line: where the entry stands.
    Raises:
        KeyError, Wrong: it is not as COCO writes it.
    """
    drawn = item.get("segmentation")
    if isinstance(drawn, dict):
        height, width = map(int, numbers(drawn["size"], 2, "size"))
        if size is not None and (width, height) != size:
            raise Wrong(f"a mask of {width} x {height} pixels on a film of {size[0]:g} x {size[1]:g}")
        counts = drawn["counts"]
        runs = unpack_counts(counts) if isinstance(counts, str) else [int(finite(count)) for count in listed(counts)]
        rings = outline(decode_counts(runs, (height, width), order="F"))
        if not rings:
            raise Wrong("an empty mask")
        return Shape(label, "polygon", rings, line)
    if drawn:
        return Shape(label, "polygon", union(tuple(ring(polygon) for polygon in listed(drawn))), line)
    x, y, w, h = numbers(item["bbox"], 4, "bbox")
    return box_shape(x, y, x + w, y + h, label, line)


def union(rings: tuple[np.ndarray, ...]) -> tuple[np.ndarray, ...]:
    """The rings of what lies in at least one polygon, float64 (n, 2) of x, y in pixels.

    Polygons that share no pixel stay as they are; others become the outline of the pixels that they mark together.

    Raises:
        Wrong: they span more pixels than a film has.
    """
    if len(rings) == 1:
        return rings
    points = np.concatenate(rings)
    origin = np.floor(points.min(axis=0))
    sides = (np.ceil(points.max(axis=0)) - origin + 1).tolist()
    if sides[0] * sides[1] > MAX_PIXELS:
        raise Wrong("polygons that span {:g} x {:g} pixels".format(*sides))
    width, height = map(int, sides)
    marked = [fill_polygon((ring_ - origin,), (height, width)) for ring_ in rings]
    if np.sum(marked, axis=0).max() < 2:
        return rings
    return tuple(ring_ + origin for ring_ in outline(np.any(marked, axis=0)))
