"""Copies and other films in one position, told apart by their pixels."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from stages.common.core.files import write_png
from stages.ingest.pictures import decode_picture
from stages.ingest.quality.copies import ALIKE, are_copies, likeness
from stages.ingest.quality.duplicates import perceptual_hashes, small_picture
from stages.ingest.quality.hash_search import near_pairs
from tests.helpers.copies import COPIES, films
from tests.helpers.paths import FRACATLAS, needs


@pytest.mark.parametrize("name", [name for name, (_, caught) in COPIES.items() if caught])
def test_copies_have_the_same_details(name: str) -> None:
    change, _ = COPIES[name]
    for film in films(4):
        assert likeness(np.asarray(film), np.asarray(change(film))) >= ALIKE


def test_other_films_do_not() -> None:
    pixels = [np.asarray(film) for film in films(8)]
    assert max(likeness(pixels[i], pixels[j]) for i in range(8) for j in range(i)) < 0.6


def test_films_that_only_their_details_tell_apart_are_no_copies() -> None:
    """What hashes see of two patients' hands in one position is the same."""
    rng = np.random.default_rng(0)
    base = np.asarray(films(1)[0].resize((256, 256))).astype(np.float32) * 0.7
    one, other = (np.clip(base + rng.normal(20, 8, base.shape), 0, 255).astype(np.uint8) for _ in range(2))
    hashes = np.stack([perceptual_hashes(small_picture(pixels)) for pixels in (one, other)])
    assert len(near_pairs(hashes, 32)) == 1
    assert likeness(one, other) < ALIKE


def test_films_of_one_level_are_alike_and_like_no_other() -> None:
    film = np.asarray(films(1)[0])
    assert likeness(np.zeros((40, 50), np.uint8), np.full((20, 20), 9, np.uint16)) == 1
    assert likeness(film, np.zeros_like(film)) == 0


def test_only_the_rows_that_both_have_are_compared(tmp_path: Path) -> None:
    film = np.asarray(films(1)[0])
    cut = film.copy()
    cut[len(cut) * 2 // 3 :] = 128
    for name, pixels in (("whole", film), ("cut", cut)):
        write_png(tmp_path / f"{name}.png", pixels)
    files = tmp_path / "whole.png", tmp_path / "cut.png"
    assert are_copies((*files, 2 / 3))
    assert not are_copies((*files, 1.0))


@pytest.mark.slow
@needs(FRACATLAS)
def test_real_films_are_told_from_all_others_and_not_from_their_copies() -> None:
    paths = sorted(FRACATLAS.rglob("*.jpg"))
    pixels = [decode_picture(path.read_bytes(), 64).pixels for path in paths]
    hashes = np.stack([perceptual_hashes(small_picture(one)) for one in pixels])
    closest = sorted(near_pairs(hashes, 90), key=lambda pair: pair[2])[:100]
    assert max(likeness(pixels[i], pixels[j]) for i, j, _ in closest) < ALIKE
    for name, (change, caught) in COPIES.items():
        if caught:
            for one in pixels[::25]:
                assert likeness(one, np.asarray(change(Image.fromarray(one)))) > 0.9, name
