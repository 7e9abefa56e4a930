"""What annotation readers hand over, and how it is placed on its film."""

from dataclasses import dataclass, field, replace
from math import cos, radians, sin

import numpy as np

from stages.common.data.geometry import Affine
from stages.common.data.shapes import Shape
from stages.ingest.problems import Problem

TOLERANCE = 0.5  # pixels that a box may leave its film by, as rounding does


@dataclass
class FilmLabels:
    """The shapes of one film as its annotation file gives them.

    `size` is the film's width and height as the file states it, if it does. Where `in_shares` is True, coordinates
    are shares of the film's sides and not pixels (YOLO). `problems` are shapes that cannot be read, each with its
    class: they count only where the class does.
    """

    shapes: list[Shape] = field(default_factory=list)
    size: tuple[float, float] | None = None
    in_shares: bool = False
    line: int = 0
    problems: list[tuple[str, Problem]] = field(default_factory=list)


@dataclass
class Labels:
    """One annotation file: its films by the name that it gives them ('' in a file of one film).

    `problems` are those of the file and of what belongs to no film.
    """

    films: dict[str, FilmLabels] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def add_film(self, name: str, labels: FilmLabels) -> None:
        """Enter a film, unless the file has it already."""
        if name in self.films:
            again = Problem("every film once", f"{name} a second time", "remove one of the two", labels.line)
            self.problems.append(again)
            self.films[name].problems.append(("", again))  # which of the two is right is not known
        else:
            self.films[name] = labels


def fit_to_film(
    labels: FilmLabels, width: int, height: int, orientation: int = 1
) -> tuple[list[Shape], list[Problem], list[str]]:
    """Shapes in pixels of the film as it is stored, with what is wrong with them and what is worth a note.

    Args:
        width, height: of the film, its EXIF orientation applied.
        orientation: that EXIF orientation, 1..8. Annotation tools draw on the turned or on the unturned picture;
            the size that the file states tells which, where it can.
    """
    shapes = labels.shapes
    notes: list[str] = []
    if problems := [problem for shape in shapes for problem in swapped(shape)]:
        return [], problems, notes
    if labels.in_shares:
        shapes = [shape.mapped(Affine(width, height)) for shape in shapes]
    turned = orientation in (5, 6, 7, 8)
    if labels.size is not None and labels.size != (width, height):
        if turned and labels.size == (height, width):
            shapes = [turn(shape, orientation, width, height) for shape in shapes]
            notes.append("labels drawn on the unturned picture were turned as its EXIF orientation says")
        else:
            stated = "{:g} x {:g}".format(*labels.size)
            wrong = Problem(
                f"labels of a film of {width} x {height} pixels",
                f"labels of one of {stated}",
                "annotate the film at its own size",
                labels.line,
            )
            return [], [wrong], notes
    elif orientation != 1 and shapes and (labels.size is None or width == height or not turned):
        notes.append("the picture has an EXIF orientation, and nothing says in which frame its labels were drawn")
    problems = [problem for shape in shapes for problem in misplaced(shape, width, height)]
    return [inside(shape, width, height) for shape in shapes], problems, notes


def turn(shape: Shape, orientation: int, width: int, height: int) -> Shape:
    """A shape on the unturned picture, carried to the turned one (EXIF 2.32, 0x0112).

    Args:
        shape: in pixels.
        orientation: 5..8.
        width, height: of the turned picture.
    """
    swapped = shape.transposed()
    return {
        5: swapped,
        6: swapped.flipped(width=width),
        7: swapped.flipped(width=width, height=height),
        8: swapped.flipped(height=height),
    }[orientation]


def swapped(shape: Shape) -> list[Problem]:
    """Why the corners of a box are not those that its format asks for; an empty list if they are."""
    if shape.kind != "box" or not (shape.rings[0][0] > shape.rings[0][1]).any():
        return []
    stated = "[{:g}, {:g}, {:g}, {:g}]".format(*shape.rings[0].ravel())
    expected = "left before right and top above bottom"
    return [Problem(expected, f"{stated} (left, top, right, bottom)", "correct the annotation", shape.line)]


def misplaced(shape: Shape, width: int, height: int) -> list[Problem]:
    """Why a shape cannot lie on its film; an empty list if it can."""
    box = shape.box
    stated = "[{:g}, {:g}, {:g}, {:g}]".format(*box)
    fix = "correct the annotation"
    if not np.isfinite(box).all():
        return [Problem("finite coordinates", stated, fix, shape.line)]
    left, top, right, bottom = box
    if 0 <= left <= right <= 1 and 0 <= top <= bottom <= 1 < min(width, height):
        return [Problem("coordinates in pixels", f"{stated}, which look like shares of the film", fix, shape.line)]
    if not (left < right and top < bottom):
        return [Problem("a shape with an area", f"{stated} (left, top, right, bottom)", fix, shape.line)]
    if left < -TOLERANCE or top < -TOLERANCE or right > width + TOLERANCE or bottom > height + TOLERANCE:
        expected = f"a {shape.kind} inside the film of {width} x {height} pixels"
        return [Problem(expected, f"{stated} (left, top, right, bottom)", fix, shape.line)]
    return []


def inside(shape: Shape, width: int, height: int) -> Shape:
    """The shape with what rounding put outside its film moved to the film's edge."""
    return replace(shape, rings=tuple(np.clip(ring, 0, [width, height]) for ring in shape.rings))


def rotate(points: np.ndarray, centre: np.ndarray, degrees: float) -> np.ndarray:
    """Points turned clockwise on the screen, whose y runs downwards; float64 (n, 2).

    Args:
        points: (n, 2) of x, y.
        centre: (2,), which stays.
    """
    c, s = cos(radians(degrees)), sin(radians(degrees))
    turned: np.ndarray = (points - centre) @ np.array([[c, s], [-s, c]]) + centre
    return turned
