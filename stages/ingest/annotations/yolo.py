"""YOLO: a text file per film, a box or polygon a line."""

from math import isfinite

import numpy as np

from stages.common.data.shapes import Shape, box_shape
from stages.ingest.annotations.labels import FilmLabels, Labels
from stages.ingest.annotations.text_file import text_of
from stages.ingest.problems import Problem


def read_yolo(content: bytes) -> Labels:
    """`class cx cy w h` boxes and `class x1 y1 x2 y2 x3 y3 ...` polygons, in shares of the film.

    Lines of key points (YOLO pose) are refused where they show: see `is_pose`.
    """
    film, labels = FilmLabels(in_shares=True), Labels()
    for number, line in enumerate(text_of(content).splitlines(), start=1):
        words = line.split()
        if not words:
            continue
        try:
            values = [float(word) for word in words[1:]]
        except ValueError:
            values = []
        if not words[0].isdecimal() or not all(map(isfinite, values)):
            values = []
        if is_pose(values):
            expected, actual = "a box or polygon", "a box with key points (YOLO pose)"
            problem = Problem(expected, actual, "export boxes or segmentation", number, public=actual)
            film.problems.append((words[0], problem))
        elif len(values) == 4:
            cx, cy, w, h = values
            film.shapes.append(box_shape(cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2, words[0], number))
        elif len(values) >= 6 and len(values) % 2 == 0:
            film.shapes.append(Shape(words[0], "polygon", (np.array(values).reshape(-1, 2),), number))
        else:
            expected = "`class cx cy w h` or `class x y x y x y ...` with a whole class and shares from 0 to 1"
            problem = Problem(expected, repr(line.strip()[:80]), "export the labels again", number)
            film.problems.append((words[0], problem))
    labels.films[""] = film
    return labels


def is_pose(values: list[float]) -> bool:
    """Whether numbers are a box and key points `x y visibility` within it: polygons and pose share a notation.

    Every third number is then 0 (not labelled), 1 or 2, as COCO has it. Key points without visibility cannot be told
    from a polygon by their numbers; `refuse_pose` of `pairing` knows them by `kpt_shape` in data.yaml.
    """
    points = np.array(values[4:])
    if not len(points) or len(points) % 3 or not set(points[2::3]) <= {0, 1, 2}:
        return False
    centre, half = np.array(values[:2]), np.array(values[2:4]) / 2 + 1e-3
    labelled = points.reshape(-1, 3)[points[2::3] > 0, :2]
    return bool((np.abs(labelled - centre) <= half).all())
