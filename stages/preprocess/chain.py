"""The paper's chain as pure functions: crop, normalise, resize, contrast stretch, filter, equalise.

The authors used MATLAB 2024a and give no settings; each step names the MATLAB function whose defaults it follows.
"""

from dataclasses import dataclass, replace

import numpy as np
from PIL import Image
from scipy.ndimage import binary_opening, gaussian_filter, label, median_filter, zoom
from skimage.exposure import equalize_hist

from stages.common.geometry import Affine
from stages.preprocess.params import Params


@dataclass(frozen=True)
class Frame:
    """An image on its way through the chain.

    `image` is float32 (H, W); `affine` maps coordinates of the raw film to this grid; `film` is the part of the
    grid that shows film (the rest is padding), so that statistics never see the padding.
    """

    image: np.ndarray
    affine: Affine
    film: tuple[slice, slice]

    def on_film(self, image: np.ndarray) -> "Frame":
        """This frame with another image on the film and zero on the padding."""
        padded = np.zeros_like(self.image)
        padded[self.film] = image
        return replace(self, image=padded)


def prepare(raw: np.ndarray, settings: Params) -> tuple[np.ndarray, Frame]:
    """Take one raw film through `settings.steps`.

    Args:
        raw: uint8 or uint16 (H, W), bone bright.
    Returns:
        uint8 (size, size), quantised once at the end, and the last Frame (image in 0..1, affine, film region).
    """
    whole = (slice(0, raw.shape[0]), slice(0, raw.shape[1]))
    frame = Frame(raw.astype(np.float32) / np.iinfo(raw.dtype).max, Affine(), whole)
    for step in settings.steps:
        frame = STEPS[step](frame, settings)
    return np.round(np.clip(frame.image, 0, 1) * 255).astype(np.uint8), frame


def crop(frame: Frame, settings: Params) -> Frame:
    """Cut to the limb with a margin; a film on which no limb stands out stays whole."""
    image = frame.image[frame.film]
    left, top, right, bottom = limb_box(image, settings.crop.level, settings.crop.margin)
    offset_y, offset_x = frame.film[0].start, frame.film[1].start
    moved = frame.affine.then(Affine(shift_x=-(left + offset_x), shift_y=-(top + offset_y)))
    return Frame(image[top:bottom, left:right], moved, (slice(0, bottom - top), slice(0, right - left)))


def limb_box(image: np.ndarray, level: float, margin: float) -> tuple[int, int, int, int]:
    """The box round everything on a film that may be limb, as left, top, right, bottom in pixels.

    Limb is what is brighter than the background by `level` of the film's range, after smoothing. Every piece of at
    least 1 % of the film counts, not only the largest: on real films a plaster, a tag or the film's edge can be
    the largest piece, and a crop that keeps too much costs resolution while one that keeps too little costs the
    fracture.

    Args:
        image: float32 (H, W), bone bright.
        level: share of the range between background (10th percentile) and bright bone (99th), 0..1.
        margin: share of the box's longer side added all round.
    """
    height, width = image.shape
    shrink = min(1.0, 256 / max(height, width))
    small = gaussian_filter(zoom(image, shrink, order=1) if shrink < 1 else image, 1.5)
    dark, bright = np.percentile(small, [10, 99])
    limb = binary_opening(small > dark + level * (bright - dark), iterations=2)
    pieces, count = label(limb)
    sizes = np.bincount(pieces.ravel(), minlength=count + 1)[1:]
    kept = np.isin(pieces, 1 + np.flatnonzero(sizes >= 0.01 * limb.size))
    if not kept.any():
        return 0, 0, width, height
    rows, columns = np.flatnonzero(kept.any(axis=1)), np.flatnonzero(kept.any(axis=0))
    scale_y, scale_x = height / small.shape[0], width / small.shape[1]
    top, bottom = rows[0] * scale_y, (rows[-1] + 1) * scale_y
    left, right = columns[0] * scale_x, (columns[-1] + 1) * scale_x
    extra = margin * max(bottom - top, right - left)
    return (
        max(0, int(left - extra)),
        max(0, int(top - extra)),
        min(width, int(np.ceil(right + extra))),
        min(height, int(np.ceil(bottom + extra))),
    )


def normalise(frame: Frame, settings: Params) -> Frame:
    """Minimum to 0 and maximum to 1, as MATLAB's mat2gray; a constant film becomes 0."""
    image = frame.image[frame.film]
    low, high = float(image.min()), float(image.max())
    return frame.on_film((image - low) / (high - low) if high > low else np.zeros_like(image))


def resize(frame: Frame, settings: Params) -> Frame:
    """Bicubic with antialiasing to `size` along the longer side, centred on a square of zeros.

    As MATLAB's imresize (a = -0.5, kernel widened when shrinking) except within a few pixels of the border, where
    Pillow renormalises the truncated kernel and MATLAB mirrors the image.
    """
    image = frame.image[frame.film]
    height, width = image.shape
    scale = settings.size / max(height, width)
    new_height, new_width = max(1, round(height * scale)), max(1, round(width * scale))
    small = np.asarray(Image.fromarray(image).resize((new_width, new_height), Image.Resampling.BICUBIC))
    top, left = (settings.size - new_height) // 2, (settings.size - new_width) // 2
    film = (slice(top, top + new_height), slice(left, left + new_width))
    # The stored map uses the rounded size, so that boxes land where the pixels did.
    to_film = Affine(shift_x=-float(frame.film[1].start), shift_y=-float(frame.film[0].start))
    shrink = Affine(new_width / width, new_height / height, float(left), float(top))
    square = Frame(np.zeros((settings.size, settings.size), np.float32), frame.affine.then(to_film).then(shrink), film)
    return square.on_film(np.clip(small, 0, 1))


def stretch(frame: Frame, settings: Params) -> Frame:
    """The `low` and `high` quantiles to 0 and 1, as MATLAB's imadjust with stretchlim (which bins first)."""
    image = frame.image[frame.film]
    low, high = np.quantile(image, [settings.stretch.low, settings.stretch.high])
    return frame.on_film(np.clip((image - low) / (high - low), 0, 1) if high > low else image)


def smooth(frame: Frame, settings: Params) -> Frame:
    """Median over filter_px x filter_px pixels with zeros beyond the border, as MATLAB's medfilt2."""
    return frame.on_film(median_filter(frame.image[frame.film], settings.filter_px, mode="constant", cval=0.0))


def equalise(frame: Frame, settings: Params) -> Frame:
    """Histogram equalisation by the cumulative histogram of the film.

    MATLAB's histeq maps to 64 output levels; this maps continuously, from `equalise_bins` input bins.
    """
    levelled: np.ndarray = equalize_hist(frame.image[frame.film], nbins=settings.equalise_bins)  # type: ignore[no-untyped-call]
    return frame.on_film(levelled.astype(np.float32))


STEPS = {
    "crop": crop,
    "normalise": normalise,
    "resize": resize,
    "stretch": stretch,
    "filter": smooth,
    "equalise": equalise,
}
