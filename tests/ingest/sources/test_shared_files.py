"""Source files that several films share stand in files.csv with each of them, and their hashes are of the files."""

import json
from hashlib import sha256
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

from stages.common.data.layout import RAW
from stages.common.data.tables import FILES
from stages.ingest.main import main
from stages.ingest.params import Params
from tests.helpers.hospital import bring
from tests.helpers.hospital import settings as of_hospital
from tests.helpers.params import read_yaml
from tests.helpers.paths import ROOT


def settings(annotations: str) -> Params:
    """The section `ingest` for pictures in the folder `in`."""
    source = {"source": "folder", "annotations": annotations}
    return Params.model_validate(read_yaml(ROOT / "params.yaml")["ingest"] | {"sources": [source], "inbox": "in"})


def entered(params: Params) -> list[tuple[str, str, str, str]]:
    """What ingest enters in files.csv: film, role, file, SHA-256."""
    main(params)
    return [(row["image_id"], row["role"], row["file"], row["sha256"]) for row in FILES.rows(FILES.read(RAW))]


def hashed(path: Path) -> str:
    return sha256(path.read_bytes()).hexdigest()


def picture(path: Path, seed: int) -> None:
    buffer = BytesIO()
    Image.fromarray(np.random.default_rng(seed).integers(0, 255, (30, 40), np.uint8)).save(buffer, "PNG")
    path.write_bytes(buffer.getvalue())


def test_annotations_of_many_films_and_tables_are_entered_with_each_film(here: Path) -> None:
    inbox = here / "in"
    inbox.mkdir()
    for seed, name in enumerate("abc"):
        picture(inbox / f"{name}.png", seed)
    images = [{"id": 1, "file_name": "a.png"}, {"id": 2, "file_name": "b.png"}]  # b without a shape; c stands nowhere
    shapes = [{"image_id": 1, "category_id": 1, "bbox": [1, 2, 3, 4]}]
    categories = [{"id": 1, "name": "fracture"}]
    (inbox / "coco.json").write_text(json.dumps({"images": images, "annotations": shapes, "categories": categories}))
    (inbox / "patients.csv").write_text("file,patient\na.png,1\nc.png,2\n")
    own = {name: ("film", f"{name}.png", hashed(inbox / f"{name}.png")) for name in "abc"}
    labels, table = (("labels", "coco.json"), ("table", "patients.csv"))
    of_many = {name: (*file, hashed(inbox / file[1])) for name, file in (("labels", labels), ("table", table))}
    assert entered(settings("coco")) == [
        ("a", *own["a"]),
        ("a", *of_many["labels"]),
        ("a", *of_many["table"]),
        ("b", *own["b"]),
        ("b", *of_many["labels"]),
        ("c", *own["c"]),
        ("c", *of_many["table"]),
    ]


def test_lists_of_classes_are_entered_with_the_films_whose_labels_they_name(here: Path) -> None:
    inbox = here / "in"
    inbox.mkdir()
    for seed, name in enumerate("ab"):
        picture(inbox / f"{name}.png", seed)
    (inbox / "a.txt").write_text("0 0.5 0.5 0.1 0.1")
    (inbox / "data.yaml").write_text("names: [fracture]")
    (inbox / "classes.txt").write_text("fracture\nmetal\n")
    files = [(film, role, file) for film, role, file, _ in entered(settings("yolo"))]
    assert files == [
        ("a", "film", "a.png"),
        ("a", "labels", "a.txt"),
        ("a", "classes", "classes.txt"),
        ("a", "classes", "data.yaml"),
        ("b", "film", "b.png"),
    ]


def test_one_table_of_boxes_and_patients_is_entered_in_both_roles(here: Path) -> None:
    (here / "in").mkdir()
    picture(here / "in/a.png", 1)
    (here / "in/all.csv").write_text("filename,label,xmin,ymin,xmax,ymax,patient\na.png,f,1,2,30,20,7\n")
    assert [row[1:3] for row in entered(settings("csv"))] == [
        ("film", "a.png"), ("labels", "all.csv"), ("table", "all.csv")
    ]  # fmt: skip


def test_a_hospitals_shared_files_are_entered_by_their_number(inbox: Path) -> None:
    bring(inbox, "DOE/1", 1, 1, label=False)
    bring(inbox, "DOE/2", 2, 2, label=False)
    (inbox / "DOE_boxes.csv").write_text("filename,label,xmin,ymin,xmax,ymax\nDOE/1,f,1,2,30,40\nDOE/2,f,1,2,30,40\n")
    (inbox / "DOE_patients.csv").write_text("file,patient\nDOE/1,MRN700001\n")
    rows = entered(of_hospital({"annotations": "csv"}))
    number = "file {} of the export (sorted by path)".format
    digests = {name: hashed(inbox / name) for name in ("DOE/1", "DOE/2", "DOE_boxes.csv", "DOE_patients.csv")}
    one, two = (next(row[0] for row in rows if row[3] == digests[f"DOE/{film}"]) for film in (1, 2))
    expected = {
        (one, "film", number(1), digests["DOE/1"]),
        (one, "labels", number(3), digests["DOE_boxes.csv"]),
        (one, "table", number(4), digests["DOE_patients.csv"]),
        (two, "film", number(2), digests["DOE/2"]),
        (two, "labels", number(3), digests["DOE_boxes.csv"]),
    }
    assert set(rows) == expected
    assert len(rows) == len(expected)
    assert "DOE" not in (RAW / "files.csv").read_text()
