"""Readers of JSON annotations: COCO, Label Studio, LabelMe and VIA."""

import json
import re
from math import isfinite
from typing import Any

import numpy as np

from stages.common.shapes import Shape, box_shape
from stages.ingest.formats_text import text_of
from stages.ingest.formats_xml import rotate
from stages.ingest.labels import FilmLabels, Labels, Problem, Unreadable
from stages.ingest.rle import decode_counts, outline, unpack_counts

MEND = "export the annotations again"
SHAPES = (KeyError, TypeError, ValueError, AttributeError, IndexError, OverflowError)


def load(content: bytes, what: str) -> tuple[str, Any]:
    """The text of a JSON file and what it holds."""
    text = text_of(content)
    try:
        return text, json.loads(text)
    except json.JSONDecodeError as error:
        raise Unreadable(what, f"no JSON ({error.msg})", MEND, error.lineno) from None
    except (RecursionError, ValueError) as error:
        raise Unreadable(what, f"JSON that cannot be read ({type(error).__name__})", MEND) from None


def item_lines(text: str, key: str) -> list[int]:
    """The line where each item starts of the list under `key` (of the file itself, if key is '').

    The JSON parser keeps no places, so the list is walked once more.
    """
    start = re.search(rf'"{key}"\s*:\s*\[' if key else r"\[", text)
    decoder, space = json.JSONDecoder(), re.compile(r"[\s,]*")
    lines: list[int] = []
    place, seen, line = (start.end() if start else len(text)), 0, 1
    while True:
        place = space.match(text, place).end()  # type: ignore[union-attr]
        if place >= len(text) or text[place] == "]":
            return lines
        line += text.count("\n", seen, place)
        seen = place
        lines.append(line)
        try:
            _, place = decoder.raw_decode(text, place)
        except ValueError:
            return lines


def line_of_key(text: str, key: str) -> int:
    """The line where a key of an object stands first, or 0."""
    place = text.find(json.dumps(key))
    return text.count("\n", 0, place) + 1 if place >= 0 else 0


def finite(value: Any) -> float:
    """A number that is one, and no text that looks like one."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not isfinite(value):
        raise ValueError(f"{value!r:.40} where a number belongs")
    return float(value)


def ring(values: Any) -> np.ndarray:
    """x, y of at least three points, from a flat list or one of pairs."""
    pairs = values if values and isinstance(values[0], list) else list(zip(values[::2], values[1::2], strict=True))
    points = np.array([[finite(x), finite(y)] for x, y in pairs])
    if len(points) < 3:
        raise ValueError(f"{len(points)} points where a polygon needs three")
    return points


def describe(error: Exception) -> str:
    return f"no {error}" if isinstance(error, KeyError) else f"{error!s:.120}" or type(error).__name__


def read_coco(content: bytes) -> Labels:
    """COCO: polygons, run lengths (plain or compressed) and boxes in pixels; several polygons are one shape."""
    text, data = load(content, "COCO JSON")
    labels, films = Labels(), {}
    try:
        names = {item["id"]: str(item["name"]) for item in data.get("categories", [])}
        for image, line in zip(data["images"], item_lines(text, "images"), strict=False):
            size = (finite(image["width"]), finite(image["height"])) if "width" in image else None
            if image["id"] in films:
                found = f"id {image['id']!r:.40} a second time"
                labels.problems.append(Problem("every image id once", found, "give it its own id", line))
            else:
                films[image["id"]] = FilmLabels(size=size, line=line)
                labels.add_film(str(image["file_name"]), films[image["id"]])
        annotations = list(data["annotations"])
    except SHAPES as error:
        raise Unreadable("COCO JSON with images and annotations", describe(error), MEND) from None
    lines = item_lines(text, "annotations")
    for index, (item, line) in enumerate(zip(annotations, lines, strict=False)):
        try:
            if item["image_id"] not in films:
                raise ValueError(f"image_id {item['image_id']!r:.40}, which `images` does not list")
            if names and item["category_id"] not in names:
                raise ValueError(f"category_id {item['category_id']!r:.40}, which `categories` does not list")
            film = films[item["image_id"]]
            label = names.get(item.get("category_id"), str(item.get("category_id", "")))
            film.shapes.append(coco_shape(item, label, film.size, line))
        except SHAPES as error:
            found = f"{describe(error)} (annotations[{index}])"
            labels.problems.append(Problem("a COCO annotation", found, "correct the annotation", line))
    return labels


def coco_shape(item: dict[str, Any], label: str, size: tuple[float, float] | None, line: int) -> Shape:
    drawn = item.get("segmentation")
    if isinstance(drawn, dict):
        height, width = (int(finite(side)) for side in drawn["size"])
        if size is not None and (width, height) != size:
            raise ValueError(f"a mask of {width} x {height} pixels on a film of {size[0]:g} x {size[1]:g}")
        counts = drawn["counts"]
        runs = unpack_counts(counts) if isinstance(counts, str) else [int(finite(count)) for count in counts]
        rings = outline(decode_counts(runs, (height, width), order="F"))
        if not rings:
            raise ValueError("an empty mask")
        return Shape(label, "polygon", rings, line)
    if drawn:
        return Shape(label, "polygon", tuple(ring(polygon) for polygon in drawn), line)
    x, y, w, h = (finite(value) for value in item["bbox"])
    return box_shape(x, y, x + w, y + h, label, line)


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
            found = f"{describe(error)} (task {index})"
            labels.problems.append(Problem("a task with one finished annotation", found, "correct the task", line))
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


def read_labelme(content: bytes) -> Labels:
    """LabelMe JSON: one film, rectangles by two opposite corners and polygons, in pixels."""
    text, data = load(content, "LabelMe JSON")
    labels = Labels()
    try:
        shapes = data["shapes"]
        film = FilmLabels()
        if data.get("imageWidth"):
            film.size = (finite(data["imageWidth"]), finite(data["imageHeight"]))
    except SHAPES as error:
        raise Unreadable("LabelMe JSON with shapes", describe(error), MEND) from None
    for index, (item, line) in enumerate(zip(shapes, item_lines(text, "shapes"), strict=False)):
        try:
            film.shapes.append(labelme_shape(item, line))
        except SHAPES as error:
            found = f"{describe(error)} (shapes[{index}])"
            labels.problems.append(Problem("a rectangle or polygon", found, "correct the annotation", line))
    labels.films[""] = film
    return labels


def labelme_shape(item: dict[str, Any], line: int) -> Shape:
    kind, label = item.get("shape_type") or "polygon", str(item["label"])
    if kind == "polygon":
        return Shape(label, "polygon", (ring(item["points"]),), line)
    if kind != "rectangle":
        raise ValueError(f"a shape of type {kind!r:.40}")
    (x0, y0), (x1, y1) = ((finite(x), finite(y)) for x, y in item["points"])
    return box_shape(min(x0, x1), min(y0, y1), max(x0, x1), max(y0, y1), label, line)


def read_via(content: bytes) -> Labels:
    """VGG Image Annotator 2 JSON, annotations or whole project: rectangles and polygons in pixels."""
    text, data = load(content, "VIA JSON")
    labels = Labels()
    if isinstance(data, dict) and "_via_img_metadata" in data:
        data = data["_via_img_metadata"]
    try:
        items = [(key, entry, entry["filename"], entry["regions"]) for key, entry in data.items()]
    except SHAPES as error:
        raise Unreadable("VIA JSON with filename and regions", describe(error), MEND) from None
    for key, _, name, regions in items:
        line = line_of_key(text, key)
        film = FilmLabels(line=line)
        for index, region in enumerate(regions.values() if isinstance(regions, dict) else regions):
            try:
                film.shapes.append(via_shape(region, line))
            except SHAPES as error:
                found = f"{describe(error)} (region {index} of {name!s:.80})"
                labels.problems.append(Problem("a rectangle or polygon", found, "correct the annotation", line))
        labels.add_film(str(name), film)
    return labels


def via_shape(region: dict[str, Any], line: int) -> Shape:
    drawn, label = region["shape_attributes"], via_label(region.get("region_attributes") or {})
    if drawn["name"] == "rect":
        x, y, width, height = (finite(drawn[name]) for name in ("x", "y", "width", "height"))
        return box_shape(x, y, x + width, y + height, label, line)
    if drawn["name"] not in ("polygon", "polyline"):
        raise ValueError(f"a shape of type {drawn['name']!r:.40}")
    points = [list(pair) for pair in zip(drawn["all_points_x"], drawn["all_points_y"], strict=True)]
    return Shape(label, "polygon", (ring(points),), line)


def via_label(attributes: dict[str, Any]) -> str:
    """The label among VIA's free attributes: one of the usual names, or the only one there is."""
    for name in ("label", "class", "name", "type", *list(attributes)[:1]):
        if name in attributes:
            value = attributes[name]
            return str(next(iter(value), "")) if isinstance(value, dict) else str(value)
    return ""
