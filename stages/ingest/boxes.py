"""Readers of box annotations: YOLO txt, PASCAL VOC XML and COCO JSON, all to half-open pixel boxes.

Every reader returns float64 (n, 4) left, top, right, bottom in the continuous coordinates of `common.geometry`.
YOLO and COCO are continuous already; VOC is taken as 0-based corners of a half-open box, as labelImg and most
tools write it (the original VOC devkit counts from 1 and includes the last pixel).
"""

import json
from math import isfinite
from pathlib import Path
from xml.etree.ElementTree import Element, ParseError

import numpy as np
from defusedxml import DefusedXmlException
from defusedxml.ElementTree import fromstring

from stages.common.errors import Fault


def read_yolo(text: str, width: int, height: int, name: str) -> np.ndarray:
    """YOLO lines `class cx cy w h`, shares of the film; a polygon line gives its bounding box.

    Raises:
        Fault: names the file and line that is no box.
    """
    boxes = []
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        try:
            values = [float(part) for part in line.split()[1:]]
        except ValueError:
            values = []
        if len(values) == 4 and all(map(isfinite, values)):
            cx, cy, w, h = values
            edges = [cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2]
        elif len(values) >= 6 and len(values) % 2 == 0 and all(map(isfinite, values)):
            edges = [min(values[::2]), min(values[1::2]), max(values[::2]), max(values[1::2])]
        else:
            raise Fault(
                f"{name}, line {number}: expected `class cx cy w h` or a polygon with numbers from 0 to 1, "
                f"found {line.strip()!r}; export the labels again"
            )
        boxes.append(np.array(edges) * [width, height, width, height])
    return as_boxes(boxes)


def read_voc(content: bytes, width: int, height: int, name: str) -> np.ndarray:
    """PASCAL VOC objects; the size that the file states must be the film's.

    Raises:
        Fault: no XML, no number where one belongs, or annotated at another size.
    """
    try:
        root = fromstring(content)
        size = root.find("size")
        stated = (number(size, "width"), number(size, "height")) if size is not None else (width, height)
        boxes = [
            [number(box, edge) for edge in ("xmin", "ymin", "xmax", "ymax")] for box in root.iterfind("object/bndbox")
        ]
    except (ParseError, DefusedXmlException, ValueError) as error:
        raise Fault(f"{name}: expected PASCAL VOC XML, found {error}; export the annotation again") from None
    if stated != (width, height):
        raise Fault(
            f"{name}: expected an annotation of a film of {width} x {height} pixels, "
            f"found one of {stated[0]:g} x {stated[1]:g}; annotate the film at its own size"
        )
    return as_boxes(boxes)


def number(parent: Element, tag: str) -> float:
    value = float((parent.findtext(tag) or f"nothing in <{tag}>").strip())
    if not isfinite(value):
        raise ValueError(f"{value} in <{tag}>")
    return value


def read_coco(path: Path) -> dict[str, np.ndarray]:
    """All boxes of a COCO file by image file name (without folders); films without annotation have (0, 4).

    Raises:
        Fault: no COCO JSON, or an annotation of an image that the file does not list.
    """
    try:
        content = json.loads(path.read_text())
        names = {image["id"]: Path(image["file_name"]).name for image in content["images"]}
        found: dict[str, list[list[float]]] = {name: [] for name in names.values()}
        for annotation in content["annotations"]:
            left, top, width, height = (float(value) for value in annotation["bbox"])
            found[names[annotation["image_id"]]].append([left, top, left + width, top + height])
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise Fault(
            f"{path}: expected COCO JSON with images and annotations, found {type(error).__name__}: {error}; "
            "export the annotations again"
        ) from None
    return {name: as_boxes(boxes) for name, boxes in found.items()}


def as_boxes(boxes: list[list[float]] | list[np.ndarray]) -> np.ndarray:
    return np.array(boxes, dtype=np.float64).reshape(-1, 4)
