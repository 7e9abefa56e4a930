"""Predictions are read, corrected and written by the annotation tools' own libraries, and come back through ingest.

CVAT's format is datumaro's; that of Label Studio is judged by its SDK, whose converter makes the exports of its server.
"""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from stages.common.core.files import read_json
from stages.common.data.layout import RAW
from stages.common.data.shapes import read_points
from stages.common.data.tables import ANNOTATIONS, MANIFEST
from stages.ingest.main import main
from stages.ingest.params import Params
from tests.helpers.long_tests import long_test
from tests.helpers.params import read_yaml
from tests.helpers.paths import ROOT
from tests.helpers.processes import run
from tests.helpers.stub_model import stub_model
from tests.helpers.tool_environments import tool_programs
from tools.predict import batch

pytestmark = [pytest.mark.slow, long_test]
Boxes = dict[str, list[list[float]]]  # left, top, right, bottom, by the name of the picture

# Each script gets the folder of a tool's files and the boxes that a person leaves on some films. It prints what the
# tool read, by film the boxes and their scores, and writes the tool's export into `back`.
WITH_DATUMARO = """
import json, sys
from pathlib import Path
from datumaro import Bbox, Dataset
kind, folder, corrected = sys.argv[1], Path(sys.argv[2]), json.loads(sys.argv[3])
films, read = Dataset.import_from(str(folder / "default.xml" if kind == "cvat" else folder), kind), {}
def edges(box):
    return [box.x, box.y, box.x + box.w, box.y + box.h]
for film in list(films):
    name = film.id + ".png"
    read[name] = [(edges(box), box.attributes["score"], film.media.size) for box in film.annotations]
    if name in corrected:
        boxes = [Bbox(x, y, right - x, bottom - y, label=0) for x, y, right, bottom in corrected[name]]
        films.put(film.wrap(annotations=boxes))
films.export("back", kind, save_media=False)
print(json.dumps(read))
"""
WITH_LABEL_STUDIO = """
import json, sys
from pathlib import Path
from urllib.parse import unquote
from label_studio_sdk.converter import Converter
from label_studio_sdk.label_interface import LabelInterface
kind, folder, corrected = sys.argv[1], Path(sys.argv[2]), json.loads(sys.argv[3])
configuration, read = (folder / "label_studio.xml").read_text(), {}
judge = LabelInterface(configuration)
judge.validate()
tasks = json.loads((folder / "label_studio.json").read_text())
def value(box, width, height):
    left, top, right, bottom = box
    sides = {"x": left / width, "y": top / height, "width": (right - left) / width, "height": (bottom - top) / height}
    return {name: 100 * side for name, side in sides.items()} | {"rotation": 0, "rectanglelabels": ["fracture"]}
for number, task in enumerate(tasks, start=1):
    judge.load_task(task)
    name = unquote(task["data"]["image"]).removeprefix("/data/local-files/?d=films/")
    (prediction,) = task.pop("predictions")
    problems = judge.validate_prediction(prediction, return_errors=True)
    assert not problems, problems
    read[name], result = [], prediction["result"]
    for region in result:
        width, height, found = region["original_width"], region["original_height"], region["value"]
        left, top = found["x"] * width / 100, found["y"] * height / 100
        box = [left, top, left + found["width"] * width / 100, top + found["height"] * height / 100]
        read[name].append((box, region["score"], (height, width)))
    if name in corrected:
        result = [result[0] | {"id": str(place), "value": value(box, width, height)}
                  for place, box in enumerate(corrected[name])]
    annotation = {"id": number, "completed_by": 1, "was_cancelled": False, "result": result}
    assert judge.validate_annotation(annotation)
    task.update(id=number, annotations=[annotation])
Path("submitted.json").write_text(json.dumps(tasks))
converter = Converter(configuration, project_dir=".", download_resources=False)
converter.convert("submitted.json", "back", kind, is_dir=False)
print(json.dumps(read))
"""
DATUMARO, LABEL_STUDIO = "datumaro==1.13.12", "label-studio-sdk==2.1.2"
# The format of predictions, what the tool calls its import and export, the tool, and the format of ingest.
WAYS = [
    ("coco", "coco_instances", DATUMARO, "coco"),
    ("cvat", "cvat", DATUMARO, "cvat"),
    ("label-studio", "JSON", LABEL_STUDIO, "label_studio"),
    ("label-studio", "COCO", LABEL_STUDIO, "coco"),
]
NAMES = ("left hand (1).png", "Übung ß.png", "a & b.png", "50%25 #1?.png", "plus+;,=.png", "hand.tiff")


def predicted(here: Path, way: str) -> Boxes:
    """Predict films, one in 16 bits; returns the boxes that went out."""
    films = here / "in/ward & 1"
    films.mkdir(parents=True)
    for number, name in enumerate(NAMES):
        pixels = np.random.default_rng(number).integers(0, 40, (80, 100 + number)).astype(np.uint8)
        pixels[20:50, 5 * number + 10 : 5 * number + 40] = 250
        deep = name.endswith("tiff")
        Image.fromarray(pixels.astype(np.uint16) * 16 if deep else pixels).save(films / name)
    assert batch.predict_films([str(here / "in")], "stub", here / "out", ["json", way]) == 0
    records = {name: read_json(here / "out/ward & 1" / name / "prediction.json") for name in NAMES}
    return {f"ward & 1/{Path(name).stem}.png": [region["box"] for region in record["regions"]]
            for name, record in records.items()}  # fmt: skip


def laid_out(way: str, files: Path) -> Path:
    """The folder that a tool imports: for datumaro a file of a set, and its pictures, in places of their own."""
    if way == "label-studio":
        return files
    folder = Path("import")
    if way == "coco":
        shutil.copytree(files / "films", folder / "images/default")
        (folder / "annotations").mkdir()
        shutil.copy(files / "coco.json", folder / "annotations/instances_default.json")
    else:
        shutil.copytree(files / "films", folder / "images")
        shutil.copy(files / "cvat.xml", folder / "default.xml")
    return folder


def ingested(kind: str) -> dict[int, list[list[float]]]:
    """Ingest films and the export beside them; returns the boxes by the width of their film."""
    entry = {"source": "folder", "annotations": kind, "classes": ["fracture"], "unlabelled": "refuse"}
    main(Params.model_validate(read_yaml(ROOT / "params.yaml")["ingest"] | {"inbox": "in", "sources": [entry]}))
    widths = {row["image_id"]: row["width"] for _, row in MANIFEST.read(RAW).iterrows()}
    boxes: dict[int, list[list[float]]] = {width: [] for width in widths.values()}
    for _, row in ANNOTATIONS.read(RAW).iterrows():
        points = np.concatenate(read_points(row["points"]))
        boxes[widths[row["image_id"]]].append([*points.min(axis=0), *points.max(axis=0)])
    return boxes


@pytest.mark.parametrize(("way", "kind", "tool", "back"), WAYS, ids=[f"{way[0]}-{way[1]}" for way in WAYS])
def test_a_tool_reads_predictions_and_its_export_comes_back_with_what_a_person_made_of_them(
    way: str, kind: str, tool: str, back: str, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch, "open_model", lambda *_, **__: stub_model())
    python = str(tool_programs(tool) / "python")
    sent = predicted(here, way)
    moved, emptied, extended = list(sent)[:3]
    corrected = {moved: [[12, 6, 30, 20]], emptied: [], extended: [*sent[extended], [5, 5, 15, 25]]}
    script = WITH_LABEL_STUDIO if tool == LABEL_STUDIO else WITH_DATUMARO
    folder = laid_out(way, here / "out/predicted_annotations")
    said = run(here, python, "-W", "ignore", "-c", script, kind, str(folder), json.dumps(corrected))
    read: dict[str, Any] = json.loads(next(line for line in said.splitlines() if line.startswith("{")))
    assert read.keys() == sent.keys()
    for place, (name, boxes) in enumerate(sent.items()):
        assert len(boxes) == 1
        np.testing.assert_allclose([box for box, _, _ in read[name]], boxes, atol=0.01)
        assert all(0.95 < score < 1 and size == [80, 100 + place] for _, score, size in read[name])
    (export,) = [path for path in (here / "back").rglob("*") if path.suffix in (".json", ".xml")]
    shutil.copy(export, here / "in" / export.name)
    found = ingested(back)
    assert len(found) == len(sent)
    for place, (name, boxes) in enumerate((sent | corrected).items()):
        np.testing.assert_allclose(sorted(found[100 + place]), sorted(boxes), atol=0.01, err_msg=name)
