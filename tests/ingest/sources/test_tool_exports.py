"""What docs/how-to/data-sources.md says to type for each tool, on files laid out as the tool exports them."""

import json
import re
import shlex
import shutil
from io import BytesIO
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dvc.utils.hydra import get_hydra_sweeps
from PIL import Image

from stages.common.data.layout import QUALITY, RAW
from stages.common.data.shapes import read_points
from stages.common.data.tables import ANNOTATIONS, MANIFEST
from stages.ingest.main import main
from stages.ingest.params import Params
from stages.ingest.types import image_id
from tests.helpers.params import read_yaml
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


def js(content: Any) -> bytes:
    return json.dumps(content).encode()


def coco(file: str, number: int) -> bytes:
    left, top, right, bottom = BOX
    return js({
        "info": {"description": ""}, "licenses": [{"id": 1, "name": "", "url": ""}],
        "categories": [{"id": 0, "name": "bones", "supercategory": "none"},
                       {"id": number, "name": "fracture", "supercategory": "bones"}],
        "images": [{"id": 0, "license": 1, "file_name": file, "height": HEIGHT, "width": WIDTH}],
        "annotations": [{"id": 0, "image_id": 0, "category_id": number,
                         "bbox": [left, top, right - left, bottom - top], "area": 240, "iscrowd": 0}],
    })  # fmt: skip


YOLO = b"0 0.5 0.4 0.5 0.4\n"
STUDIO = [{
    "id": 1, "file_upload": "8c5f0a1b-hand.png", "data": {"image": "/data/upload/1/8c5f0a1b-hand.png"}, "drafts": [],
    "predictions": [], "meta": {}, "project": 1, "annotations": [{"id": 1, "was_cancelled": False, "result": [{
        "id": "x", "type": "rectanglelabels", "from_name": "label", "to_name": "image", "original_width": WIDTH,
        "original_height": HEIGHT, "image_rotation": 0, "origin": "manual",
        "value": {"x": 25, "y": 20, "width": 50, "height": 40, "rotation": 0, "rectanglelabels": ["fracture"]}}]}],
}]  # fmt: skip
CVAT = (
    b'<?xml version="1.0" encoding="utf-8"?>\n<annotations>\n  <version>1.1</version>\n  <meta><task><id>1</id></task>'
    b'</meta>\n  <image id="0" name="hand.png" width="40" height="30">\n    <box label="fracture" source="manual" '
    b'occluded="0" xtl="10.00" ytl="6.00" xbr="30.00" ybr="18.00">\n    </box>\n  </image>\n</annotations>\n'
)
VIA = {
    "_via_settings": {"ui": {}}, "_via_attributes": {"region": {"label": {"type": "text"}}, "file": {}},
    "_via_image_id_list": ["hand.png999"], "_via_data_format_version": "2.0.10",
    "_via_img_metadata": {"hand.png999": {
        "filename": "hand.png", "size": 999, "file_attributes": {}, "regions": [{
            "shape_attributes": {"name": "rect", "x": 10, "y": 6, "width": 20, "height": 12},
            "region_attributes": {"label": "fracture"}}]}},
}  # fmt: skip
LABELME = {
    "version": "5.4.1", "flags": {}, "imagePath": "hand.png", "imageData": None, "imageHeight": HEIGHT,
    "imageWidth": WIDTH, "shapes": [{"label": "fracture", "points": [[10, 6], [30, 18]], "group_id": None,
                                     "description": "", "shape_type": "rectangle", "flags": {}, "mask": None}],
}  # fmt: skip
VOC = (
    b"<annotation>\n\t<folder>my-project</folder>\n\t<filename>hand.png</filename>\n\t<path>/hand.png</path>"
    b"\n\t<source>\n\t\t<database>Unspecified</database>\n\t</source>\n\t<size>\n\t\t<width>40</width>\n\t\t"
    b"<height>30</height>\n\t\t<depth>3</depth>\n\t</size>\n\t<object>\n\t\t<name>fracture</name>\n\t\t<pose>Unspecified"
    b"</pose>\n\t\t<truncated>0</truncated>\n\t\t<difficult>0</difficult>\n\t\t<bndbox>\n\t\t\t<xmin>10</xmin>\n\t\t\t"
    b"<ymin>6</ymin>\n\t\t\t<xmax>30</xmax>\n\t\t\t<ymax>18</ymax>\n\t\t</bndbox>\n\t</object>\n</annotation>\n"
)
RF = "hand_png.rf.0b9d4c"
EXPORTS: dict[str, dict[str, bytes]] = {
    "Label Studio": {"hand.png": film(1), "project-1-at-2026-11-28.json": js(STUDIO)},
    "CVAT": {"images/hand.png": film(1), "annotations.xml": CVAT},
    "CVAT masks": {
        "JPEGImages/hand.jpg": film(1, "JPEG"), "SegmentationClass/hand.png": mask((250, 50, 83)),
        "SegmentationObject/hand.png": mask((128, 0, 0)), "ImageSets/Segmentation/default.txt": b"hand\n",
        "labelmap.txt": b"# label:color_rgb:parts:actions\nbackground:0,0,0::\nfracture:250,50,83::\n",
    },
    "VIA": {"hand.png": film(1), "via_project_28Nov2026.json": js(VIA)},
    "LabelMe": {"hand.png": film(1), "hand.json": js(LABELME)},
    "Roboflow": {
        f"train/images/{RF}.jpg": film(1, "JPEG"), f"train/labels/{RF}.txt": YOLO,
        "data.yaml": b"train: ../train/images\nval: ../valid/images\nnc: 1\nnames: ['fracture']\n"
        b"roboflow:\n  version: 1\n",
        "README.dataset.txt": b"# wrist > 2026-11-28 1:00pm\n", "README.roboflow.txt": b"wrist - v1\n1 images\n",
    },
    "Roboflow COCO": {f"train/{RF}.jpg": film(1, "JPEG"), "train/_annotations.coco.json": coco(f"{RF}.jpg", 1)},
    "Ultralytics": {
        "images/train/hand.png": film(1), "labels/train/hand.txt": YOLO + b"1 0.1 0.1 0.1 0.1\n",
        "data.yaml": b"path: ../wrist\ntrain: images/train\nval: images/train\nnames:\n  0: fracture\n  1: text\n",
    },
    "COCO tools": {"images/hand.png": film(1), "annotations/instances_default.json": coco("hand.png", 1)},
    "makesense": {"hand.png": film(1), "labels_my-project/hand.xml": VOC},
    "3D Slicer and ITK-SNAP": {"hand.png": film(1), "hand_mask.png": mask(2)},
}  # fmt: skip


def documented() -> dict[str, list[str]]:
    """The -S options that the page gives, by the heading of their section."""
    sections = re.split(r"^## ", PAGE.read_text(), flags=re.MULTILINE)[1:]
    commands = {part.partition("\n")[0]: re.findall(r"^dvc exp run .*$", part, re.MULTILINE) for part in sections}
    return {
        name: [word for line in lines for option, word in pairwise(shlex.split(line)) if option == "-S"]
        for name, lines in commands.items()
    }


def test_every_tool_of_the_page_is_tried() -> None:
    assert list(documented()) == list(EXPORTS)


@pytest.mark.parametrize("tool", EXPORTS)
@pytest.mark.parametrize("auto", [False, True])
def test_a_tools_export_is_read_with_what_the_page_says(tool: str, auto: bool, here: Path) -> None:
    for name, content in EXPORTS[tool].items():
        path = here / "in" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    (expanded,) = get_hydra_sweeps({"params.yaml": documented()[tool]})
    section = overridden(expanded["params.yaml"], ROOT / "params.yaml")["ingest"] | {"inbox": "in"}
    if auto:
        section["sources"][0]["annotations"] = "auto"
    main(Params.model_validate(section))
    assert len(MANIFEST.read(RAW)) == 1
    (shape,) = ANNOTATIONS.read(RAW)["points"]
    points = np.array([ring.split() for ring in shape.split(";")], dtype=float).reshape(-1, 2)
    np.testing.assert_allclose([*points.min(axis=0), *points.max(axis=0)], BOX)


# Written by the tools themselves: LabelMe 6.3.1, the converter of Label Studio (label-studio-converter 0.0.59), and
# datumaro 1.13.12, by which CVAT exports. Films by path, in the order of FILMS.
WRITTEN = ROOT / "tests/ingest/sources/exports"
FILMS = {"hand": (40, 30), "arm": (50, 20), "left wrist": (60, 40)}
HAND, WRIST = {"fracture 10 6 30 18", "text 1 1 6 5"}, {"fracture 20 10 35 30", "fracture 5 5 15 25"}
STUDIO_FILMS = [f"images/8c5f0a1{number}-{name.replace(' ', '_')}.png" for number, name in enumerate(FILMS)]
SIDES = ["train/hand.png", "train/arm.png", "val/left wrist.png"]
OWN: dict[str, tuple[str, list[str]]] = {
    "coco": ("coco", [f"images/{name}" for name in SIDES]),
    "cvat": ("cvat", [f"images/{name}.png" for name in FILMS]),
    "cvat-masks": ("masks", [f"JPEGImages/{name}.png" for name in FILMS]),
    "darknet": ("yolo", [f"obj_{name.replace('/', '_data/')}" for name in SIDES]),
    "label-studio-COCO": ("coco", STUDIO_FILMS),
    "label-studio-JSON": ("label_studio", STUDIO_FILMS),
    "label-studio-VOC": ("voc", STUDIO_FILMS),
    "label-studio-YOLO": ("yolo", STUDIO_FILMS),
    "labelme": ("labelme", [f"{name}.png" for name in FILMS]),
    "ultralytics": ("yolo", [f"images/{name}" for name in SIDES]),
    "voc": ("voc", [f"JPEGImages/{name}.png" for name in FILMS]),
}
BOXES_ONLY = ("darknet", "ultralytics", "voc")  # of which datumaro leaves out polygons


@pytest.mark.parametrize("tool", OWN)
def test_what_a_tool_wrote_itself_is_read_with_the_same_boxes(tool: str, here: Path) -> None:
    format_, paths = OWN[tool]
    shutil.copytree(WRITTEN / tool, here / "in")
    for seed, (path, (width, height)) in enumerate(zip(paths, FILMS.values(), strict=True)):
        (here / "in" / path).parent.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(seed).integers(0, 255, (height, width), dtype=np.uint8)
        (here / "in" / path).write_bytes(picture(pixels))
    entry = {"source": "folder", "annotations": "auto", "classes": ["fracture", "text"]}
    exclude = {"exclude": ["*SegmentationObject/*"]} if tool == "cvat-masks" else {}
    section = read_yaml(ROOT / "params.yaml")["ingest"] | {"inbox": "in", "sources": [entry | exclude]}
    assert f"labels are read as {format_}" in main(Params.model_validate(section)) + QUALITY.read_text()
    ids = [image_id(Path(path).stem) for path in paths]
    assert set(MANIFEST.read(RAW)["image_id"]) == set(ids)
    boxes: dict[str, set[str]] = {name: set() for name in ids}
    for _, row in ANNOTATIONS.read(RAW).iterrows():
        points = np.concatenate(read_points(row["points"]))
        edges = [*points.min(axis=0), *points.max(axis=0)]
        assert np.abs(np.round(edges) - edges).max() < 1e-3
        boxes[row["image_id"]].add(" ".join([row["label"], *(f"{edge:.0f}" for edge in edges)]))
    wrist = {"fracture 20 10 35 30"} if tool in BOXES_ONLY else WRIST
    assert list(boxes.values()) == [HAND, set(), wrist]
