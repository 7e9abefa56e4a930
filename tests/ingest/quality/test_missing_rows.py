"""Films that broke off on their way and were saved again."""

from io import BytesIO

import imagecodecs
import numpy as np
import pytest
from PIL import Image

from stages.ingest.pictures import decode_picture
from stages.ingest.quality.missing_rows import missing_rows
from tests.helpers.paths import FRACATLAS, needs

RNG = np.random.default_rng(0)
FILM = (np.add.outer(np.arange(160), np.arange(120)) // 2 + RNG.integers(0, 30, (160, 120)) + 20).astype(np.uint8)


def jpeg(pixels: np.ndarray, quality: int) -> bytes:
    buffer = BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


@pytest.mark.parametrize("quality", [50, 80, 95])
def test_what_a_codec_fills_in_is_counted_also_when_it_was_saved_again(quality: int) -> None:
    whole = jpeg(FILM, 90)
    broken = imagecodecs.jpeg8_decode(whole[: len(whole) * 2 // 3])
    for pixels in (broken, np.asarray(Image.open(BytesIO(jpeg(broken, quality)))), broken.astype(np.uint16) * 257):
        assert missing_rows(pixels) == pytest.approx(160 / 3, abs=16)


@pytest.mark.parametrize("period", [1, 8, 16])
def test_a_block_that_repeats_is_no_film(period: int) -> None:
    repeated = np.concatenate([FILM[:96], np.tile(FILM[96 - period : 96], (64 // period, 1))])
    assert missing_rows(repeated) == 64 + period


@pytest.mark.parametrize("level", [0, 255])
def test_a_part_filled_with_black_or_white_that_no_other_edge_has_is_missing(level: int) -> None:
    """As a program leaves it that makes the picture first and fills in what arrives."""
    filled = FILM.copy()
    filled[120:] = level
    for pixels in (filled, filled.astype(np.uint16) * 257, np.asarray(Image.open(BytesIO(jpeg(filled, 80))))):
        assert missing_rows(pixels) == pytest.approx(40, abs=8)
    framed = filled.copy()
    framed[:, :20] = level  # a collimator's edge, or the ground beside a hand
    assert missing_rows(framed) == 0


def test_whole_films_and_borders_are_let_alone() -> None:
    assert missing_rows(FILM) == 0
    bordered = FILM.copy()
    bordered[120:] = FILM.max()  # as bright as the film gets, and no more
    assert missing_rows(bordered) == 0
    framed = np.full((200, 160), 200, np.uint8)
    framed[20:180, 20:140] = FILM
    assert missing_rows(framed) == 0
    assert missing_rows(np.full((64, 64), 7, np.uint8)) == 0
    assert missing_rows(FILM[:3]) == 0


@pytest.mark.slow
@needs(FRACATLAS)
def test_no_whole_film_is_suspected() -> None:
    for path in sorted(FRACATLAS.rglob("*.jpg")):
        assert missing_rows(decode_picture(path.read_bytes(), 64).pixels) == 0, path.name
