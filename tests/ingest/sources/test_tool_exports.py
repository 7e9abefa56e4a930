"""What docs/how-to/data-sources.md says to type for each tool, on files that the tool wrote."""

import json
import re
import shutil
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dvc.utils.hydra import get_hydra_sweeps
from PIL import Image

from stages.common.analysis.formatting import label_in_words
from stages.common.data.layout import QUALITY, RAW
from stages.common.data.shapes import read_points
from stages.common.data.tables import ANNOTATIONS, MANIFEST
from stages.ingest.annotations.pairing import detected
from stages.ingest.file_access import Folder
from stages.ingest.main import main
from stages.ingest.params import Params
from stages.ingest.types import image_id
from tests.helpers.paths import ROOT
from tools.sweep.overrides import overridden

PAGE = ROOT / "docs/how-to/data-sources.md"
WIDTH, HEIGHT = 40, 30
BOX = (10, 6, 30, 18)  # left, top, right, bottom


def picture(pixels: np.ndarray, kind: str = "PNG") -> bytes:
    buffer = BytesIO()
    Image.fromarray(pixels).save(buffer, kind)
    return buffer.getvalue()


def film(number: int, kind: str = "PNG") -> bytes:
    return picture(np.random.default_rng(number).integers(0, 255, (HEIGHT, WIDTH), dtype=np.uint8), kind)


def mask(value: Any) -> bytes:
    pixels = np.zeros((HEIGHT, WIDTH, *np.shape(value)), np.uint8)
    pixels[BOX[1] : BOX[3], BOX[0] : BOX[2]] = value
    return picture(pixels)


def coco(file: str, number: int) -> bytes:
    left, top, right, bottom = BOX
    content = {
        "info": {"description": ""}, "licenses": [{"id": 1, "name": "", "url": ""}],
        "categories": [{"id": 0, "name": "bones", "supercategory": "none"},
                       {"id": number, "name": "fracture", "supercategory": "bones"}],
        "images": [{"id": 0, "license": 1, "file_name": file, "height": HEIGHT, "width": WIDTH}],
        "annotations": [{"id": 0, "image_id": 0, "category_id": number,
                         "bbox": [left, top, right - left, bottom - top], "area": 240, "iscrowd": 0}],
    }  # fmt: skip
    return json.dumps(content).encode()


RF = "hand_png.rf.0b9d4c"
BY_HAND: dict[tuple[str, str], dict[str, bytes]] = {
    ("Roboflow", "YOLOv8"): {
        f"train/images/{RF}.jpg": film(1, "JPEG"), f"train/labels/{RF}.txt": b"0 0.5 0.4 0.5 0.4\n",
        "data.yaml": b"train: ../train/images\nval: ../valid/images\nnc: 1\nnames: ['fracture']\n"
        b"roboflow:\n  version: 1\n",
        "README.dataset.txt": b"# wrist > 2026-11-28 1:00pm\n", "README.roboflow.txt": b"wrist - v1\n1 images\n",
    },
    ("Roboflow", "COCO"): {
        f"train/{RF}.jpg": film(1, "JPEG"), "train/_annotations.coco.json": coco(f"{RF}.jpg", 1)
    },
    ("3D Slicer, ITK-SNAP", "a picture `NAME_mask.png` beside `NAME.png`"): {
        "hand.png": film(1), "hand_mask.png": mask(2)
    },
}  # fmt: skip
# Written by the tools themselves: LabelMe 6.3.1; the converter of Label Studio (label-studio-converter 0.0.59);
# datumaro, by which CVAT exports (`cvat` and `cvat-masks` 1.13.12, else cvat-ai's own, commit 8970bb7b); VIA 2.0.10 in
# Chromium; the exporters of makesense 1.11.0-alpha. By folder: tool and export of the page, and films by path, in the
# order of FILMS.
WRITTEN = ROOT / "tests/ingest/sources/exports"
FILMS = {"hand": (40, 30), "arm": (50, 20), "left wrist": (60, 40)}
PLAIN = [f"{name}.png" for name in FILMS]
STUDIO_FILMS = [f"images/8c5f0a1{number}-{name.replace(' ', '_')}.png" for number, name in enumerate(FILMS)]
SIDE = [f"images/train/{name}" for name in PLAIN]
OWN: dict[str, tuple[tuple[str, str], list[str]]] = {
    "coco": (("CVAT", "COCO 1.0"), SIDE),
    "cvat": (("CVAT", "CVAT for images 1.1"), [f"images/{name}" for name in PLAIN]),
    "cvat-masks": (("CVAT", "Segmentation mask 1.1"), [f"JPEGImages/{name}" for name in PLAIN]),
    "darknet": (("CVAT", "YOLO 1.1"), [f"obj_train_data/{name}" for name in PLAIN]),
    "label-studio-COCO": (("Label Studio", "COCO"), STUDIO_FILMS),
    "label-studio-JSON": (("Label Studio", "JSON"), STUDIO_FILMS),
    "label-studio-VOC": (("Label Studio", "Pascal VOC XML"), STUDIO_FILMS),
    "label-studio-YOLO": (("Label Studio", "YOLO"), STUDIO_FILMS),
    "labelme": (("LabelMe", "its JSON files"), PLAIN),
    "makesense-COCO": (("makesense", "polygons, COCO"), PLAIN),
    "makesense-VGG": (("makesense", "polygons, VGG JSON"), PLAIN),
    "makesense-VOC": (("makesense", "rectangles, VOC XML"), PLAIN),
    "makesense-YOLO": (("makesense", "rectangles, YOLO"), PLAIN),
    "ultralytics": (("CVAT", "Ultralytics YOLO Detection 1.0"), SIDE),
    "via": (("VIA", "project, or annotations as JSON"), PLAIN),
    "via-annotations": (("VIA", "project, or annotations as JSON"), PLAIN),
    "via-COCO": (("VIA", "COCO"), PLAIN),
    "voc": (("CVAT", "PASCAL VOC 1.1"), [f"JPEGImages/{name}" for name in PLAIN]),
}
BOXES_ONLY = ("darknet", "ultralytics", "voc", "makesense-VOC", "makesense-YOLO")  # which leave polygons out
HAND, WRIST, POLYGON = "10 6 30 18", "20 10 35 30", "5 5 15 25"


def documented() -> dict[tuple[str, str], str]:
    """The entry of `ingest.sources` that the page gives, by tool and export."""
    rows = re.findall(r"^\| ([^|]+) \| ([^|]+) \| `(\{.*\})` \|$", PAGE.read_text(), re.MULTILINE)
    return {(tool, export): entry for tool, export, entry in rows}


def ingest(entry: str, **more: Any) -> str:
    """Ingest `in` with an entry as it is typed, and more keys of it; returns the quality page.

    `annotations: auto` takes the same format.
    """
    (expanded,) = get_hydra_sweeps({"params.yaml": [f"ingest.sources=[{entry}]"]})
    section = overridden(expanded["params.yaml"], ROOT / "params.yaml")["ingest"] | {"inbox": "in"}
    section["sources"][0] |= more
    params = Params.model_validate(section)
    assert detected(Folder(Path("in"), params.limits)) == section["sources"][0]["annotations"]
    main(params)
    return QUALITY.read_text()


def boxes() -> dict[str, set[str]]:
    """The edges of what was drawn on each film: left, top, right and bottom in pixels."""
    found: dict[str, set[str]] = {name: set() for name in MANIFEST.read(RAW)["image_id"]}
    for _, row in ANNOTATIONS.read(RAW).iterrows():
        points = np.concatenate(read_points(row["points"]))
        edges = [*points.min(axis=0), *points.max(axis=0)]
        assert np.abs(np.round(edges) - edges).max() < 1e-3
        found[row["image_id"]].add(" ".join(f"{edge:.0f}" for edge in edges))
    return found


def test_every_export_of_the_page_is_tried() -> None:
    assert set(documented()) == set(BY_HAND) | {export for export, _ in OWN.values()}


@pytest.mark.parametrize("export", BY_HAND, ids=" ".join)
def test_an_export_is_read_with_what_the_page_says(export: tuple[str, str], here: Path) -> None:
    for name, content in BY_HAND[export].items():
        path = here / "in" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    ingest(documented()[export])
    assert list(boxes().values()) == [{HAND}]


@pytest.mark.parametrize("folder", OWN)
def test_what_a_tool_wrote_itself_is_read_with_what_the_page_says(folder: str, here: Path) -> None:
    export, paths = OWN[folder]
    shutil.copytree(WRITTEN / folder, here / "in")
    for seed, (path, (width, height)) in enumerate(zip(paths, FILMS.values(), strict=True)):
        (here / "in" / path).parent.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(seed).integers(0, 255, (height, width), dtype=np.uint8)
        (here / "in" / path).write_bytes(picture(pixels))
    entry = documented()[export]
    other = "1" if '"0"' in entry else "text"
    page = ingest(entry, other_classes=[other], unlabelled="no_fracture")
    assert f"1 left out ({label_in_words(other)}: 1)" in page
    wrist = {WRIST} if folder in BOXES_ONLY else {WRIST, POLYGON}
    ids = [image_id(Path(path).stem) for path in paths]
    assert boxes() == dict(zip(ids, [{HAND}, set(), wrist], strict=True))
