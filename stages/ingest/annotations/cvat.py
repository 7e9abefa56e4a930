"""CVAT for images 1.1: an XML file of many films."""

from collections.abc import Callable
from functools import partial
from xml.etree.ElementTree import Element

import numpy as np

from stages.common.data.shapes import Shape, box_shape
from stages.ingest.annotations.labels import FilmLabels, Labels, rotate, swapped
from stages.ingest.annotations.rle import decode_counts, outline
from stages.ingest.annotations.xml_file import line_of, number, parse
from stages.ingest.problems import Unreadable, Wrong


def read_cvat(content: bytes) -> Labels:
    """CVAT for images 1.1: boxes (also rotated), polygons and masks of many films, in pixels."""
    root = parse(content, "annotations", "CVAT for images XML")
    labels = Labels()
    if root.find("track") is not None:
        raise Unreadable("CVAT for images XML", "the tracks of a video", "export as `CVAT for images`", line_of(root))
    for image in root.iterfind("image"):
        width, height = (number(image.get(side), side, image) for side in ("width", "height"))
        film = FilmLabels(size=(width, height), line=line_of(image))
        for item in image:
            try:
                film.shapes.append(cvat_shape(item))
            except Unreadable as error:
                film.problems.append((item.get("label", ""), error.problem))
        labels.add_film(image.get("name", ""), film)
    return labels


def cvat_shape(item: Element) -> Shape:
    readers: dict[str, Callable[[Element], tuple[np.ndarray, ...]]] = {"polygon": cvat_polygon, "mask": cvat_mask}
    label, line = item.get("label", ""), line_of(item)
    if item.tag == "box":
        get = partial(cvat_number, item)
        left, top, right, bottom = (get(edge) for edge in ("xtl", "ytl", "xbr", "ybr"))
        angle = get("rotation") if item.get("rotation") else 0.0
        box = box_shape(left, top, right, bottom, label, line)
        if angle == 0 or swapped(box):  # which `fit_to_film` refuses
            return box
        centre = np.array([left + right, top + bottom]) / 2
        corners = np.array([[left, top], [right, top], [right, bottom], [left, bottom]])
        return Shape(label, "polygon", (rotate(corners, centre, angle),), line)
    if item.tag not in readers:
        raise Unreadable("a box, polygon or mask", f"<{item.tag[:40]}>", "draw it as a polygon", line)
    return Shape(label, "polygon", readers[item.tag](item), line)


def cvat_number(item: Element, name: str) -> float:
    return number(item.get(name), name, item)


def cvat_polygon(item: Element) -> tuple[np.ndarray, ...]:
    """The ring of a polygon, float64 (n, 2) of x, y in pixels."""
    points = [
        [number(value, "points", item) for value in pair.split(",")] for pair in item.get("points", "").split(";")
    ]
    if len(points) < 3 or any(len(pair) != 2 for pair in points):
        raise Unreadable(
            "at least three points `x,y;x,y;...`", f"{len(points)}", "correct the annotation", line_of(item)
        )
    return (np.array(points),)


def cvat_mask(item: Element) -> tuple[np.ndarray, ...]:
    """The rings, float64 (n, 2) of x, y in pixels, of a cropped mask in row-major run lengths, background first."""
    left, top, width, height = (int(cvat_number(item, name)) for name in ("left", "top", "width", "height"))
    counts = [int(number(value, "rle", item)) for value in item.get("rle", "").split(",")]
    try:
        mask = decode_counts(counts, (height, width), order="C")
    except Wrong as error:
        raise Unreadable("run lengths of a mask", str(error), "export the annotation again", line_of(item)) from None
    return tuple(ring + np.array([left, top], dtype=np.float64) for ring in outline(mask))
