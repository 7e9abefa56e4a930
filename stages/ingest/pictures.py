"""Bytes of a PNG, JPEG, TIFF, WebP or BMP to grey pixels."""

import logging
import warnings
from dataclasses import dataclass
from io import BytesIO

import numpy as np
import tifffile
from imagecodecs import jpeg8_decode, png_decode
from PIL import Image, UnidentifiedImageError

from stages.ingest.params import OnTruncated
from stages.ingest.problems import Unreadable
from stages.ingest.quality.missing_rows import missing_rows
from stages.ingest.silence import NO_STDERR

FORMATS = ("PNG", "JPEG", "WEBP", "BMP")  # that Pillow reads; TIFF is left to tifffile
SUFFIXES = (".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".tif", ".tiff", ".webp", ".bmp")
TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")  # how classic and big TIFF begin, in either byte order
SMALLEST = 16  # pixels a side; nothing smaller is a film
# A grey film stored as RGB differs between channels by JPEG's rounding only (at most 8 of 255 on the films tried).
COLOUR_SPREAD, COLOUR_SHARE = 32, 0.01
LUMA = (19595, 38470, 7471)  # of red, green and blue in 65,536, ITU-R BT.601 as Pillow has it
ORIENTATION = 0x0112
MOST_MISSING = 16  # rows that a truncated JPEG may lack to be taken: one row of blocks
WHAT = "a whole grey PNG, JPEG, TIFF, WebP or BMP"
TRUNCATED = "the file is cut off and its last pixels are grey (ingest.on_truncated)"
Image.MAX_IMAGE_PIXELS = None  # `ingest.limits.megapixels` is the limit, above Pillow's own as well as below
logging.getLogger("tifffile").disabled = True  # what it says of damaged files would stand in the middle of a log


@dataclass(frozen=True)
class Picture:
    """A picture as it is looked at.

    pixels: uint8 or uint16 (H, W), turned as `orientation` says, which is EXIF's 1..8. notes: for the quality page.
    """

    pixels: np.ndarray
    orientation: int = 1
    notes: tuple[str, ...] = ()


class Unfit(Exception):
    """What a file is in place of a film, in words."""


def decode_picture(content: bytes, megapixels: int, on_truncated: OnTruncated = "refuse") -> Picture:
    """The film in the bytes of a picture, turned as its EXIF orientation says.

    Grey stored as colour becomes luma. What is drawn outside 0..65535 or is no number is refused.

    Args:
        content: of the file.
        megapixels: million pixels; what is larger is refused before it is decoded.
        on_truncated: what happens to a JPEG whose last bytes are missing.
    Raises:
        Unreadable: another format, truncated, animated, a colour photograph, too small, or more than `megapixels`.
    """
    try:
        with warnings.catch_warnings(), NO_STDERR:
            warnings.simplefilter("ignore")
            if content.startswith(TIFF):
                values, orientation = read_tiff(content, megapixels)
                notes: tuple[str, ...] = ()
            else:
                values, orientation, notes = read_with_pillow(content, megapixels, on_truncated)
            pixels = turned(to_grey(values), orientation)
    except Unfit as unfit:
        actual = str(unfit)
    except UnidentifiedImageError:
        actual = "a file in another format" if content else "an empty file"
    except Exception:  # decoders raise more than a dozen types, whose messages hold addresses in memory
        actual = "one that no decoder reads, damaged or cut off"
    else:
        return Picture(np.ascontiguousarray(pixels), orientation, notes)
    raise Unreadable(WHAT, actual, "copy or export the file again")


def read_with_pillow(
    content: bytes, megapixels: int, on_truncated: OnTruncated
) -> tuple[np.ndarray, int, tuple[str, ...]]:
    """Values (H, W) or (H, W, channels) of a PNG, JPEG, WebP or BMP, its EXIF orientation, and notes.

    Args:
        content, megapixels, on_truncated: as for `decode_picture`.
    Raises:
        Unfit: what is no film.
    """
    with Image.open(BytesIO(content), formats=FORMATS) as image:
        check_size(*image.size, getattr(image, "n_frames", 1), megapixels)
        notes: tuple[str, ...] = ()
        try:
            image.load()  # only this refuses a truncated JPEG; verify() takes it
            values = values_of(image, content)
        except OSError as error:
            if image.format != "JPEG" or "truncated" not in str(error):
                raise
            values, notes = read_truncated(content, on_truncated), (TRUNCATED,)
        orientation = int(image.getexif().get(ORIENTATION, 1))
    return values, orientation if orientation in range(1, 9) else 1, notes


def values_of(image: Image.Image, content: bytes) -> np.ndarray:
    """The values of a loaded picture, (H, W) or (H, W, channels), with all their bits.

    Args:
        image: that Pillow loaded.
        content: of the file.
    Raises:
        Unfit: a colour mode that no film has.
    """
    if content.startswith(b"\x89PNG") and content[24] == 16 and not image.mode.startswith("I"):
        # Pillow keeps the high byte only of 16 bits in several channels.
        channels = np.asarray(png_decode(content))
        return channels if channels.shape[2] > 2 else channels[:, :, 0]
    if image.mode.startswith(("I", "F")):
        return np.asarray(image)
    if image.mode in ("1", "L", "LA"):
        return np.asarray(image.convert("L"))
    if image.mode not in ("RGB", "RGBA", "P"):
        raise Unfit(f"one in the colour mode {image.mode}")
    return np.asarray(image.convert("RGB"))


def read_truncated(content: bytes, on_truncated: OnTruncated) -> np.ndarray:
    """A JPEG whose last bytes are missing; the codec fills what they held with grey.

    Raises:
        Unfit: `on_truncated` is refuse, or more than a row of blocks is missing.
    """
    if on_truncated == "refuse":
        raise Unfit("one that is cut off (ingest.on_truncated: accept takes a JPEG that lacks its last row of blocks)")
    values = np.asarray(jpeg8_decode(content))
    missing = missing_rows(values if values.ndim == 2 else values[:, :, 1])
    if missing > MOST_MISSING:
        raise Unfit(f"one that is cut off: {missing} of {len(values)} rows are missing")
    return values


def read_tiff(content: bytes, megapixels: int) -> tuple[np.ndarray, int]:
    """Values (H, W) or (H, W, channels) of a TIFF with white as the largest, and its orientation.

    Values of 1 to 7 bits are spread over 8, those of 9 to 15 over 16.

    Args:
        content, megapixels: as for `decode_picture`.
    Raises:
        Unfit: what is no film.
    """
    with tifffile.TiffFile(BytesIO(content)) as file:
        page = file.pages.first
        check_size(page.imagewidth, page.imagelength, len(file.pages), megapixels)
        if page.imagedepth != 1 or page.samplesperpixel > 4:
            raise Unfit(f"one of {page.samplesperpixel} samples per pixel in {page.imagedepth} layers")
        if any(start + size > len(content) for start, size in zip(page.dataoffsets, page.databytecounts, strict=True)):
            raise Unfit("one that is cut off")
        values = page.asarray()
        if page.planarconfig == tifffile.PLANARCONFIG.SEPARATE and values.ndim == 3:
            values = np.moveaxis(values, 0, -1)
        kind, bits = tifffile.PHOTOMETRIC(page.photometric), int(page.bitspersample)
        tag = page.tags.get(ORIENTATION)
        orientation = int(tag.value) if tag is not None and tag.value in range(1, 9) else 1
        if kind == tifffile.PHOTOMETRIC.PALETTE:
            return np.moveaxis(np.asarray(page.colormap) >> 8, 0, -1).astype(np.uint8)[values], orientation
    in_jpeg = page.compression in (tifffile.COMPRESSION.JPEG, tifffile.COMPRESSION.OJPEG)
    grey = (tifffile.PHOTOMETRIC.MINISBLACK, tifffile.PHOTOMETRIC.MINISWHITE)
    if kind not in (*grey, tifffile.PHOTOMETRIC.RGB) and not (in_jpeg and kind == tifffile.PHOTOMETRIC.YCBCR):
        raise Unfit(f"one in the colour mode {kind.name}")
    if values.dtype.kind in "bu" and bits <= 16:
        most, white = 2**bits - 1, 255 if bits <= 8 else 65535
        values = values.astype(np.uint8 if bits <= 8 else np.uint16)
        if kind == tifffile.PHOTOMETRIC.MINISWHITE:
            values = most - values
        if most != white:
            values = np.round(values * (white / most)).astype(values.dtype)
    elif kind == tifffile.PHOTOMETRIC.MINISWHITE:
        raise Unfit("one whose least value is white, of more than 16 bits or with a sign")
    return values if kind not in grey or values.ndim == 2 else values[:, :, 0], orientation


def check_size(width: int, height: int, frames: int, megapixels: int) -> None:
    """Look at what a picture's header says before anything is decoded.

    Args:
        width, height: in pixels.
        frames: of which a film has one.
        megapixels: million pixels that are allowed.
    Raises:
        Unfit: too large, too small, or several frames.
    """
    if width * height > megapixels * 10**6:
        raise Unfit(f"one of {width} x {height} pixels where ingest.limits.megapixels allows {megapixels} million")
    if min(width, height) < SMALLEST:
        raise Unfit(f"one of {width} x {height} pixels, smaller than any film")
    if frames > 1:
        raise Unfit(f"one of {frames} frames")


def to_grey(values: np.ndarray) -> np.ndarray:
    """Grey levels, uint8 or uint16 (H, W).

    Args:
        values: of any type, (H, W), or uint8 or uint16 (H, W, 3 or 4) as red, green, blue and alpha.
    Raises:
        Unfit: a colour photograph, or values that are no whole numbers of 16 bits.
    """
    if values.ndim == 2 and values.dtype in (np.uint8, np.uint16):
        return values
    if values.ndim == 2:
        if not np.isfinite(values).all():
            raise Unfit("one with pixels that are no numbers")
        if values.min() < 0 or values.max() > 65535 or (values != np.round(values)).any():
            raise Unfit(f"one with grey levels from {values.min():g} to {values.max():g}, not whole numbers of 16 bits")
        return values.astype(np.uint16)
    if values.dtype not in (np.uint8, np.uint16):
        raise Unfit("one with colours of more than 16 bits")
    red, green, blue = (values[:, :, channel] for channel in range(3))
    spread = np.maximum(np.maximum(red, green), blue) - np.minimum(np.minimum(red, green), blue)
    share = float((spread > COLOUR_SPREAD * (np.iinfo(values.dtype).max // 255)).mean())
    if share > COLOUR_SHARE:
        raise Unfit(f"a colour photograph ({100 * share:.0f} % of its pixels are coloured)")
    luma = sum(
        channel.astype(np.uint32) * np.uint32(weight) for channel, weight in zip((red, green, blue), LUMA, strict=True)
    )
    return np.asarray((luma + np.uint32(0x8000)) >> 16).astype(values.dtype)


def turned(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """Pixels (H, W) as an EXIF orientation, 1..8, says that they are looked at."""
    if orientation >= 5:
        pixels = pixels.T
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    return pixels[:, ::-1] if orientation in (2, 3, 6, 7) else pixels
