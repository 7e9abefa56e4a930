"""What a person looks at: labels and errors in colours that lie over a film, and the film under them."""

import base64
from io import BytesIO

import cv2
import numpy as np
from PIL import Image, ImageOps

from stages.common.analysis.colours import FILL, FOUND, LABELLED, MARKED, MISSED

TILE = 256  # pixels, at most


def errors(*, mask_pred: np.ndarray, mask_ref: np.ndarray) -> np.ndarray:
    """0 where nothing is and nothing was claimed, 1 true positive, 2 false positive, 3 false negative; uint8 (H, W).

    Args:
        mask_pred, mask_ref: bool (H, W).
    """
    return np.where(mask_pred, np.where(mask_ref, 1, 2), np.where(mask_ref, 3, 0)).astype(np.uint8)


def overlay(image: np.ndarray, kinds: np.ndarray) -> np.ndarray:
    """The film with `errors` in colour, filled: found, false alarm, missed; uint8 RGB (H, W, 3).

    Args:
        image: uint8 (H, W).
        kinds: of `errors`.
    """
    colour = np.repeat(image[:, :, None], 3, axis=2)
    for number, paint in enumerate((FOUND, MARKED, MISSED), start=1):
        where = kinds == number
        painted = (1 - FILL) * image[where, None].astype(np.float32) + FILL * np.array(paint, np.float32)
        colour[where] = np.round(painted).astype(np.uint8)
    return colour


def outlined(image: np.ndarray, label: np.ndarray) -> np.ndarray:
    """The film with the outline of its label; uint8 RGB (H, W, 3).

    Args:
        image: uint8 (H, W).
        label: bool (H, W).
    """
    colour = np.repeat(image[:, :, None], 3, axis=2)
    colour[outline(label)] = LABELLED
    return colour


def outline(mask: np.ndarray, width: int = 2) -> np.ndarray:
    """The pixels of a mask that lie less than `width` steps from one outside it, or from the edge; bool (H, W)."""
    cross = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))
    inside = cv2.erode(mask.astype(np.uint8), cross, iterations=width, borderType=cv2.BORDER_CONSTANT, borderValue=0)
    return np.asarray(mask & (inside == 0))


def stretched(pixels: np.ndarray) -> np.ndarray:
    """A film for the eye, uint8 (H, W): its own darkest and brightest level become 0 and 255.

    A film of 12 bits that are stored in 16 would else be black.

    Args:
        pixels: uint8 or uint16 (H, W).
    """
    low, high = int(pixels.min()), int(pixels.max())
    levels = np.arange(np.iinfo(pixels.dtype).max + 1, dtype=np.float64)
    shown = np.clip((levels - low) * (255 / max(high - low, 1)), 0, 255)
    return np.asarray(np.round(shown).astype(np.uint8)[pixels])


def tiles(film: np.ndarray, others: list[np.ndarray]) -> np.ndarray:
    """A film and further pictures of it side by side, each a square of at most TILE pixels; uint8 RGB (S, N * S, 3).

    Args:
        film: uint8 (H, W), of any shape, shown whole.
        others: uint8 (S, S) or (S, S, 3).
    """
    side = min(TILE, len(others[0]))
    first = ImageOps.pad(Image.fromarray(film), (side, side), Image.Resampling.LANCZOS).convert("RGB")
    rest = [Image.fromarray(other).convert("RGB").resize((side, side), Image.Resampling.LANCZOS) for other in others]
    return np.hstack([np.asarray(tile) for tile in (first, *rest)])


def png_uri(pixels: np.ndarray) -> str:
    """uint8 (H, W) as a lossless PNG data URI."""
    return uri("PNG", encoded(Image.fromarray(pixels), "PNG"))


def jpeg(pixels: np.ndarray, quality: int = 88) -> bytes:
    """uint8 (H, W) or (H, W, 3) as a JPEG of its own size."""
    return encoded(Image.fromarray(pixels), "JPEG", quality=quality)


def picture(pixels: np.ndarray, side: int = 256) -> str:
    """uint8 or uint16 (H, W), over its own range, as a JPEG data URI of at most `side` pixels."""
    image = Image.fromarray(stretched(pixels))
    image.thumbnail((side, side), Image.Resampling.LANCZOS)
    return uri("JPEG", encoded(image, "JPEG", quality=88))


def levels_picture(levels: np.ndarray) -> str:
    """uint8 (H, W) of few values as a lossless PNG data URI."""
    return uri("PNG", encoded(Image.fromarray(levels).quantize(16), "PNG", optimize=True))


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = BytesIO()
    image.save(buffer, format=kind, **options)
    return buffer.getvalue()


def uri(kind: str, content: bytes) -> str:
    return f"data:image/{kind.lower()};base64,{base64.b64encode(content).decode()}"
