"""From shapes to masks, and a sheet on which a person sees all of them at a glance."""

import numpy as np
from PIL import Image, ImageDraw

from stages.annotate.params import Mask
from stages.common.analysis.colours import LABELLED
from stages.common.data.geometry import fill_boxes
from stages.common.data.shapes import Shape, fill_shape

SIDE, LINE, COLUMNS = 128, 12, 16


def draw_mask(shapes: list[Shape], size: tuple[int, int], mask: Mask, levels: np.ndarray) -> np.ndarray:
    """The mask (H, W) bool of a film's fractures.

    Args:
        shapes: on the grid of the mask.
        size: height and width.
        mask: `box`, the filled box (also of a polygon); `polygon`, what was drawn; `box_levels`, see `unlike_bone`.
        levels: uint8 (H, W), the film's grey levels.
    """
    marked = np.zeros(size, dtype=bool)
    for shape in shapes:
        if mask == "polygon":
            marked |= fill_shape(shape, size)
        elif mask == "box":
            marked |= fill_boxes(shape.box, size)
        else:
            marked |= unlike_bone(shape.box, levels)
    return marked


def unlike_bone(box: np.ndarray, levels: np.ndarray) -> np.ndarray:
    """The pixels of a box whose grey level is another than that of the intact bone around it.

    Intact bone's level is the most frequent one, the darkest level left out, in the rim that remains when the box is
    taken out of one of twice its width and height about the same centre (the higher of two as frequent). A box whose
    rim is all darkest, or that holds no other level than bone's, is marked whole: no annotated fracture vanishes.
    """
    inside = fill_boxes(box, levels.shape)
    centre, half = (box[:2] + box[2:]) / 2, (box[2:] - box[:2]) / 2
    rim = fill_boxes(np.concatenate([centre - 2 * half, centre + 2 * half]), levels.shape) & ~inside
    around = levels[rim]
    counts = np.bincount(around[around > levels.min()], minlength=1)
    if counts.sum() == 0:
        return inside
    bone = len(counts) - 1 - int(counts[::-1].argmax())
    marked = inside & (levels != bone)
    return marked if marked.any() else inside


def contact_sheet(films: list[tuple[str, np.ndarray, np.ndarray]]) -> np.ndarray:
    """All films with the rim of their masks, uint8 RGB, 16 in a row, each with its name under it.

    Args:
        films: name, uint8 picture (H, W) and bool mask (H, W) of each.
    """
    rows = -(-len(films) // COLUMNS)
    sheet = Image.new("RGB", (COLUMNS * SIDE, rows * (SIDE + LINE)), (32, 32, 32))
    pen = ImageDraw.Draw(sheet)
    for number, (name, picture, mask) in enumerate(films):
        left, top = number % COLUMNS * SIDE, number // COLUMNS * (SIDE + LINE)
        small = Image.fromarray(picture).resize((SIDE, SIDE), Image.Resampling.BOX)
        tile = np.repeat(np.asarray(small)[..., None], 3, axis=2)
        covered = np.asarray(Image.fromarray(mask).convert("L").resize((SIDE, SIDE), Image.Resampling.BOX)) > 127
        tile[rim_of(covered)] = LABELLED
        sheet.paste(Image.fromarray(tile), (left, top))
        pen.text((left + 2, top + SIDE), name[-20:], fill=(220, 220, 220), font_size=9)
    return np.asarray(sheet)


def rim_of(mask: np.ndarray) -> np.ndarray:
    """The marked pixels that touch an unmarked one or the edge; bool (H, W) to bool (H, W)."""
    padded = np.pad(mask, 1)
    inner = padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    return np.asarray(mask & ~inner)
