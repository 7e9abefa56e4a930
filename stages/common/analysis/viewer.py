"""What the viewer of a page shows of a film, as its script `templates/viewer.js` takes it."""

import json
import math
from typing import NotRequired, TypedDict

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
    levels: address of the script of `levels_script`, for a film whose grey levels 8 bits do not hold.
    """

    film: str
    grid: tuple[float, float, float, float]
    label: str | None
    models: list[ViewedModel]
    levels: NotRequired[str]


def as_script(film: ViewedFilm, name: str | None = None) -> str:
    """The line of JavaScript that hands a film to the viewer.

    Args:
        film: that is shown.
        name: of the film, in a page that holds the line; a file with the line is loaded for a film that the page names.
    """
    arguments = [film] if name is None else [film, name]
    return f"viewer.add({', '.join(map(json.dumps, arguments))});\n".replace("<", "\\u003c")


def levels_script(picture: str) -> str:
    """The line of JavaScript that hands the grey levels of a film to the viewer.

    Args:
        picture: of `split_levels`, as a lossless data URI.
    """
    return f"viewer.addLevels({json.dumps(picture)});\n"


def split_levels(pixels: np.ndarray) -> np.ndarray:
    """A film's grey levels in 12 bits, over its own range, as a browser can read them: uint8 (H, 2 * W).

    A browser gives a page 8 bits of a picture, so that the upper 8 of the 12 stand on the left and the lower 4 on the
    right. Then a window of a sixteenth of the range still has 256 greys, as many as a screen.

    Args:
        pixels: uint16 (H, W).
    """
    low, high = int(pixels.min()), int(pixels.max())
    every = np.clip((np.arange(65536.0) - low) * (4095 / max(high - low, 1)), 0, 4095)
    levels = np.round(every).astype(np.uint16)[pixels]
    return np.hstack([(levels >> 4).astype(np.uint8), (levels & 15).astype(np.uint8)])


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
