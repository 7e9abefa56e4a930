"""Archives of the layout that FracAtlas.zip has, from the shared films or from drawn ones."""

import csv
import json
import zipfile
from io import BytesIO, StringIO
from typing import Any

import numpy as np
from PIL import Image

from tests.helpers.paths import FRACATLAS

ANNOTATIONS = "FracAtlas/Annotations"
COCO = f"{ANNOTATIONS}/COCO JSON/COCO_fracture_masks.json"


def archive_of(members: dict[str, bytes]) -> bytes:
    """A zip whose bytes depend on its members only."""
    buffer = BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(name), content)
    return buffer.getvalue()


def jpeg(seed: int) -> bytes:
    buffer = BytesIO()
    noise = np.random.default_rng(seed).integers(0, 255, (12, 10), dtype=np.uint8)
    Image.fromarray(noise).resize((100, 120)).save(buffer, "JPEG")
    return buffer.getvalue()


def drawn_members(fractured: list[str], normal: list[str]) -> dict[str, bytes]:
    """The members of an archive of small drawn films, each fracture a square."""
    coco: dict[str, Any] = {"categories": [{"id": 0, "name": "fractured"}], "images": [], "annotations": []}
    members = {}
    for number, name in enumerate([*fractured, *normal]):
        folder = "Fractured" if name in fractured else "Non_fractured"
        members[f"FracAtlas/images/{folder}/{name}"] = jpeg(number)
        if name in fractured:
            coco["images"].append({"id": number, "width": 100, "height": 120, "file_name": name})
            corners = [10.0, 10.0, 30.0, 10.0, 30.0, 30.0, 10.0, 30.0]
            shape = {"segmentation": [corners], "bbox": [10.0, 10.0, 20.0, 20.0], "iscrowd": 0}
            coco["annotations"].append({"id": number, "image_id": number, "category_id": 0} | shape)
    return members | others(fractured, normal) | {COCO: json.dumps(coco).encode()}


def shared_members() -> dict[str, bytes]:
    """The members of an archive of the shared films: 171 wrists with a fracture, 25 without."""
    fractured, normal = (sorted((FRACATLAS / folder).glob("*.jpg")) for folder in ("images", "negatives"))
    members = {f"FracAtlas/images/Fractured/{path.name}": path.read_bytes() for path in fractured}
    members |= {f"FracAtlas/images/Non_fractured/{path.name}": path.read_bytes() for path in normal}
    members |= others([path.name for path in fractured], [path.name for path in normal])
    for folder, name in (("PASCAL VOC", "voc"), ("YOLO", "yolo")):
        members |= {f"{ANNOTATIONS}/{folder}/{path.name}": path.read_bytes() for path in (FRACATLAS / name).iterdir()}
    members[f"{ANNOTATIONS}/VGG JSON/VGG_fracture_masks.json"] = (FRACATLAS / "via.json").read_bytes()
    return members | {COCO: (FRACATLAS / "coco.json").read_bytes()}


def others(fractured: list[str], normal: list[str]) -> dict[str, bytes]:
    """The tables beside films and annotations."""
    text = StringIO()
    table = csv.writer(text)
    table.writerow(["image_id", "wrist", "fractured", "fracture_count"])
    table.writerows([[name, 1, int(name in fractured), ""] for name in [*fractured, *normal]])
    split = "image_id\n" + "".join(f"{name}\n" for name in fractured)
    return {
        "FracAtlas/dataset.csv": text.getvalue().encode(),
        "FracAtlas/Utilities/Fracture Split/train.csv": split.encode(),
    }
