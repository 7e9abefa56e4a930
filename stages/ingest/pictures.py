"""Bytes of a PNG, JPEG or TIFF to grey pixels."""

import warnings
from io import BytesIO

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from stages.ingest.problems import Unreadable

FORMATS = ("PNG", "JPEG", "TIFF")
SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff")
SMALLEST = 16  # pixels a side; nothing smaller is a film
# A grey film stored as RGB differs between channels by JPEG's rounding only (at most 8 of 255 on the films tried).
COLOUR_SPREAD, COLOUR_SHARE = 32, 0.01
ORIENTATION = 0x0112
Image.MAX_IMAGE_PIXELS = None  # `ingest.limits.megapixels` is the limit, above Pillow's own as well as below
WHAT = "a whole grey PNG, JPEG or TIFF"


def decode_picture(content: bytes, megapixels: int) -> tuple[np.ndarray, int]:
    """Grey pixels of a picture, uint8 or uint16 (H, W), turned as its EXIF orientation says, and that orientation.

    Grey stored as colour becomes luma. What is drawn outside 0..65535 or is no number is refused.

    Raises:
        Unreadable: another format, truncated, animated, a colour photograph, too small, or more than `megapixels`.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(BytesIO(content), formats=FORMATS) as image:
                unfit = why_unfit(image, megapixels)
                if not unfit:
                    image.load()  # only this refuses a truncated JPEG; verify() and OpenCV take it
                    orientation = int(image.getexif().get(ORIENTATION, 1))
                    turned = ImageOps.exif_transpose(image)
    except UnidentifiedImageError:
        unfit = "a file in another format" if content else "an empty file"
    except Exception:  # Pillow's decoders raise more than a dozen types, whose messages hold addresses in memory
        unfit = "an unreadable one, damaged or cut off"
    if not unfit:
        grey = to_grey(turned)
        if isinstance(grey, np.ndarray):
            return grey, orientation if orientation in range(1, 9) else 1
        unfit = grey
    raise Unreadable(WHAT, unfit, "copy or export the file again")


def why_unfit(image: Image.Image, megapixels: int) -> str:
    """What an opened picture's header says against it; '' if nothing."""
    width, height = image.size
    if width * height > megapixels * 10**6:
        return f"one of {width} x {height} pixels where ingest.limits.megapixels allows {megapixels} million"
    if min(width, height) < SMALLEST:
        return f"one of {width} x {height} pixels, smaller than any film"
    if getattr(image, "n_frames", 1) > 1:
        return f"one of {image.n_frames} frames"  # type: ignore[attr-defined]
    return ""


def to_grey(image: Image.Image) -> np.ndarray | str:
    """Grey levels, uint8 or uint16 (H, W), or why there are none."""
    if image.mode.startswith(("I", "F")):
        values = np.asarray(image)
        if not np.isfinite(values).all():
            return "one with pixels that are no numbers"
        if values.min() < 0 or values.max() > 65535 or (values != np.round(values)).any():
            return f"one with grey levels from {values.min():g} to {values.max():g}, not whole numbers of 16 bits"
        return values.astype(np.uint16)
    if image.mode in ("1", "L", "LA"):
        return np.asarray(image.convert("L"))
    if image.mode not in ("RGB", "RGBA", "P"):
        return f"one in the colour mode {image.mode}"
    colours = np.asarray(image.convert("RGB"))
    spread = colours.max(axis=2).astype(np.int16) - colours.min(axis=2)
    share = float((spread > COLOUR_SPREAD).mean())
    if share > COLOUR_SHARE:
        return f"a colour photograph ({share:.0%} of its pixels are coloured)"
    return np.asarray(image.convert("RGB").convert("L"))
