"""Colours over a film are told apart with any colour vision, whatever the film's grey."""

from itertools import combinations

import numpy as np
import pytest
from skimage.color import deltaE_ciede2000, rgb2lab

from stages.common.analysis.colours import FILL, FOUND, LABELLED, MARKED, MISSED, PROBABLE

# How dichromats see linear RGB: Machado, Oliveira and Fernandes 2009, table 1, severity 1.
VISION = {
    "full": np.eye(3),
    "no red": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "no green": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "no blue": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}
GREYS = np.repeat(np.arange(0, 256, 5)[:, None], 3, axis=1)
NOTICED = 2.3  # a difference of CIEDE2000 that is just noticed, side by side


def fill(colour: tuple[int, int, int], share: float = FILL) -> np.ndarray:
    """What is seen of a fill over each grey, (N, 3)."""
    return (1 - share) * GREYS + share * np.array(colour)


def seen(rgb: np.ndarray, vision: str) -> np.ndarray:
    """CIELAB of what an eye sees of sRGB in 0..255; (N, 3) to (N, 3)."""
    part = rgb / 255
    linear = np.where(part <= 0.04045, part / 12.92, ((part + 0.055) / 1.055) ** 2.4)
    other = np.clip(linear @ np.array(VISION[vision]).T, 0, 1)
    return np.asarray(rgb2lab(np.where(other <= 0.0031308, 12.92 * other, 1.055 * other ** (1 / 2.4) - 0.055)))


def apart(one: np.ndarray, other: np.ndarray) -> float:
    """The smallest difference of any of these colours from any of those, for any eye."""
    return min(
        float(deltaE_ciede2000(seen(one, vision)[:, None], seen(other, vision)[None]).min()) for vision in VISION
    )


FILLS = {"found": fill(FOUND), "marked only": fill(MARKED), "labelled only": fill(MISSED)}
LINES = {"label": np.array([LABELLED]), "marked": np.array([MARKED])}


@pytest.mark.parametrize(("one", "other"), combinations(FILLS, 2))
def test_what_the_fills_mean_is_told_apart(one: str, other: str) -> None:
    assert apart(FILLS[one], FILLS[other]) > 5 * NOTICED


@pytest.mark.parametrize("name", FILLS)
def test_no_fill_looks_like_a_film(name: str) -> None:
    assert apart(FILLS[name], GREYS) > 4 * NOTICED


@pytest.mark.parametrize("name", FILLS)
def test_the_outline_of_a_label_looks_like_no_fill(name: str) -> None:
    assert apart(LINES["label"], FILLS[name]) > 5 * NOTICED


@pytest.mark.parametrize("name", LINES)
def test_outlines_are_seen_on_a_film_and_over_probabilities(name: str) -> None:
    assert apart(LINES[name], GREYS) > 5 * NOTICED
    assert min(apart(LINES[name], fill(PROBABLE, share)) for share in (0.05, 0.2, 0.4, 0.6, 0.85)) > 2.5 * NOTICED


def test_the_outline_of_a_label_is_told_apart_from_that_of_a_mark() -> None:
    assert apart(*LINES.values()) > 10 * NOTICED


def test_what_only_full_colour_vision_tells_apart_fails() -> None:
    green, purple = fill((0, 158, 115)), fill((204, 121, 167))
    assert apart(green, purple) < 3 * NOTICED
