"""Masks: a picture per film, whose pixels above 0 are marked."""

import re
from io import BytesIO
from pathlib import PurePosixPath

import numpy as np
from PIL import Image
from scipy import ndimage

from stages.common.data.shapes import Shape
from stages.ingest.annotations.film_names import bare, folded
from stages.ingest.annotations.labels import FilmLabels, Labels
from stages.ingest.annotations.rle import MAX_PIXELS, outline
from stages.ingest.problems import Unreadable

SUFFIXES = (".png", ".tif", ".tiff", ".bmp")
MOST_VALUES = 32  # a picture has more, and so has a mask whose edges were smoothed
FOLDERS = {
    *("mask", "masks", "label", "labels", "labelstr", "labelsts", "gt", "groundtruth"),
    *("segmentation", "segmentations", "segmentationclass", "segmentationobject"),
}
NAME = re.compile(r"(.+)[ _.-](?:masks?|seg|segmentation|labels?|gt|groundtruth)", re.IGNORECASE)
WHAT = "a mask stored as PNG, TIFF or BMP"


def is_mask(name: str) -> bool:
    """Whether a picture is a mask by its name (hand_mask.png) or by a folder of it (masks/hand.png)."""
    path = PurePosixPath(name)
    return bool(NAME.fullmatch(path.stem)) or not FOLDERS.isdisjoint(part.lower() for part in path.parts[:-1])


def film_of(name: str) -> str:
    """The path of a mask without suffix and without what makes its name a mask's."""
    path = PurePosixPath(name)
    marked = NAME.fullmatch(path.stem)
    return path.with_name(marked[1] if marked else path.stem).as_posix()


def masks_of(pictures: list[str]) -> set[str]:
    """Those of some pictures that are named as masks of others: hand_mask.png or masks/hand.png where hand.png is."""
    own = (PurePosixPath(name).name for name in pictures if not is_mask(name))
    films = {spelling for name in own for spelling in bare(name, None)}
    return {name for name in pictures if is_mask(name) and folded(PurePosixPath(film_of(name)).name) in films}


def read_mask(content: bytes) -> Labels:
    """A mask as large as its film; each connected region of one value is a shape, and the value its class.

    The class of grey values is the value (`1`, `255`), that of colours `red,green,blue`. Black and what is transparent
    is background.
    """
    codes = values_of(content)
    values = np.unique(codes[codes > 0])
    if len(values) > MOST_VALUES:
        actual = f"{len(values)} values, as a film has or a mask with smooth edges"
        raise Unreadable(f"a mask of at most {MOST_VALUES} values", actual, "export it without smoothing")
    film = FilmLabels(size=(codes.shape[1], codes.shape[0]))
    for value in values:
        regions, _ = ndimage.label(codes == value, structure=np.ones((3, 3)))
        for number, (rows, columns) in enumerate(ndimage.find_objects(regions), start=1):
            corner = np.array([columns.start, rows.start])
            rings = tuple(ring + corner for ring in outline(regions[rows, columns] == number))
            film.shapes.append(Shape(name_of(int(value)), "polygon", rings, 0))
    return Labels({"": film})


def values_of(content: bytes) -> np.ndarray:
    """The values of a mask's pixels, int64 (H, W); a colour is red, green and blue in one number above 2^24."""
    try:
        with Image.open(BytesIO(content), formats=("PNG", "TIFF", "BMP")) as image:
            if image.width * image.height > MAX_PIXELS or getattr(image, "n_frames", 1) > 1:
                raise ValueError("too large, or several pictures")
            if image.mode in ("1", "L"):
                return np.asarray(image.convert("L")).astype(np.int64)
            if image.mode.startswith("I"):
                return np.asarray(image).astype(np.int64)
            colours = np.asarray(image.convert("RGBA")).astype(np.int64)
    except Exception:  # Pillow's decoders raise more than a dozen types, whose messages hold addresses in memory
        raise Unreadable(WHAT, "another file, several pictures, or a damaged one", "export the mask again") from None
    red, green, blue, opacity = np.moveaxis(colours, 2, 0)
    grey = (red == green) & (green == blue)
    codes = np.where(grey, red, 2**24 + (red << 16) + (green << 8) + blue)
    return np.where(opacity > 0, codes, 0)


def read_labelmap(text: str) -> dict[str, str]:
    """Names of classes by colour as in `name_of`, of CVAT's labelmap.txt: `name:red,green,blue:parts:actions`."""
    rows = re.findall(r"^([^#\n][^:\n]*):(\d+),(\d+),(\d+):", text, re.MULTILINE)
    return {(red if red == green == blue else f"{red},{green},{blue}"): name for name, red, green, blue in rows}


def name_of(code: int) -> str:
    if code < 2**24:
        return str(code)
    return f"{code >> 16 & 255},{code >> 8 & 255},{code & 255}"
