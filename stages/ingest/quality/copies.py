"""Whether two films whose hashes are near show the same: their details must lie on one another.

Hashes of two patients' hands in one position can differ in less than 32 of 256 bits; trabeculae, nails and noise at
the edges of bones do not meet.
"""

from concurrent.futures import Executor
from functools import partial
from pathlib import Path

import cv2
import numpy as np

from stages.common.core.files import read_png
from stages.common.core.parallel import track
from stages.common.data.layout import image_file
from stages.ingest.quality.duplicates import (
    cut_heights,
    orientations,
    pairs_with_missing_rows,
    small_picture,
    upper_hashes,
)
from stages.ingest.quality.hash_search import near_pairs
from stages.ingest.types import FilmResult

Pairs = list[tuple[int, int, int]]  # numbers of two films, the smaller first, and the bits by which their hashes differ

SIDE = 256  # pixels of the pictures that are compared
COARSE = 32  # pixels of those by which the orientation is chosen
DETAIL = 3.0  # pixels; what is coarser does not count
ALIKE = 0.8  # correlation of details from which two films are copies, see the table in docs/explanation/ingest.md
STEPS = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 60, 1e-4)


def find_copies(taken: list[FilmResult], most: int, out: Path, pool: Executor) -> tuple[Pairs, int]:
    """Pairs of films that show the same, by their hashes and then by their pixels, and how many pairs the pixels tell
    apart.

    Args:
        taken: films in the order of the manifest.
        most: bits of 256 by which hashes of copies may differ.
        out: the folder that becomes data/raw.
        pool: compares the pixels.
    """
    missing = [result.missing for result in taken]
    files = [image_file(out, result.image_id) for result in taken]
    candidates = near_pairs(np.stack([result.hashes for result in taken]), most)
    if heights := cut_heights(missing):
        known = {pair[:2] for pair in candidates}
        upper = np.stack(track(pool, partial(hash_upper_parts, heights=heights), files, "compare upper parts"))
        further = pairs_with_missing_rows(upper, heights, missing, most)
        candidates += [pair for pair in further if pair[:2] not in known]
    pixels = [result.row["pixel_sha256"] for result in taken if result.row]
    unsure = [(i, j) for i, j, _ in candidates if pixels[i] != pixels[j]]
    jobs = [(files[i], files[j], 1 - max(missing[i], missing[j])) for i, j in unsure]
    alike = track(pool, are_copies, jobs, "compare copies")
    no_copies = {pair for pair, same in zip(unsure, alike, strict=True) if not same}
    return sorted(pair for pair in candidates if pair[:2] not in no_copies), len(no_copies)


def hash_upper_parts(film: Path, heights: list[int]) -> np.ndarray:
    """`upper_hashes` of the film in a PNG."""
    return upper_hashes(small_picture(read_png(film)), heights)


def are_copies(films: tuple[Path, Path, float]) -> bool:
    """Whether two films show the same, turned by 90 degrees, mirrored, inverted or in another size, too.

    Args:
        films: PNGs of two, and the share of their rows, from the top, that both have.
    """
    one, other = (pixels[: max(1, round(len(pixels) * films[2]))] for pixels in map(read_png, films[:2]))
    return likeness(one, other) >= ALIKE


def likeness(one: np.ndarray, other: np.ndarray) -> float:
    """The correlation of two films' details after registration, 0..1; 1 where neither has any.

    Args:
        one, other: uint8 or uint16 (H, W).
    """
    first, second = square(one), square(other)
    if not first.any() or not second.any():
        return float(first.any() == second.any())
    second = turned_alike(first, second)
    try:
        _, warp = cv2.findTransformECC(first, second, np.eye(2, 3, dtype=np.float32), cv2.MOTION_AFFINE, STEPS)
    except cv2.error:  # it does not converge, as on films that have nothing in common
        warp = np.eye(2, 3, dtype=np.float32)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    moved = cv2.warpAffine(second, warp, (SIDE, SIDE), flags=flags)
    inside = cv2.warpAffine(np.ones_like(second), warp, (SIDE, SIDE), flags=flags) > 0.99
    return correlation(details(first)[inside], details(moved)[inside])


def square(pixels: np.ndarray) -> np.ndarray:
    """A film as a square picture of mean 0 and standard deviation 1, float32 (SIDE, SIDE); 0 for one of one level."""
    small = cv2.resize(pixels, (SIDE, SIDE), interpolation=cv2.INTER_AREA).astype(np.float32)
    return (small - small.mean()) / max(float(small.std()), 1e-6) if small.max() > small.min() else np.zeros_like(small)


def turned_alike(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """The second picture turned, mirrored and inverted so that it is most like the first.

    Args:
        first, second: of `square`.
    """
    ways = orientations(second)
    coarse = [cv2.resize(way, (COARSE, COARSE), interpolation=cv2.INTER_AREA) for way in ways]
    target = cv2.resize(first, (COARSE, COARSE), interpolation=cv2.INTER_AREA)
    products = [float((way * target).mean()) for way in coarse]
    best = int(np.argmax(np.abs(products)))
    return np.asarray(ways[best] * np.float32(np.sign(products[best])))


def details(picture: np.ndarray) -> np.ndarray:
    """What of a picture is finer than DETAIL."""
    return np.asarray(picture - cv2.GaussianBlur(picture, (0, 0), DETAIL))


def correlation(one: np.ndarray, other: np.ndarray) -> float:
    """Of two arrays of one shape; 0 where one of them is constant or empty."""
    if one.size < 2 or one.std() == 0 or other.std() == 0:
        return 0.0
    return float(np.corrcoef(one, other)[0, 1])
