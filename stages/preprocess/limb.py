"""Where on a film the limb is: past unexposed borders, collimators, markers and glow, on dark or light ground.

What is kept too much costs resolution, what is kept too little costs a fracture; so every piece of the film that holds
bone counts, and each rule below only takes away what cannot be limb. Measured in docs/explanation/image-processing.md.
"""

import cv2
import numpy as np

SIDE = 128  # pixels of the longer side of the picture that is looked at
BINS = 1024
STRIP_WHITE, STRIP_SHARE, STRIP_GAP, STRIP_GLOW = 0.75, 0.5, 2, 3
BONE = 0.3
SMALLEST = 0.01  # share of the picture; smaller pieces are markers, rings and dust
FIELD_FULL, FIELD_SHARE = 0.9, 0.2

Box = tuple[int, int, int, int]


def limb_box(image: np.ndarray, level: float, margin: float) -> Box:
    """The box round everything on a film that may be limb, as left, top, right, bottom in pixels.

    Args:
        image: float32 (H, W) in 0..1, bone bright or, on a light ground, dark.
        level: share of the range from background to bright bone above which a pixel may be limb, 0..1.
        margin: share of the box's longer side added all round.
    Returns:
        The whole film where no limb stands out.
    """
    height, width = image.shape
    small = look(image)
    rows, columns = inside_strips(small)
    limb = bony_pieces(small[rows, columns], level)
    if limb is None:
        return 0, 0, width, height
    limb = inside_field(small[rows, columns], limb, level)
    down, across = np.flatnonzero(limb.any(axis=1)) + rows.start, np.flatnonzero(limb.any(axis=0)) + columns.start
    box = np.array([across[0], down[0], across[-1] + 1, down[-1] + 1], dtype=np.float64)
    extra = margin * max(box[2] - box[0], box[3] - box[1])
    scale = np.array([width / small.shape[1], height / small.shape[0]] * 2)
    left, top, right, bottom = (box + np.array([-extra, -extra, extra, extra])) * scale
    return max(0, int(left)), max(0, int(top)), min(width, int(np.ceil(right))), min(height, int(np.ceil(bottom)))


def look(image: np.ndarray) -> np.ndarray:
    """A small smooth picture of a film with a dark ground: where most of the film and of its rim is light, inverted.

    It is scaled to its own range, so that bits which a film does not use change nothing.

    Args:
        image: float32 (H, W) in 0..1.
    Returns:
        float32, at most SIDE pixels a side, in 0..1.
    """
    height, width = image.shape
    scale = min(1.0, SIDE / max(height, width))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    small = cv2.GaussianBlur(cv2.resize(image, size, interpolation=cv2.INTER_AREA), (3, 3), 0.7)
    low, high = float(small.min()), float(small.max())
    small = (small - low) / (high - low) if high > low else np.zeros_like(small)
    rim = max(2, min(size) // 20)
    edges = [small[:rim].ravel(), small[-rim:].ravel(), small[:, :rim].ravel(), small[:, -rim:].ravel()]
    middle = sum(quantiles(small, (0.01, 0.99))) / 2
    light = float(np.median(np.concatenate(edges))) > middle and float(np.median(small)) > middle
    return np.asarray(1 - small if light else small)


def quantiles(picture: np.ndarray, shares: tuple[float, ...], where: np.ndarray | None = None) -> list[float]:
    """Grey levels at shares of the pixels, to 1/1024: from a histogram, since sorting would take most of the time.

    Args:
        picture: float32 (H, W) in 0..1.
        shares: 0..1.
        where: bool (H, W), the pixels that count; None for all.
    """
    picture = np.ascontiguousarray(picture)
    mask = None if where is None else np.ascontiguousarray(where).astype(np.uint8)
    counts = np.cumsum(cv2.calcHist([picture], [0], mask, [BINS], [0.0, 1.0 + 1 / BINS]).ravel())
    bins = np.searchsorted(counts, np.array(shares) * counts[-1])
    return [float(number) / BINS for number in bins]


def inside_strips(small: np.ndarray) -> tuple[slice, slice]:
    """The rows and columns between near-white strips along the edges: film that no cassette covered.

    A strip starts at its edge, and half of each of its lines is near-white; bones at an edge are narrower.

    Args:
        small: float32 (H, W) in 0..1, of `look`.
    """
    dark, bright = quantiles(small, (0.1, 0.995))
    white = small > dark + STRIP_WHITE * (bright - dark)
    height, width = small.shape
    across, down = white.mean(axis=1), white.mean(axis=0)
    top, bottom, left, right = (strip(lines) for lines in (across, across[::-1], down, down[::-1]))
    return slice(top, height - bottom), slice(left, width - right)


def strip(lines: np.ndarray) -> int:
    """How many lines from the start belong to a strip, with the glow beside it; at most a quarter of them, or 0.

    Args:
        lines: share of near-white pixels of each line, float (n,).
    """
    last = gap = 0
    for number, share in enumerate(lines[: len(lines) // 4], start=1):
        last, gap = (number, 0) if share >= STRIP_SHARE else (last, gap + 1)
        if gap > STRIP_GAP:
            break
    return last + STRIP_GLOW if last else 0


def bony_pieces(picture: np.ndarray, level: float, where: np.ndarray | None = None) -> np.ndarray | None:
    """Pieces brighter than background by `level` of the range that hold a pixel as bright as bone.

    A glow along an edge is brighter than background, and never as bright as bone.

    Args:
        picture: float32 (H, W) in 0..1.
        level: share of the range, 0..1.
        where: bool (H, W), the pixels that count; None for all.
    Returns:
        bool (H, W), or None where there are no such pieces.
    """
    dark, bright = quantiles(picture, (0.1, 0.99), where)
    above = picture > dark + level * (bright - dark)
    if where is not None:
        above &= where
    disk = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (3, 3))
    count, pieces, stats, _ = cv2.connectedComponentsWithStats(
        cv2.morphologyEx(above.astype(np.uint8), cv2.MORPH_OPEN, disk)
    )
    large = stats[:, cv2.CC_STAT_AREA] >= SMALLEST * picture.size
    bony = np.bincount(pieces[picture > dark + BONE * (bright - dark)], minlength=count) > 0
    kept = large & bony
    kept[0] = False
    return kept[pieces] if kept.any() else None


def inside_field(picture: np.ndarray, limb: np.ndarray, level: float) -> np.ndarray:
    """The limb within an exposed field, which is as full as a rectangle, also a rotated one; else the limb itself.

    Args:
        picture: float32 (H, W) in 0..1.
        limb: bool (H, W), of `bony_pieces`.
        level: share of the range, 0..1.
    """
    _, (width, height), _ = cv2.minAreaRect(cv2.findNonZero(limb.astype(np.uint8)))
    if limb.sum() < FIELD_FULL * (width + 1) * (height + 1) or limb.mean() < FIELD_SHARE:
        return limb
    inner = cv2.erode(limb.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
    pieces = bony_pieces(picture, level, inner) if inner.any() else None
    return limb if pieces is None else pieces
