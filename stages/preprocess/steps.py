"""The paper's chain as pure functions: crop, normalise, resize, contrast stretch, filter, equalise.

The authors used MATLAB 2024a and give no settings, so each step bears the name of the MATLAB function whose defaults it
follows; alternatives of the field stand beside them. Order and choice are `preprocess.steps`. Images stay float32 from
the raw film's 8 or 16 bits to the last step, and are quantised once, at the end.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import cv2
import numpy as np
from PIL import Image

from stages.common.data.geometry import Affine
from stages.preprocess import params
from stages.preprocess.limb import limb_box

BINS = 256  # MATLAB's imhist of a double image


@dataclass(frozen=True)
class Frame:
    """An image on its way through the chain.

    `image` is float32 (H, W) in 0..1; `affine` maps coordinates of the raw film to this grid; `film` is the part of
    the grid that shows film (the rest is padding), so that statistics never see the padding.
    """

    image: np.ndarray
    affine: Affine
    film: tuple[slice, slice]

    def on_film(self, work: Callable[[np.ndarray], np.ndarray]) -> "Frame":
        """This frame with `work` done on its film; the padding stays zero."""
        shown = self.image[self.film]
        if shown.shape == self.image.shape:
            return replace(self, image=work(shown))
        image = np.zeros_like(self.image)
        image[self.film] = work(np.ascontiguousarray(shown))
        return replace(self, image=image)


def prepare(raw: np.ndarray, settings: params.Params) -> tuple[np.ndarray, Frame]:
    """Take one raw film through `settings.steps`.

    Args:
        raw: uint8 or uint16 (H, W), bone bright.
    Returns:
        uint8 (size, size), quantised once at the end, and the last Frame (image in 0..1, affine, film region).
    """
    whole = (slice(0, raw.shape[0]), slice(0, raw.shape[1]))
    frame = Frame(np.divide(raw, np.float32(np.iinfo(raw.dtype).max), dtype=np.float32), Affine(), whole)
    for step in settings.steps:
        frame = apply_step(step, frame, settings.size)
    return np.round(np.clip(frame.image, 0, 1) * 255).astype(np.uint8), frame


def apply_step(step: params.Step, frame: Frame, size: int) -> Frame:
    """The frame after one step; `size` is the side of the square, in pixels."""
    match step:
        case params.Crop():
            return crop(frame, step.level, step.margin)
        case params.Mat2gray():
            return mat2gray(frame)
        case params.Imresize():
            return imresize(frame, size)
        case params.Imadjust():
            return imadjust(frame, step.low, step.high)
        case params.Window():
            return window(frame, step.low, step.high)
        case params.Medfilt2():
            return medfilt2(frame, step.window_px)
        case params.Bilateral():
            return bilateral(frame, step.window_px, step.sigma_level, step.sigma_px)
        case params.Histeq():
            return histeq(frame, step.levels)
        case params.Clahe():
            return clahe(frame, step.clip, step.tiles)


def crop(frame: Frame, level: float, margin: float) -> Frame:
    """Cut to the limb with a margin; a film on which no limb stands out stays whole. No MATLAB function does this."""
    image = frame.image[frame.film]
    left, top, right, bottom = limb_box(np.ascontiguousarray(image), level, margin)
    offset_y, offset_x = frame.film[0].start, frame.film[1].start
    moved = frame.affine.then(Affine(shift_x=-(left + offset_x), shift_y=-(top + offset_y)))
    return Frame(image[top:bottom, left:right], moved, (slice(0, bottom - top), slice(0, right - left)))


def mat2gray(frame: Frame) -> Frame:
    """Minimum to 0 and maximum to 1. A constant film becomes 0, where MATLAB clips its value to 0..1."""

    def scale(image: np.ndarray) -> np.ndarray:
        low, high = float(image.min()), float(image.max())
        return (image - low) / (high - low) if high > low else np.zeros_like(image)

    return frame.on_film(scale)


def imresize(frame: Frame, size: int) -> Frame:
    """Bicubic with antialiasing to `size` along the longer side, centred on a square of zeros.

    MATLAB's kernel (Keys, a = -0.5, widened by the shrink factor) with MATLAB's mirrored border: Pillow has the
    kernel, and the film is mirrored round its edges before Pillow sees it. OpenCV's INTER_CUBIC has another kernel
    (a = -0.75) and no antialiasing. Values beyond 0..1, which the kernel's negative lobes make, are clipped, as
    MATLAB's integer images are.
    """
    image = frame.image[frame.film]
    height, width = image.shape
    scale = size / max(height, width)
    new_height, new_width = max(1, round(height * scale)), max(1, round(width * scale))
    small = resized(image, new_height, new_width)
    top, left = (size - new_height) // 2, (size - new_width) // 2
    film = (slice(top, top + new_height), slice(left, left + new_width))
    # The stored map uses the rounded size, so that boxes land where the pixels did.
    to_film = Affine(shift_x=-float(frame.film[1].start), shift_y=-float(frame.film[0].start))
    shrink = Affine(new_width / width, new_height / height, float(left), float(top))
    square = np.zeros((size, size), np.float32)
    square[film] = np.clip(small, 0, 1)
    return Frame(square, frame.affine.then(to_film).then(shrink), film)


def resized(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """MATLAB's `imresize(image, [height width])` of a float32 image (H, W)."""
    # The cubic kernel reaches 2 pixels of the coarser grid, and one more for rounding.
    reach_y = int(np.ceil(2 * max(1.0, image.shape[0] / height))) + 1
    reach_x = int(np.ceil(2 * max(1.0, image.shape[1] / width))) + 1
    mirrored = cv2.copyMakeBorder(image, reach_y, reach_y, reach_x, reach_x, cv2.BORDER_REFLECT)
    box = (reach_x, reach_y, reach_x + image.shape[1], reach_y + image.shape[0])
    return np.asarray(Image.fromarray(mirrored).resize((width, height), Image.Resampling.BICUBIC, box=box))


def imadjust(frame: Frame, low: float, high: float) -> Frame:
    """The quantiles `low` and `high` to 0 and 1, clipped: imadjust with the limits of stretchlim.

    As in MATLAB the limits are bins of a histogram of 256: the first whose cumulative share is above `low`, and the
    first whose share reaches `high`. Where both are one bin, nothing is stretched.
    """

    def stretch(image: np.ndarray) -> np.ndarray:
        share = np.cumsum(histogram(image)) / image.size
        black = int(np.searchsorted(share, low, side="right"))
        white = int(np.searchsorted(share, high, side="left"))
        if black >= white:
            return image
        gain = np.float32((BINS - 1) / (white - black))
        return np.asarray(np.clip((image - np.float32(black / (BINS - 1))) * gain, 0, 1))

    return frame.on_film(stretch)


def window(frame: Frame, low: float, high: float) -> Frame:
    """Percentile window, the field's usual stretch: interpolated between pixels, with no bins as imadjust has."""

    def stretch(image: np.ndarray) -> np.ndarray:
        black, white = np.percentile(image, [low, high]).astype(np.float32)
        return np.clip((image - black) / (white - black), 0, 1) if white > black else image

    return frame.on_film(stretch)


def medfilt2(frame: Frame, window_px: int) -> Frame:
    """Median over a square window with zeros beyond the border, as MATLAB's; OpenCV alone would repeat the edge."""

    def median(image: np.ndarray) -> np.ndarray:
        if window_px > 5:  # OpenCV's float median ends there
            from scipy.ndimage import median_filter  # a third of a start of `wrist predict`

            return np.asarray(median_filter(image, window_px, mode="constant", cval=0.0))
        reach = window_px // 2
        padded = cv2.copyMakeBorder(image, reach, reach, reach, reach, cv2.BORDER_CONSTANT, value=0)
        smooth = cv2.medianBlur(padded, window_px)
        return np.asarray(smooth[reach : reach + image.shape[0], reach : reach + image.shape[1]])

    return frame.on_film(median)


def bilateral(frame: Frame, window_px: int, sigma_level: float, sigma_px: float) -> Frame:
    """OpenCV's bilateral filter: smooths and keeps edges.

    MATLAB's imbilatfilt has a Gaussian of 1 pixel, a degree of smoothing in place of a standard deviation of grey
    levels, and repeats the edge; OpenCV mirrors it.

    Args:
        frame: of which the film is smoothed.
        window_px: diameter of the neighbourhood, in pixels.
        sigma_level: standard deviation over grey levels, which are 0..1.
        sigma_px: standard deviation over distance, in pixels.
    """
    return frame.on_film(lambda image: cv2.bilateralFilter(image, window_px, sigma_level, sigma_px))


def histeq(frame: Frame, levels: int) -> Frame:
    """Histogram equalisation to `levels` equally filled grey levels, by MATLAB's matching rule.

    A level of the film's 256-bin histogram goes to the lowest output level whose target count reaches its cumulative
    count, short of half its own count (none for the first and the last bin). scikit-image and OpenCV map to the
    cumulative histogram itself instead and are up to tens of grey levels away.
    """

    def equalise(image: np.ndarray) -> np.ndarray:
        counts = histogram(image)
        tolerance = counts / 2
        tolerance[[0, -1]] = 0
        target = image.size / levels * np.arange(1, levels + 1)
        reached = np.cumsum(counts) - tolerance - image.size * np.sqrt(np.finfo(np.float64).eps)
        chosen = np.minimum(np.searchsorted(target, reached, side="left"), levels - 1)
        table = (chosen / (levels - 1)).astype(np.float32)
        return np.asarray(table[bins_of(image)])

    return frame.on_film(equalise)


def clahe(frame: Frame, clip: float, tiles: int) -> Frame:
    """Contrast-limited adaptive equalisation, OpenCV's, on 8 bits; so let it be the last step.

    On 16 bits its limit, shared out over 65,536 bins, comes to less than one pixel and clips all alike. The limit
    counts multiples of an even histogram (2 is the field's habit); MATLAB's adapthisteq takes a share of 0..1 and
    matches another distribution, so that the two numbers do not compare.
    """
    filter_ = cv2.createCLAHE(clip, (tiles, tiles))

    def equalise(image: np.ndarray) -> np.ndarray:
        levels = np.round(np.clip(image, 0, 1) * 255).astype(np.uint8)
        return np.asarray(filter_.apply(levels).astype(np.float32) / np.float32(255))

    return frame.on_film(equalise)


def bins_of(image: np.ndarray) -> np.ndarray:
    """The bin of every pixel as MATLAB's imhist has them, uint8: bin k is centred on k / 255."""
    return np.asarray(np.clip(image, 0, 1) * np.float32(BINS - 1) + np.float32(0.5)).astype(np.uint8)


def histogram(image: np.ndarray) -> np.ndarray:
    """Counts of the 256 bins, float64."""
    return np.asarray(cv2.calcHist([bins_of(image)], [0], None, [BINS], [0, BINS])).ravel().astype(np.float64)
