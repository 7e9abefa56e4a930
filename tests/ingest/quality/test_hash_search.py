"""Pairs of near hashes against a comparison of all bits of all orientations."""

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages.ingest.quality.duplicates import orientations, perceptual_hashes
from stages.ingest.quality.hash_search import class_words, least_distance, near_pairs


def brute_distances(hashes: np.ndarray) -> np.ndarray:
    """(n, n): in how many bits the upright hash of one film differs from the nearest of another."""
    bits = np.unpackbits(hashes, axis=2)
    apart = (bits[:, None, None, 0] != bits[None]).sum(axis=3)
    return np.asarray(np.minimum(apart, 256 - apart).min(axis=2))


def brute_pairs(hashes: np.ndarray, most: int) -> list[tuple[int, int, int]]:
    apart = brute_distances(hashes)
    return [(int(i), int(j), int(apart[i, j])) for i, j in np.argwhere(apart <= most) if i < j]


def pictures_and_copies(seed: int) -> np.ndarray:
    """uint8 (60, 64, 64): smooth pictures, the second half noisy copies of the first, turned and inverted."""
    rng = np.random.default_rng(seed)
    rough = rng.integers(0, 255, (30, 9, 9), dtype=np.uint8)
    smooth = [cv2.resize(one, (64, 64), interpolation=cv2.INTER_CUBIC) for one in rough]
    turned = [orientations(one)[rng.integers(8)] for one in smooth]
    noisy = [np.clip(one + rng.normal(0, rng.uniform(0, 25), one.shape), 0, 255).astype(np.uint8) for one in turned]
    return np.stack([*smooth, *[255 - one if rng.random() < 0.5 else one for one in noisy]])


@given(st.integers(0, 2**32 - 1), st.integers(1, 60))
def test_pairs_are_those_of_a_brute_force_whatever_the_bits(seed: int, number: int) -> None:
    rng = np.random.default_rng(seed)
    hashes = rng.integers(0, 256, (number, 8, 32), dtype=np.uint8)
    for i in range(0, number - 1, 3):  # some are near, in any orientation
        hashes[i + 1, rng.integers(8)] = hashes[i, 0] ^ np.packbits(rng.random(256) < 0.05)
    assert near_pairs(hashes, 32) == brute_pairs(hashes, 32)


@pytest.mark.parametrize("most", [0, 32, 64])
def test_pairs_of_pictures_are_those_of_a_brute_force(most: int) -> None:
    hashes = np.stack([perceptual_hashes(one) for one in pictures_and_copies(most)])
    pairs = near_pairs(hashes, most)
    assert pairs == brute_pairs(hashes, most)
    assert most == 0 or 10 < len(pairs) < 60


def test_the_bound_is_never_above_the_distance_and_leaves_few_pairs() -> None:
    hashes = np.stack([perceptual_hashes(one) for one in pictures_and_copies(1)])
    words, steady = class_words(hashes)
    least, apart = least_distance(words[:, :, None], words, steady), brute_distances(hashes)
    assert (least <= apart).all()
    strangers = np.triu(apart > 64, 1)
    assert (least[strangers] <= 32).mean() < 0.02, "the search compares whole hashes of most pairs"


def test_blocks_make_no_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    hashes = np.random.default_rng(0).integers(0, 256, (30, 8, 32), dtype=np.uint8)
    hashes[17] = hashes[3]
    whole = near_pairs(hashes, 40)
    for name, size in (("ROWS", 4), ("COLUMNS", 7), ("FILMS", 5)):
        monkeypatch.setattr(f"stages.ingest.quality.hash_search.{name}", size)
    assert near_pairs(hashes, 40) == whole
    assert (3, 17, 0) in whole
    assert near_pairs(hashes[:0], 32) == []
