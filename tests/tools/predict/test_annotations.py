"""Predictions go to annotation tools, are corrected there and come back through ingest."""

import contextlib
import csv
import io
import json
import os
import unicodedata
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pycocotools.coco import COCO

from stages.common.core.errors import UserError
from stages.common.core.files import read_json, read_png
from stages.common.data.layout import RAW
from stages.common.data.shapes import read_points
from stages.common.data.tables import ANNOTATIONS, MANIFEST
from stages.ingest.annotations.coco import read_coco
from stages.ingest.annotations.label_studio import read_label_studio
from stages.ingest.main import main
from stages.ingest.params import Params
from tests.helpers.odd_films import sample_film
from tests.helpers.params import read_yaml
from tests.helpers.paths import ROOT
from tests.helpers.stub_model import stub_model
from tools.predict import TOOLS, batch, index
from tools.predict.annotations import MarkedFilm, picture_of, write_annotations
from tools.predict.films import find_films

MODEL = "adaptive 0123456789ab"


def region(*box: int, probability: float) -> dict[str, Any]:
    return {"box": list(box), "probability_max": probability}


HAND = [region(10, 6, 30, 18, probability=0.9375), region(1, 1, 6, 5, probability=0.625)]
FILMS = [
    MarkedFilm("ward 1/hand.png", 40, 30, HAND, 0.9375, MODEL),
    MarkedFilm("arm.png", 50, 20, [region(20, 10, 35, 20, probability=0.75)], 0.75, MODEL),
    MarkedFilm("ward 2/foot.png", 60, 40, [], 0.25, MODEL),
]
# What a person makes of it: one box is moved, one deleted, one confirmed, one added.
CORRECTED = {(40, 30): ["12 6 30 20"], (50, 20): ["20 10 35 20"], (60, 40): ["5 5 15 25"]}
# `sent` is what `write_annotations` writes of FILMS. `back` was made of it by the tools: datumaro 1.13.12 (whose CVAT
# format is CVAT's) read it, and wrote it again with the corrections; a server of Label Studio 1.23.2 imported the tasks
# with their predictions, took the corrections through its API as its editor sends them, and exported them as JSON.
EXPORTS = Path(__file__).with_name("corrected")
BACK = {"coco": "coco", "cvat": "cvat", "label-studio": "label_studio"}


def test_what_goes_out_is_what_the_tools_read(tmp_path: Path) -> None:
    write_annotations(tmp_path, FILMS, list(TOOLS))
    sent = {path.name: path.read_text() for path in (tmp_path / "predicted_annotations").iterdir()}
    assert sent == {path.name: path.read_text() for path in (EXPORTS / "sent").iterdir()}


@pytest.mark.slow
@pytest.mark.parametrize("tool", TOOLS)
def test_what_a_person_corrected_comes_back_through_ingest(tool: str, here: Path) -> None:
    for name, film in zip(("ward 1/hand.jpg", "arm.png", "ward 2/foot.jpg"), FILMS, strict=True):
        (here / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(film.width).integers(0, 255, (film.height, film.width), dtype=np.uint8)
        Image.fromarray(pixels).save(here / "in" / name)
    (back,) = (EXPORTS / tool).iterdir()
    (here / "in" / back.name).write_bytes(back.read_bytes())
    entry = {"source": "folder", "annotations": BACK[tool], "classes": ["fracture"], "unlabelled": "refuse"}
    main(Params.model_validate(read_yaml(ROOT / "params.yaml")["ingest"] | {"inbox": "in", "sources": [entry]}))
    sizes = {row["image_id"]: (row["width"], row["height"]) for _, row in MANIFEST.read(RAW).iterrows()}
    boxes: dict[tuple[int, int], list[str]] = {size: [] for size in sizes.values()}
    for _, row in ANNOTATIONS.read(RAW).iterrows():
        boxes[sizes[row["image_id"]]].append(row["points"])
    assert boxes == CORRECTED


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch, "open_model", lambda *_, **__: stub_model())


def predict(films: Path, output: Path) -> dict[str, Any]:
    """What pycocotools reads of the predictions."""
    assert batch.predict_films([str(films)], "stub", output, ["json", *TOOLS]) == 0
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO(str(output / "predicted_annotations/coco.json"))
    return {image["file_name"]: coco.imgToAnns[number] for number, image in coco.imgs.items()}


@pytest.mark.filterwarnings("ignore")
def test_every_film_is_a_picture_that_tools_open_with_its_regions(tmp_path: Path, model: None) -> None:
    films, output = tmp_path / "films", tmp_path / "films/out"
    films.mkdir()
    (films / "1.2.840.5").write_bytes(sample_film())
    deep = np.zeros((90, 120), np.uint16)
    deep[20:60, 30:90] = 4000
    Image.fromarray(deep).save(films / "deep.tiff")
    found = predict(films, output)
    assert set(found) == {"1.2.840.5.png", "deep.png"}
    for name, film in (("1.2.840.5.png", "1.2.840.5"), ("deep.png", "deep.tiff")):
        record, picture = read_json(output / film / "prediction.json"), output / "predicted_annotations/films" / name
        assert read_png(picture).shape == (record["height"], record["width"])
        assert read_png(picture).dtype == np.uint8
        assert read_png(picture).max() == 255, "12 bits in 16 are no black picture"
        boxes = [[left, top, left + w, top + h] for left, top, w, h in (one["bbox"] for one in found[name])]
        assert boxes == [one["box"] for one in record["regions"]]
        assert [one["score"] for one in found[name]] == [one["probability_max"] for one in record["regions"]]
    with (output / "summary.csv").open(newline="") as file:
        rows = {row["film"]: row for row in csv.DictReader(file)}
    first = max(rows, key=lambda film: read_json(output / film / "prediction.json")["uncertainty"])
    assert rows[first]["label_next"] == "1"
    assert next(iter(found)) == picture_of(first), "tools show the films in the order in which to label them"
    assert [path.name for path, _ in find_films([str(films)]).films] == ["1.2.840.5", "deep.tiff"]
    (output / "predicted_annotations/films/deep.png").unlink()
    assert set(predict(films, output)) == set(found), "a picture that is gone is made again"


def test_one_network_disagrees_with_nobody(tmp_path: Path, model: None) -> None:
    with pytest.raises(UserError, match="--label-next disagreement: expected several networks, found one"):
        batch.predict_films([str(tmp_path)], "stub", tmp_path / "out", ["json"], measure="disagreement")


def test_films_that_differ_in_their_suffixes_only_are_refused(tmp_path: Path, model: None) -> None:
    for name in ("a.png", "a.tiff"):
        Image.new("L", (100, 80)).save(tmp_path / name)
    with pytest.raises(UserError, match=r"a\.tiff and a\.png: expected names that differ in more than the suffix"):
        predict(tmp_path, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def picture(path: Path) -> Path:
    """A grey film without fractures; returns its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", (100, 80)).save(path, "PNG")
    return path


@pytest.mark.parametrize("earlier", [["json"], ["json", "coco"]])
def test_a_film_of_an_earlier_call_keeps_its_picture(earlier: list[str], tmp_path: Path, model: None) -> None:
    first, second, output = picture(tmp_path / "a.png"), picture(tmp_path / "b/a.dcm"), tmp_path / "out"
    assert batch.predict_films([str(first)], "stub", output, earlier) == 0
    with pytest.raises(UserError, match=r"a\.(png|dcm) and a\.(png|dcm): expected names that differ in more than"):
        predict(second, output)
    assert not (output / "a.dcm").exists()
    assert set(predict(first, output)) == {"a.png"}, "the same film again is no other film"


def test_a_picture_of_a_film_that_was_replaced_goes_to_no_tool(tmp_path: Path, model: None) -> None:
    film, output = picture(tmp_path / "a.png"), tmp_path / "out"
    assert set(predict(film, output)) == {"a.png"}
    Image.new("L", (60, 50)).save(film)
    assert batch.predict_films([str(film)], "stub", output, ["json"]) == 0
    assert set(predict(picture(tmp_path / "c.png"), output)) == {"c.png"}
    assert set(predict(film, output)) == {"a.png", "c.png"}


@pytest.mark.parametrize("name", [b"a\xff.png", b"a\x01.png"])
def test_a_name_that_no_xml_can_hold_is_refused_before_predicting(name: bytes, tmp_path: Path, model: None) -> None:
    film, output = picture(tmp_path / "in" / os.fsdecode(name)), tmp_path / "out"
    with pytest.raises(UserError, match=r"a\\(udcff|x01)\.png: expected a name of printable characters in UTF-8"):
        predict(film, output)
    assert not output.exists()
    assert batch.predict_films([str(film)], "stub", output, ["json"]) == 0
    with pytest.raises(UserError, match="expected a name of printable characters"):
        predict(picture(tmp_path / "in/b.png"), output)  # the tools' files would hold the earlier film, too


def test_the_table_and_the_page_are_written_before_the_files_of_annotation_tools(
    tmp_path: Path, model: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(index, "write_annotations", full)
    with pytest.raises(OSError, match="no space left"):
        predict(picture(tmp_path / "a.png"), tmp_path / "out")
    assert {"summary.csv", "index.html"} <= {path.name for path in (tmp_path / "out").iterdir()}


def test_films_of_label_studios_exports_are_named_without_the_folders_of_its_server() -> None:
    images = ["/data/local-files/?d=films/ward%201/left%20hand.png", "/data/local-files/?d=arm.png"]
    images += ["s3://bucket/films/foot.png", "/data/upload/1/8c5f0a10-knee.png"]
    tasks = [{"data": {"image": image}, "annotations": [{"result": []}]} for image in images]
    names = ["left hand.png", "arm.png", "foot.png", "8c5f0a10-knee.png"]
    assert list(read_label_studio(json.dumps(tasks).encode()).films) == names
    sizes = {"width": None, "height": None}
    listed = [{"id": number, "file_name": image, **sizes} for number, image in enumerate(images[:2])]
    coco = {"images": listed, "annotations": [], "categories": []}
    assert list(read_coco(json.dumps(coco).encode()).films) == names[:2], "as its own converter writes them"


ODD_NAMES = (
    "left hand (1).png", "Übung ß.png", unicodedata.normalize("NFD", "Knöchel.png"), "a & b.png", "a < b > c.png",
    """quote " and '.png""", "-v.png", "50%25 #1?.png", "plus+;,=.png", "[1] {2} $3 *.png",
)  # fmt: skip


def handed_back(tool: str, folder: Path) -> bytes:
    """A tool's file as it comes back when a person confirms all that it holds.

    COCO and CVAT have one form for both ways; Label Studio's server makes an annotation of each prediction.
    """
    if tool != "label-studio":
        return (folder / {"coco": "coco.json", "cvat": "cvat.xml"}[tool]).read_bytes()
    tasks = read_json(folder / "label_studio.json")
    for task in tasks:
        (prediction,) = task.pop("predictions")
        task["annotations"] = [{"was_cancelled": False, "result": prediction["result"]}]
    return json.dumps(tasks).encode()


@pytest.mark.slow
@pytest.mark.parametrize("tool", TOOLS)
def test_films_with_odd_names_come_back_with_their_own_boxes(tool: str, here: Path, model: None) -> None:
    films = here / "in/ward & 1"
    films.mkdir(parents=True)
    for number, name in enumerate(ODD_NAMES):
        pixels = np.random.default_rng(number).integers(0, 40, (80, 100 + number), dtype=np.uint8)
        pixels[20:50, 5 * number + 10 : 5 * number + 40] = 250
        Image.fromarray(pixels).save(films / name)
    found = predict(here / "in", here / "out")
    assert set(found) == {f"ward & 1/{name}" for name in ODD_NAMES}
    records = [read_json(here / "out/ward & 1" / name / "prediction.json") for name in ODD_NAMES]
    sent = {record["width"]: sorted(region["box"] for region in record["regions"]) for record in records}
    assert len(sent) == len(ODD_NAMES)
    assert all(sent.values())
    (here / "in" / f"back.{'xml' if tool == 'cvat' else 'json'}").write_bytes(
        handed_back(tool, here / "out/predicted_annotations")
    )
    entry = {"source": "folder", "annotations": BACK[tool], "classes": ["fracture"], "unlabelled": "refuse"}
    main(Params.model_validate(read_yaml(ROOT / "params.yaml")["ingest"] | {"inbox": "in", "sources": [entry]}))
    widths = {row["image_id"]: row["width"] for _, row in MANIFEST.read(RAW).iterrows()}
    back: dict[int, list[list[float]]] = {width: [] for width in widths.values()}
    for _, row in ANNOTATIONS.read(RAW).iterrows():
        points = np.concatenate(read_points(row["points"]))
        back[widths[row["image_id"]]].append([*points.min(axis=0), *points.max(axis=0)])
    assert set(back) == set(sent)
    for width, boxes in sent.items():
        np.testing.assert_allclose(sorted(back[width]), boxes, atol=0.01)
