"""Films that are there more than once: exact copies by their pixels, near ones by a perceptual hash."""

import hashlib

import cv2
import imagehash
import numpy as np
import pandas as pd
from PIL import Image
from scipy.fft import dct
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from stages.ingest.quality.hash_search import distance

SIDE = 64  # imagehash's own working size for 256 bits, so that the eight turned films cost next to nothing
HASH_SIDE = 16  # coefficients each way that make the hash
LEAST_ROWS = 16  # of a small picture; on fewer there is no film to be told by


def pixel_hash(pixels: np.ndarray) -> str:
    """SHA-256 of size, depth and pixels (H, W): what two files share that show the same film."""
    return hashlib.sha256(f"{pixels.shape} {pixels.dtype}".encode() + pixels.tobytes()).hexdigest()


def small_picture(pixels: np.ndarray) -> np.ndarray:
    """A film squeezed to uint8 (64, 64), stretched to 8 bits first, so that brightness and depth do not matter."""
    low, high = int(pixels.min()), int(pixels.max())
    levels = np.arange(np.iinfo(pixels.dtype).max + 1, dtype=np.float32)  # fewer than a large film has pixels
    table = np.round((np.clip(levels, low, high) - low) * (255 / max(high - low, 1.0))).astype(np.uint8)
    grey = cv2.LUT(pixels, table) if pixels.dtype == np.uint8 else table[pixels]
    return np.asarray(Image.fromarray(grey).resize((SIDE, SIDE), Image.Resampling.LANCZOS))


def orientations(picture: np.ndarray) -> list[np.ndarray]:
    """A square picture (N, N) turned by 0, 90, 180 and 270 degrees, then its mirror image likewise."""
    return [np.ascontiguousarray(np.rot90(side, k)) for side in (picture, picture[:, ::-1]) for k in range(4)]


def perceptual_hashes(small: np.ndarray) -> np.ndarray:
    """256-bit perceptual hashes of a film in its eight orientations (turned by 90 degrees, mirrored), uint8 (8, 32).

    Those of `imagehash.phash`, to the bit, which computes all 64 x 64 coefficients of one orientation at a time and
    takes three times as long.

    Args:
        small: of `small_picture`.
    """
    columns = dct(np.stack(orientations(small)).astype(np.float64), axis=1)[:, :HASH_SIDE]
    low = dct(columns, axis=2)[:, :, :HASH_SIDE].reshape(8, -1)
    return np.packbits(low > np.median(low, axis=1)[:, None], axis=1)


def cut_heights(missing: list[float]) -> list[int]:
    """The rows of a small picture that are left of each film that lacks some; without those of which too few are.

    Args:
        missing: the share of rows that each film lacks.
    """
    left = {rows_left(share) for share in missing if share}
    return sorted(height for height in left if height >= LEAST_ROWS)


def rows_left(missing: float) -> int:
    return round(SIDE * (1 - missing))


def upper_hashes(small: np.ndarray, heights: list[int]) -> np.ndarray:
    """Hashes of the upper rows of a film's small picture, as many rows as each of `heights` says; uint8 (h, 32)."""
    return np.stack([upright_hash(small[:height]) for height in heights])


def pairs_with_missing_rows(
    upper: np.ndarray, heights: list[int], missing: list[float], most: int
) -> list[tuple[int, int, int]]:
    """Pairs of a film whose lower part is missing and one whose upper part has a near hash, upright or inverted.

    Args:
        upper: uint8 (n, h, 32), `upper_hashes` of n films.
        heights: of `cut_heights`.
        missing: the share of rows that each film lacks.
        most: bits of 256 that may differ.
    Returns:
        (first, second, bits that differ), first < second, as of `near_pairs`.
    """
    pairs: dict[tuple[int, int], int] = {}
    for i in np.flatnonzero(missing).tolist():
        if (height := rows_left(missing[i])) in heights:
            parts = upper[:, heights.index(height)]
            apart = distance(parts[i : i + 1], parts[:, None])
            pairs |= {(min(i, j), max(i, j)): int(apart[j]) for j in np.flatnonzero(apart <= most).tolist() if j != i}
    return sorted((i, j, bits) for (i, j), bits in pairs.items())


def upright_hash(part: np.ndarray) -> np.ndarray:
    """The 256-bit perceptual hash of rows of a small picture, uint8 (32,)."""
    return np.packbits(imagehash.phash(Image.fromarray(part).resize((SIDE, SIDE)), hash_size=HASH_SIDE).hash)


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
