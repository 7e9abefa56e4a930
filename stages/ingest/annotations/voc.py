"""PASCAL VOC: an XML file per film."""

from xml.etree.ElementTree import Element

import numpy as np

from stages.common.data.shapes import Shape, box_shape
from stages.ingest.annotations.labels import FilmLabels, Labels
from stages.ingest.annotations.xml_file import child_number, line_of, parse
from stages.ingest.problems import Unreadable


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
            film.problems.append((name_of(item), error.problem))
    labels.films[""] = film
    return labels


def name_of(item: Element) -> str:
    return (item.findtext("name") or "").strip()


def voc_shape(item: Element, origin: float) -> Shape:
    name, line = name_of(item), line_of(item)
    drawn, box = item.find("polygon"), item.find("bndbox")
    if drawn is not None and drawn.find("x3") is not None:
        points: list[list[float]] = []
        while drawn.find(f"x{len(points) + 1}") is not None:
            points.append([child_number(drawn, f"{axis}{len(points) + 1}") for axis in "xy"])
        given = sum(child.tag[:1] in ("x", "y") for child in drawn)
        if given != 2 * len(points):
            raise Unreadable(f"a <polygon> of x1, y1 to x{given // 2}, y{given // 2}", "gaps", "correct it", line)
        return Shape(name, "polygon", (np.array(points),), line)
    if box is None:
        raise Unreadable("a <bndbox> or <polygon> in <object>", "neither", "correct the annotation", line)
    left, top, right, bottom = (child_number(box, edge) for edge in ("xmin", "ymin", "xmax", "ymax"))
    return box_shape(left - origin, top - origin, right, bottom, name, line)
