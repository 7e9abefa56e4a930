"""Pairs of near hashes among many, without a comparison of all orientations of all pairs.

A bit of a perceptual hash says whether the coefficient (u, v) of the picture's cosine transform is above the median.
Turning the picture by 90 degrees transposes the coefficients, and mirroring it negates those of odd u or of odd v. So
in every orientation the bits of odd u and even v, and those of even u and odd v, are the upright ones or all inverted,
perhaps transposed. They bound the distance from below in one step for all orientations; the hashes themselves decide
about the few pairs that the bound leaves. Bits that do not follow the rule, since their coefficient lies near the
median, do not count in the bound, so that no pair is missed.
"""

from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
from tqdm import tqdm

from stages.common.core.parallel import count_workers

ROWS, COLUMNS = 16, 2048  # films in a step; its 256 KB stay in the processor's cache
FILMS = 4096  # whose bits are unpacked at a time

Strip = tuple[np.ndarray, np.ndarray, np.ndarray]  # first films, second films, bits that differ


def near_pairs(hashes: np.ndarray, most: int) -> list[tuple[int, int, int]]:
    """Pairs of films whose hashes differ in at most `most` of 256 bits, in any orientation, also inverted.

    Of films with one and the same hash only pairs with the first are given: a thousand empty films are a thousand
    pairs, not a million.

    Args:
        hashes: uint8 (n, 8, 32), of n films, as `perceptual_hashes` gives them.
        most: bits of 256.
    Returns:
        (first, second, bits that differ), first < second. Time grows with the square of n, memory with n.
    """
    if len(hashes) == 0:
        return []
    _, first, same = np.unique(hashes[:, 0], axis=0, return_index=True, return_inverse=True)
    pairs = [(int(first[k]), i, 0) for i, k in enumerate(same.ravel()) if first[k] != i]
    films = np.sort(first)
    search = partial(near_strip, hashes[films], *class_words(hashes[films]), most)
    starts = range(0, len(films), ROWS)
    with ThreadPoolExecutor(count_workers()) as pool:
        for i, j, bits in tqdm(pool.map(search, starts), "search copies", len(starts), disable=None, leave=False):
            pairs += zip(films[i].tolist(), films[j].tolist(), bits.tolist(), strict=True)
    return sorted(pairs)


def class_words(hashes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The bits of odd u and even v of hashes, and, transposed, those of even u and odd v; and which of them are steady.

    Args:
        hashes: uint8 (n, 8, 32).
    Returns:
        Upright bits and a mask of those that every orientation keeps, or inverts with all others of their class; both
        uint64 (2, n).
    """
    words, steady = (np.empty((2, len(hashes)), np.uint64) for _ in range(2))
    for start in range(0, len(hashes), FILMS):
        part = slice(start, start + FILMS)
        bits = np.unpackbits(hashes[part], axis=2).reshape(-1, 8, 16, 16)
        bits[:, 1::2] = bits[:, 1::2].swapaxes(2, 3).copy()  # orientations that are turned by 90 or 270 degrees
        both = np.stack([way[:, :, 1::2, ::2].reshape(-1, 8, 64) for way in (bits, bits.swapaxes(2, 3))])
        turned = np.packbits(both, axis=3).view(np.uint64)[..., 0]
        changed = turned ^ turned[..., :1]
        changed = np.where(np.bitwise_count(changed) > 32, ~changed, changed)
        words[:, part], steady[:, part] = turned[..., 0], ~np.bitwise_or.reduce(changed, axis=2)
    return words, steady


def near_strip(hashes: np.ndarray, words: np.ndarray, steady: np.ndarray, most: int, start: int) -> Strip:
    """The near pairs of ROWS films from `start` with films behind them.

    Args:
        hashes: uint8 (n, 8, 32).
        words, steady: of `class_words`.
        most: bits of 256 that may differ.
        start: the first of the films.
    """
    upright, own = hashes[start : start + ROWS, 0], words[:, start : start + ROWS, None]
    found = []
    for other in range(start, len(hashes), COLUMNS):
        part = slice(other, other + COLUMNS)
        rows, columns = np.nonzero(least_distance(own, words[:, part], steady[:, part]) <= most)
        behind = start + rows < other + columns
        i, j = rows[behind], other + columns[behind]
        bits = distance(upright[i], hashes[j])
        near = bits <= most
        found.append((start + i[near], j[near], bits[near]))
    i, j, bits = (np.concatenate(part) for part in zip(*found, strict=True))
    return i, j, bits


def least_distance(own: np.ndarray, words: np.ndarray, steady: np.ndarray) -> np.ndarray:
    """A number of bits in which two films' hashes differ at least, whatever the orientation; uint8 (R, C).

    Args:
        own: uint64 (2, R, 1), `words` of R films.
        words, steady: uint64 (2, C), of C films.
    """
    size = np.bitwise_count(steady)

    def apart(one: int, other: int) -> np.ndarray:
        bits = own[one] ^ words[other]
        bits &= steady[other]
        count = np.bitwise_count(bits)
        return np.asarray(np.minimum(count, size[other] - count))

    return np.asarray(np.minimum(apart(0, 0) + apart(1, 1), apart(0, 1) + apart(1, 0)))


def distance(upright: np.ndarray, turned: np.ndarray) -> np.ndarray:
    """In how many bits two hashes differ, in the nearest orientation, also inverted.

    Args:
        upright: uint8 (n, 32).
        turned: uint8 (n, 8, 32).
    Returns:
        int (n,), 0..128.
    """
    bits = np.bitwise_count(upright.view(np.uint64)[:, None] ^ turned.view(np.uint64)).sum(axis=2, dtype=np.int64)
    return np.asarray(np.minimum(bits, 256 - bits).min(axis=1))
