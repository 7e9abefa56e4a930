"""Annotate: shapes become masks on the preprocessed grid, and films a train and a test folder without leaks.

Run: python -m stages.annotate     (dvc repro annotate)
"""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from stages.annotate.expectations import dataset_facts, dataset_suite
from stages.annotate.masks import contact_sheet, draw_mask
from stages.annotate.params import Params
from stages.annotate.split import assign, further_folds
from stages.common.core.files import new_folder, read_png, read_table, write_json, write_png, write_table
from stages.common.core.validation import validate
from stages.common.data.geometry import Affine
from stages.common.data.shapes import Shape, read_rings

DATA = Path("data")
SHEET = 1600  # films; a larger sheet opens in no viewer


def main(
    settings: Params, data: Path = DATA, target: Path = DATA / "dataset", sheet: Path = Path("reports/labels.png")
) -> str:
    films = read_table(data / "raw" / "manifest.csv").merge(
        read_table(data / "preprocessed" / "index.csv"), on="image_id"
    )
    films["fracture"] = films["fractures"] > 0
    shapes = read_shapes(read_table(data / "raw" / "annotations.csv"))
    films["split"] = assign(films, settings.split)
    films = films.join(further_folds(films, films["split"], settings.split))
    with new_folder(target) as out:
        for folder in (f"{side}{kind}" for side in ("train", "test") for kind in ("", "_levels", "_mask")):
            (out / folder).mkdir()
        rows: list[dict[str, object]] = []
        shown: list[tuple[str, np.ndarray, np.ndarray]] = []
        for film in films.to_dict("records"):
            film_name = f"{film['image_id']}.png"
            pictures = {kind: read_png(data / kind / "images" / film_name) for kind in ("preprocessed", "levels")}
            placed = [shape.mapped(affine_of(film)) for shape in shapes.get(film["image_id"], [])]
            mask = draw_mask(placed, pictures["levels"].shape, settings.mask, pictures["levels"])
            write_film(film, {"": pictures["preprocessed"], "_levels": pictures["levels"], "_mask": mask}, out)
            rows.append(row(film, placed, mask))
            if film["split"] != "unused" and len(shown) < SHEET:
                shown.append((film["image_id"], pictures["preprocessed"], mask))
        index = pd.DataFrame(rows)
        write_table(out / "split.csv", index)
        facts = dataset_facts(index, out, settings.split)
        write_json(out / "validation.json", validate("dataset", facts, dataset_suite(settings.split), "image_id"))
    write_png(sheet, contact_sheet(shown))
    count = index["split"].value_counts()
    train, validation, test = (int(count.get(name, 0)) for name in ("train", "validation", "test"))
    prevalence = index.loc[index["split"] != "unused", "prevalence"].mean()
    return (
        f"{train + validation} train (of which {validation} validation) and {test} test films, "
        f"{prevalence:.2%} of the pixels marked -> {target}, {sheet}"
    )


def read_shapes(annotations: pd.DataFrame) -> dict[str, list[Shape]]:
    """What was drawn on each film, in pixels of the raw film."""
    shapes: dict[str, list[Shape]] = {}
    for row in annotations.to_dict("records"):
        shape = Shape(row["label"], row["kind"], read_rings(row["points"]))
        shapes.setdefault(row["image_id"], []).append(shape)
    return shapes


def affine_of(film: dict[Any, Any]) -> Affine:
    """The map from the raw film to the preprocessed grid."""
    return Affine(film["scale_x"], film["scale_y"], film["shift_x"], film["shift_y"])


def write_film(film: dict[Any, Any], pictures: dict[str, np.ndarray], out: Path) -> None:
    """Write a film that is used, its levels and its mask into its side's folders."""
    if film["split"] != "unused":
        side = "test" if film["split"] == "test" else "train"
        for kind, picture in pictures.items():
            write_png(out / f"{side}{kind}" / f"{film['image_id']}.png", picture)


def row(film: dict[Any, Any], shapes: list[Shape], mask: np.ndarray) -> dict[str, object]:
    """The film's row of split.csv."""
    return {
        "image_id": film["image_id"],
        "split": film["split"],
        **{name: role for name, role in film.items() if str(name).startswith("fold_")},
        "patient_id": film["patient_id"],
        "group": film["group"],
        "source": film["source"],
        "modality": film["modality"],
        "fracture": film["fracture"],
        "prevalence": float(mask.mean()),
        "boxes": ";".join(" ".join(f"{value:.6g}" for value in shape.box) for shape in shapes),
    } | pixel_size(film)


def pixel_size(film: dict[Any, Any]) -> dict[str, object]:
    """Height and width of a pixel of the grid in mm, blank where the source does not say, and what they rest on.

    PixelSpacing (0028,0030) is at the patient where it was calibrated; ImagerPixelSpacing (0018,1164) at the detector,
    so that what is measured with it is the shadow, some percent larger than the bone.
    """
    for name in ("pixel_spacing_mm", "imager_pixel_spacing_mm"):
        if film[name]:
            height, width = (float(value) for value in film[name].split())
            return {"row_mm": height / film["scale_y"], "column_mm": width / film["scale_x"], "mm_from": name[:-3]}
    return {"row_mm": "", "column_mm": "", "mm_from": ""}
