"""Annotate: shapes become masks on the preprocessed grid, and films a train and a test folder without leaks.

Run: python -m stages.annotate     (dvc repro annotate)
"""

from pathlib import Path
from typing import Any

import pandas as pd

from stages.annotate.params import Outline, Params
from stages.annotate.split import assign
from stages.annotate.suite import dataset_facts, dataset_suite
from stages.common.artifacts import new_folder, read_png, read_table, write_json, write_png, write_table
from stages.common.geometry import Affine
from stages.common.shapes import Shape, fill_shapes, read_rings
from stages.common.stage import run_stage
from stages.common.validation import validate

DATA = Path("data")


def main(settings: Params, data: Path = DATA, target: Path = DATA / "dataset") -> str:
    films = read_table(data / "raw" / "manifest.csv").merge(
        read_table(data / "preprocessed" / "index.csv"), on="image_id"
    )
    films["fracture"] = films["fractures"] > 0
    shapes = read_shapes(read_table(data / "raw" / "annotations.csv"))
    films["split"] = assign(films, settings.split)
    pictures = data / ("preprocessed" if settings.image == "film" else "levels") / "images"
    with new_folder(target) as out:
        for side in ("train", "train_mask", "test", "test_mask"):
            (out / side).mkdir()
        rows = [
            write_film(film, shapes.get(film["image_id"], []), settings.outline, pictures, out)
            for film in films.to_dict("records")
        ]
        index = pd.DataFrame(rows)
        write_table(out / "split.csv", index)
        facts = dataset_facts(index, out, settings.split)
        write_json(out / "validation.json", validate("dataset", facts, dataset_suite(settings.split), "image_id"))
    count = index["split"].value_counts()
    train, validation, test = (int(count.get(name, 0)) for name in ("train", "validation", "test"))
    prevalence = index.loc[index["split"] != "unused", "prevalence"].mean()
    return (
        f"{train + validation} train (of which {validation} validation) and {test} test films, "
        f"{prevalence:.2%} of the pixels marked -> {target}"
    )


def read_shapes(annotations: pd.DataFrame) -> dict[str, list[Shape]]:
    """What was drawn on each film, in pixels of the raw film."""
    shapes: dict[str, list[Shape]] = {}
    for row in annotations.to_dict("records"):
        shape = Shape(row["label"], row["kind"], read_rings(row["points"]))
        shapes.setdefault(row["image_id"], []).append(shape)
    return shapes


def write_film(
    film: dict[Any, Any], drawn: list[Shape], outline: Outline, pictures: Path, out: Path
) -> dict[str, object]:
    """Write one film and its mask into its side's folders and return its row of split.csv."""
    affine = Affine(film["scale_x"], film["scale_y"], film["shift_x"], film["shift_y"])
    shapes = [shape.mapped(affine) for shape in drawn]
    picture = read_png(pictures / f"{film['image_id']}.png")
    mask = fill_shapes(shapes, picture.shape, outline)
    if film["split"] != "unused":
        side = "test" if film["split"] == "test" else "train"
        write_png(out / side / f"{film['image_id']}.png", picture)
        write_png(out / f"{side}_mask" / f"{film['image_id']}.png", mask)
    return {
        "image_id": film["image_id"],
        "split": film["split"],
        "patient_id": film["patient_id"],
        "group": film["group"],
        "source": film["source"],
        "fracture": film["fracture"],
        "prevalence": float(mask.mean()),
        "boxes": ";".join(" ".join(f"{value:.6g}" for value in shape.box) for shape in shapes),
    }


if __name__ == "__main__":
    run_stage("annotate", main)
