"""Films that are there more than once: exact copies by their pixels, near ones by a perceptual hash."""

import hashlib

import imagehash
import numpy as np
import pandas as pd
from PIL import Image
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

SIDE = 64  # imagehash's own working size for 256 bits, so that the eight turned films cost next to nothing
BLOCK = 1024
LEAST_ROWS = 16  # of a small picture; on fewer there is no film to be told by


def pixel_hash(pixels: np.ndarray) -> str:
    """SHA-256 of size, depth and pixels (H, W): what two files share that show the same film."""
    return hashlib.sha256(f"{pixels.shape} {pixels.dtype}".encode() + pixels.tobytes()).hexdigest()


def small_picture(pixels: np.ndarray) -> np.ndarray:
    """A film squeezed to uint8 (64, 64), stretched to 8 bits first, so that brightness and depth do not matter."""
    values = pixels.astype(np.float32)
    low, high = float(values.min()), float(values.max())
    grey = np.round((values - low) * (255 / max(high - low, 1.0))).astype(np.uint8)
    return np.asarray(Image.fromarray(grey).resize((SIDE, SIDE), Image.Resampling.LANCZOS))


def orientations(picture: np.ndarray) -> list[np.ndarray]:
    """A square picture (N, N) turned by 0, 90, 180 and 270 degrees, then its mirror image likewise."""
    return [np.ascontiguousarray(np.rot90(side, k)) for side in (picture, picture[:, ::-1]) for k in range(4)]


def perceptual_hashes(small: np.ndarray) -> np.ndarray:
    """256-bit perceptual hashes of a film in its eight orientations (turned by 90 degrees, mirrored), uint8 (8, 32).

    Args:
        small: of `small_picture`.
    """
    bits = [imagehash.phash(Image.fromarray(one), hash_size=16).hash for one in orientations(small)]
    return np.packbits(np.stack(bits).reshape(8, 256), axis=1)


def pairs_with_missing_rows(smalls: np.ndarray, missing: list[float], most: int) -> list[tuple[int, int, int]]:
    """Pairs of a film whose lower part is missing and one whose upper part has a near hash, upright or inverted.

    Args:
        smalls: uint8 (n, 64, 64), of `small_picture`.
        missing: the share of rows that each film lacks.
        most: bits of 256 that may differ.
    Returns:
        (first, second, bits that differ), first < second, as of `near_pairs`.
    """
    pairs: dict[tuple[int, int], int] = {}
    for i in np.flatnonzero(missing).tolist():
        rows = round(SIDE * (1 - missing[i]))
        if rows >= LEAST_ROWS:
            upper = np.stack([upright_hash(small[:rows]) for small in smalls])
            apart = (np.unpackbits(upper, axis=1) != np.unpackbits(upper[i])).sum(axis=1)
            apart = np.minimum(apart, 256 - apart)
            pairs |= {(min(i, j), max(i, j)): int(apart[j]) for j in np.flatnonzero(apart <= most).tolist() if j != i}
    return sorted((i, j, bits) for (i, j), bits in pairs.items())


def upright_hash(part: np.ndarray) -> np.ndarray:
    """The 256-bit perceptual hash of rows of a small picture, uint8 (32,)."""
    return np.packbits(imagehash.phash(Image.fromarray(part).resize((SIDE, SIDE)), hash_size=16).hash)


def near_pairs(hashes: np.ndarray, most: int) -> list[tuple[int, int, int]]:
    """Pairs of films whose hashes differ in at most `most` of 256 bits, in any orientation, also inverted.

    Of films with one and the same hash only pairs with the first are given: a thousand empty films are a thousand
    pairs, not a million.

    Args:
        hashes: uint8 (n, 8, 32), of n films.
    Returns:
        (first, second, bits that differ), first < second. The work is done in blocks: beside the hashes, memory does
        not grow with n.
    """
    if len(hashes) == 0:
        return []
    _, first, same = np.unique(hashes[:, 0], axis=0, return_index=True, return_inverse=True)
    pairs = [(int(first[k]), i, 0) for i, k in enumerate(same.ravel()) if first[k] != i]
    films = np.sort(first)
    for start in range(0, len(films), BLOCK):
        rows = signs(hashes[films[start : start + BLOCK], :1])[:, 0]
        for other in range(start, len(films), BLOCK):
            columns = signs(hashes[films[other : other + BLOCK]])
            alike = np.abs(rows @ columns[:, 0].T)
            for k in range(1, 8):
                np.maximum(alike, np.abs(rows @ columns[:, k].T), out=alike)
            closest = (256 - alike) / 2
            for i, j in np.argwhere(closest <= most):
                if start + i < other + j:
                    pairs.append((int(films[start + i]), int(films[other + j]), round(float(closest[i, j]))))
    return sorted(pairs)


def signs(hashes: np.ndarray) -> np.ndarray:
    """The bits of hashes, uint8 (n, k, 32), as -1 and 1, float32 (n, k, 256): their products count what two share."""
    bits: np.ndarray = np.unpackbits(hashes, axis=2).astype(np.float32) * 2 - 1
    return bits


def groups(patients: list[str], pairs: list[tuple[int, int]]) -> list[str]:
    """For every film the name of its group: films of one patient, and of patients whose films are copies.

    Returns:
        The smallest patient id of the group, so that a patient without copies is its own group.
    """
    codes, names = pd.factorize(np.array(patients, dtype=object))
    first = [codes[i] for i, _ in pairs]
    second = [codes[j] for _, j in pairs]
    graph = coo_array((np.ones(len(pairs)), (first, second)), shape=(len(names), len(names)))
    _, component = connected_components(graph, directed=False)
    table = pd.DataFrame({"component": component, "name": names})
    smallest = table.groupby("component")["name"].transform("min").to_numpy()
    return [str(smallest[code]) for code in codes]
