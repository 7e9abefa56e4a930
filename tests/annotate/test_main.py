"""The stage as a whole: the mask is what was drawn, on the preprocessed grid."""

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from stages.annotate.main import films_of_sheet, main
from stages.annotate.params import Drawn, Params
from stages.common.core.errors import UserError
from stages.common.core.files import read_png, write_png
from stages.common.data.tables import MANIFEST, PREPARED, SPLIT, write_table
from tests.helpers.paths import ROOT
from tests.helpers.tables import filled

TRIANGLE = "0 0 40 0 0 40"


@pytest.fixture
def data(here: Path) -> Path:
    """Six films of 40 x 40 pixels on a grid of 20 x 20; the first has a triangle, the third a box."""
    shutil.copy(ROOT / "params.yaml", here)  # whose evaluate.folds are read
    names = [f"f{i}" for i in range(6)]
    for name in names:
        for kind, level in (("preprocessed", 10), ("levels", 20)):
            write_png(here / f"data/{kind}/images/{name}.png", np.full((20, 20), level, np.uint8))
    spacing = {"pixel_spacing_mm": ["0.2 0.1", *[""] * 5], "imager_pixel_spacing_mm": ["9 9", "0.3 0.3", *[""] * 4]}
    facts = {"modality": "CR", "patient_id": names, "group": names, "source": "s", "split": "", **spacing}
    facts["fractures"] = [1, 0, 1, 0, 0, 0]
    write_table(here / "data/raw/manifest.csv", filled(MANIFEST, {"image_id": names} | facts))
    grid = {"scale_x": 0.5, "scale_y": 0.5, "shift_x": 0.0, "shift_y": 0.0}
    write_table(here / "data/preprocessed/index.csv", filled(PREPARED, {"image_id": names} | grid))
    rows = [("f0", "f", "polygon", TRIANGLE, "", 1), ("f2", "f", "box", "4 8 12 20", "", 1)]
    columns = ["image_id", "label", "kind", "points", "file", "line"]
    write_table(here / "data/raw/annotations.csv", pd.DataFrame(rows, columns=columns))
    return here / "data"


@pytest.mark.parametrize(("mask", "marked"), [("box", 400), ("polygon", 190), ("box_levels", 400)])
def test_a_polygon_marks_its_box_or_itself(mask: str, marked: int, data: Path) -> None:
    split = Drawn(seed=1, train=4, test=2, validation=1)
    main(Params(mask=mask, split=split, need_fractures=False))  # type: ignore[arg-type]
    masks = {path.stem: read_png(path) for path in sorted((data / "dataset").glob("*_mask/*.png"))}
    assert {name: int((mask > 0).sum()) for name, mask in masks.items()} == {
        **{f"f{i}": 0 for i in range(6)},
        "f0": marked,
        "f2": 4 * 6,
    }
    assert (masks["f2"][4:10, 2:6] == 255).all()
    for kinds, level in ((("train", "test"), 10), (("train_levels", "test_levels"), 20)):
        pictures = [read_png(path) for kind in kinds for path in (data / "dataset" / kind).glob("*.png")]
        assert len(pictures) == 6
        assert all((picture == level).all() for picture in pictures)
    table = SPLIT.read(data / "dataset").set_index("image_id")
    assert table.loc["f0", "boxes"] == "0 0 20 20"
    # the grid has half the pixels, so that each is twice as large; a calibrated spacing goes before the detector's
    assert list(table.loc["f0", ["row_mm", "column_mm", "mm_from"]]) == [0.4, 0.2, "pixel_spacing"]
    assert list(table.loc["f1", ["row_mm", "column_mm", "mm_from"]]) == [0.6, 0.6, "imager_pixel_spacing"]
    assert table.loc["f2", ["row_mm", "column_mm"]].isna().all()
    assert read_png(data.parent / "reports/labels.png").ndim == 3
    assert list(table["group"]) == list(table.index)


def test_a_sheet_of_too_many_films_shows_some_at_equal_steps_and_says_so(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    split = Drawn(seed=1, train=4, test=2, validation=1)
    assert main(Params(split=split, need_fractures=False)).endswith("labels.png")
    monkeypatch.setattr("stages.annotate.main.SHEET", 3)
    assert main(Params(split=split, need_fractures=False)).endswith("labels.png (3 of 6 films)")
    assert films_of_sheet(pd.Series([f"f{i}" for i in range(9)])) == {"f0", "f4", "f8"}
    assert read_png(data.parent / "reports/labels.png").shape[:2] == (128 + 12, 16 * 128)


def test_a_side_without_a_fracture_is_an_error_unless_params_say_that_it_is_meant(data: Path) -> None:
    split = Drawn(seed=1, train=4, test=2, validation=1)
    with pytest.raises(UserError, match=r"annotate: expected fractures on every side .* found none on the 1 \w+ films"):
        main(Params(split=split))
    assert not (data / "dataset").exists()
    main(Params(split=split, need_fractures=False))
    assert (data / "dataset/split.csv").exists()
