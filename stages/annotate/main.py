"""Annotate: shapes become masks on the preprocessed grid, and films a train and a test folder without leaks.

Run: python -m stages.annotate     (dvc repro annotate)
"""

import math
from collections import defaultdict

import numpy as np
import pandas as pd
from tqdm import tqdm

from stages import read_params
from stages.annotate.expectations import dataset_facts, dataset_suite
from stages.annotate.masks import contact_sheet, draw_mask
from stages.annotate.params import Params
from stages.annotate.split import divide
from stages.common.core.errors import UserError, first_few
from stages.common.core.files import new_folder, read_png, write_json, write_png
from stages.common.core.validation import validate
from stages.common.data.geometry import Affine
from stages.common.data.layout import (
    CHECKS,
    DATA_DOCS,
    DATASET,
    DATASET_FOLDERS,
    LABEL_SHEET,
    LEVELS,
    PARAMS,
    PREPROCESSED,
    RAW,
    Side,
    dataset_file,
    image_file,
)
from stages.common.data.rows import AnnotationRow, ManifestRow, PreparedRow, SplitRow
from stages.common.data.shapes import Shape, read_points, write_points
from stages.common.data.tables import ANNOTATIONS, HOW_TO_FIX, MANIFEST, PREPARED, SPLIT, require_films

SHEET = 1600  # films; a larger sheet opens in no viewer


def main(settings: Params) -> str:
    films = MANIFEST.read(RAW)
    prepared = {row["image_id"]: row for row in PREPARED.rows(PREPARED.read_films(PREPROCESSED))}
    require_films(RAW / MANIFEST.name, films["image_id"], prepared)
    films["fracture"] = films["fractures"] > 0
    sides, folds = divide(films, settings, read_params(PARAMS)["evaluate"]["folds"])
    shapes = shapes_by_film(ANNOTATIONS.rows(ANNOTATIONS.read(RAW)))
    require_shapes(films, shapes)
    rows: list[SplitRow] = []
    sheet = films_of_sheet(films.loc[sides != "unused", "image_id"])
    shown: list[tuple[str, np.ndarray, np.ndarray]] = []
    with new_folder(DATASET) as out:
        for folder in DATASET_FOLDERS:
            (out / folder).mkdir()
        dealt = list(zip(MANIFEST.rows(films), sides, strict=True))
        for film, side in tqdm(dealt, desc="annotate", disable=None, leave=False):
            image_id, grid = film["image_id"], prepared[film["image_id"]]
            image, levels = (read_png(image_file(folder, image_id)) for folder in (PREPROCESSED, LEVELS))
            on_grid = [shape.mapped(affine_of(grid)) for shape in shapes[image_id]]
            mask = draw_mask(on_grid, levels.shape, settings.mask, levels)
            rows.append(split_row(film, grid, side, on_grid, mask))
            if side != "unused":
                write_png(dataset_file(out, side, image_id), image)
                write_png(dataset_file(out, side, image_id, "levels"), levels)
                write_png(dataset_file(out, side, image_id, "mask"), mask)
                if image_id in sheet:
                    shown.append((image_id, image, mask))
        index = SPLIT.frame(rows).join(folds)
        SPLIT.write(out, index)
        facts = dataset_facts(index, out, settings.split)
        write_json(out / CHECKS, validate("dataset", facts, dataset_suite(settings.split), "image_id", DATA_DOCS))
    write_png(LABEL_SHEET, contact_sheet(shown))
    count = index["split"].value_counts()
    train, validation, test = (int(count.get(name, 0)) for name in ("train", "validation", "test"))
    prevalence = index.loc[index["split"] != "unused", "prevalence"].mean()
    in_fold = " in fold 1" if len(folds.columns) else ""
    part = f" ({len(sheet)} of {train + validation + test} films)" if len(sheet) < train + validation + test else ""
    return (
        f"{train + validation} train (of which {validation} validation) and {test} test films{in_fold}, "
        f"{100 * prevalence:.2f} % of the pixels marked -> {DATASET}, {LABEL_SHEET}{part}"
    )


def films_of_sheet(used: pd.Series) -> set[str]:
    """The films of LABEL_SHEET: all, or SHEET of them at equal steps.

    Args:
        used: image_id of each film in the order of the manifest.
    """
    steps = np.linspace(0, len(used) - 1, min(SHEET, len(used))).round().astype(int)
    return set(used.iloc[steps])


def shapes_by_film(annotations: list[AnnotationRow]) -> dict[str, list[Shape]]:
    """What was drawn on each film, in pixels of the raw film; an empty list for a film without a shape."""
    shapes: dict[str, list[Shape]] = defaultdict(list)
    for row in annotations:
        shapes[row["image_id"]].append(Shape(row["label"], row["kind"], read_points(row["points"])))
    return shapes


def require_shapes(films: pd.DataFrame, shapes: dict[str, list[Shape]]) -> None:
    """Refuse annotations that were cut or exchanged.

    Raises:
        UserError: they do not hold as many shapes of each film as the manifest, or hold another film's.
    """
    found = pd.Series({image_id: len(drawn) for image_id, drawn in shapes.items()}, dtype=int)
    told = films.set_index("image_id")["fractures"]
    counts = pd.DataFrame({"found": found, "told": told}).fillna(0).astype(int)
    if wrong := list(counts.index[counts["found"] != counts["told"]]):
        raise UserError(
            f"{RAW / ANNOTATIONS.name}: expected {counts['told'].sum()} shapes, as {MANIFEST.name} counts them, found "
            f"{counts['found'].sum()}; they differ on {first_few(wrong)}; {HOW_TO_FIX}"
        )


def affine_of(grid: PreparedRow) -> Affine:
    """The map from the raw film to the preprocessed grid."""
    return Affine(grid["scale_x"], grid["scale_y"], grid["shift_x"], grid["shift_y"])


def split_row(film: ManifestRow, grid: PreparedRow, side: Side, shapes: list[Shape], mask: np.ndarray) -> SplitRow:
    """The film's row of split.csv.

    Args:
        grid: the film's row of data/preprocessed.
        shapes: on the preprocessed grid.
        mask: bool (H, W).
    """
    row_mm, column_mm, mm_from = pixel_size(film, grid)
    return {
        "image_id": film["image_id"],
        "split": side,
        "patient_id": film["patient_id"],
        "group": film["group"],
        "source": film["source"],
        "modality": film["modality"],
        "fracture": film["fractures"] > 0,
        "prevalence": float(mask.mean()),
        "boxes": write_points((shape.box for shape in shapes), digits=6),
        "row_mm": row_mm,
        "column_mm": column_mm,
        "mm_from": mm_from,
    }


def pixel_size(film: ManifestRow, grid: PreparedRow) -> tuple[float, float, str]:
    """Height and width of a pixel of the grid in mm, NaN where the source does not say, and what they rest on.

    PixelSpacing (0028,0030) is at the patient where it was calibrated; ImagerPixelSpacing (0018,1164) at the detector,
    so that what is measured with it is the shadow, some percent larger than the bone.
    """
    spacings = {
        "pixel_spacing": film["pixel_spacing_mm"],
        "imager_pixel_spacing": film["imager_pixel_spacing_mm"],
    }
    for name, spacing in spacings.items():
        if spacing:
            height, width = (float(value) for value in spacing.split())
            return height / grid["scale_y"], width / grid["scale_x"], name
    return math.nan, math.nan, ""
