"""What the viewer of a page shows of a film, as its script `templates/viewer.js` takes it."""

import json
import math
from typing import TypedDict

import numpy as np

from stages.common.data.geometry import Affine


class ViewedModel(TypedDict):
    """probability: of the network's square, a PNG as a data URI. threshold: the one from which a pixel is marked."""

    name: str
    probability: str
    threshold: float


class ViewedFilm(TypedDict):
    """film: address of the picture, relative to the script, or a data URI. grid: left, top, width and height of the
    network's square in pixels of that picture. label: a PNG as a data URI, not 0 where a fracture is; None: not known.
    """

    film: str
    grid: tuple[float, float, float, float]
    label: str | None
    models: list[ViewedModel]


def as_script(film: ViewedFilm, name: str | None = None) -> str:
    """The line of JavaScript that hands a film to the viewer.

    Args:
        film: that is shown.
        name: of the film, in a page that holds the line; a file with the line is loaded for a film that the page names.
    """
    arguments = [film] if name is None else [film, name]
    return f"viewer.add({', '.join(map(json.dumps, arguments))});\n".replace("<", "\\u003c")


def square_on_film(affine: Affine, size: int) -> tuple[float, float, float, float]:
    """Left, top, width and height of the network's square in pixels of the film.

    Args:
        affine: from the film to the square.
        size: of the square, in pixels.
    """
    (left, top), (right, bottom) = affine.inverse().points(np.array([[0, 0], [size, size]])).tolist()
    return left, top, right - left, bottom - top


def probability_map(probability: np.ndarray, mask: np.ndarray, threshold: float) -> np.ndarray:
    """Probabilities in 255ths, uint8 (H, W): those that reach `255 * threshold` are the mask's, however they round.

    Args:
        probability: uint8 (H, W), rounded 255ths.
        mask: bool (H, W), where the unrounded probability reaches the threshold.
        threshold: 0..1.
    """
    least = math.ceil(255 * threshold)
    inside, outside = np.maximum(probability, least), np.minimum(probability, max(least - 1, 0))
    return np.asarray(np.where(mask, inside, outside).astype(np.uint8))
