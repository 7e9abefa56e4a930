"""Readers of XML annotations: PASCAL VOC and CVAT. Entities, and with them entity bombs, are refused."""

from collections.abc import Callable
from functools import partial
from math import cos, isfinite, radians, sin
from typing import Any
from xml.etree.ElementTree import Element, ParseError

import numpy as np
from defusedxml import DefusedXmlException
from defusedxml.ElementTree import DefusedXMLParser

from stages.common.shapes import Shape, box_shape
from stages.ingest.labels import FilmLabels, Labels, Unreadable
from stages.ingest.rle import decode_counts, outline

LINE = ":line"  # no attribute of a well-formed file can have this name


class LineParser(DefusedXMLParser):  # type: ignore[misc]
    """A parser that notes where each element starts."""

    def _start(self, *arguments: Any) -> Any:
        element = super()._start(*arguments)
        element.set(LINE, str(self.parser.CurrentLineNumber))
        return element


def parse(content: bytes, root: str, what: str) -> Element:
    """The root element, which must have the given tag."""
    mend = "export the annotation again"
    try:
        parser = LineParser(forbid_dtd=True)
        parser.feed(content)
        found: Element = parser.close()
    except ParseError as error:
        raise Unreadable(what, f"no well-formed XML ({error})", mend, error.position[0]) from None
    except DefusedXmlException as error:
        raise Unreadable(what, f"{type(error).__name__}, which no annotation needs", mend) from None
    except (ValueError, LookupError) as error:  # an encoding that Python does not know
        raise Unreadable(what, f"an unreadable file ({type(error).__name__})", mend) from None
    if found.tag != root:
        raise Unreadable(what, f"a root element <{found.tag[:40]}>", mend, line_of(found))
    return found


def line_of(element: Element) -> int:
    return int(element.get(LINE, 0))


def number(text: str | None, what: str, element: Element) -> float:
    try:
        value = float((text or "").strip())
    except ValueError:
        value = float("nan")
    if not isfinite(value):
        raise Unreadable(f"a number in {what}", repr((text or "")[:40]), "correct the annotation", line_of(element))
    return value


def child_number(parent: Element, tag: str) -> float:
    child = parent.find(tag)
    found = parent if child is None else child
    return number(None if child is None else child.text, f"<{tag}>", found)


def read_voc(content: bytes, devkit: bool = False) -> Labels:
    """PASCAL VOC: one film, boxes and (where a tool adds them) polygons in pixels.

    Corners are taken as those of a half-open box counted from 0, as labelImg and most tools write them. The VOC
    devkit itself counts from 1 and includes the last pixel: with `devkit`, its xmin and ymin are lowered by 1.
    """
    root = parse(content, "annotation", "PASCAL VOC XML")
    film, labels = FilmLabels(line=line_of(root)), Labels()
    size = root.find("size")
    if size is not None:
        width, height = (child_number(size, side) for side in ("width", "height"))
        film.size = (width, height)
    for item in root.iterfind("object"):
        try:
            film.shapes.append(voc_shape(item, float(devkit)))
        except Unreadable as error:
            labels.problems.append(error.problem)
    labels.films[""] = film
    return labels


def voc_shape(item: Element, origin: float) -> Shape:
    name, line = (item.findtext("name") or "").strip(), line_of(item)
    drawn, box = item.find("polygon"), item.find("bndbox")
    if drawn is not None and drawn.find("x3") is not None:
        points: list[list[float]] = []
        while drawn.find(f"x{len(points) + 1}") is not None:
            points.append([child_number(drawn, f"{axis}{len(points) + 1}") for axis in "xy"])
        return Shape(name, "polygon", (np.array(points),), line)
    if box is None:
        raise Unreadable("a <bndbox> or <polygon> in <object>", "neither", "correct the annotation", line)
    left, top, right, bottom = (child_number(box, edge) for edge in ("xmin", "ymin", "xmax", "ymax"))
    return box_shape(left - origin, top - origin, right, bottom, name, line)


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
                labels.problems.append(error.problem)
        labels.add_film(image.get("name", ""), film)
    return labels


def cvat_shape(item: Element) -> Shape:
    readers: dict[str, Callable[[Element], tuple[np.ndarray, ...]]] = {"polygon": cvat_polygon, "mask": cvat_mask}
    label, line = item.get("label", ""), line_of(item)
    if item.tag == "box":
        get = partial(cvat_number, item)
        left, top, right, bottom = (get(edge) for edge in ("xtl", "ytl", "xbr", "ybr"))
        angle = get("rotation") if item.get("rotation") else 0.0
        if angle == 0:
            return box_shape(left, top, right, bottom, label, line)
        centre = np.array([left + right, top + bottom]) / 2
        corners = np.array([[left, top], [right, top], [right, bottom], [left, bottom]])
        return Shape(label, "polygon", (rotate(corners, centre, angle),), line)
    if item.tag not in readers:
        raise Unreadable("a box, polygon or mask", f"<{item.tag[:40]}>", "draw it as a polygon", line)
    return Shape(label, "polygon", readers[item.tag](item), line)


def cvat_number(item: Element, name: str) -> float:
    return number(item.get(name), name, item)


def cvat_polygon(item: Element) -> tuple[np.ndarray, ...]:
    points = [
        [number(value, "points", item) for value in pair.split(",")] for pair in item.get("points", "").split(";")
    ]
    if len(points) < 3 or any(len(pair) != 2 for pair in points):
        raise Unreadable(
            "at least three points `x,y;x,y;...`", f"{len(points)}", "correct the annotation", line_of(item)
        )
    return (np.array(points),)


def cvat_mask(item: Element) -> tuple[np.ndarray, ...]:
    """Row-major run lengths of a cropped mask, background first."""
    left, top, width, height = (int(cvat_number(item, name)) for name in ("left", "top", "width", "height"))
    counts = [int(number(value, "rle", item)) for value in item.get("rle", "").split(",")]
    try:
        mask = decode_counts(counts, (height, width), order="C")
    except ValueError as error:
        raise Unreadable("run lengths of a mask", str(error), "export the annotation again", line_of(item)) from None
    return tuple(ring + np.array([left, top]) for ring in outline(mask))


def rotate(points: np.ndarray, centre: np.ndarray, degrees: float) -> np.ndarray:
    """Points turned clockwise on the screen, whose y runs downwards."""
    c, s = cos(radians(degrees)), sin(radians(degrees))
    turned: np.ndarray = (points - centre) @ np.array([[c, s], [-s, c]]) + centre
    return turned
