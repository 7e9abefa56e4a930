"""Which label meets which film: each row is a folder that people have."""

from pathlib import PurePosixPath
from typing import Any

import pytest

from stages.common.core.errors import UserError
from stages.ingest.annotations.film_names import steps_between
from stages.ingest.annotations.mask import masks_of
from stages.ingest.annotations.pairing import Pairs, data_yaml, pair
from stages.ingest.params import Folder
from tests.helpers.files import MemoryFiles

BOX = "0 0.5 0.5 0.1 0.1"


def paired(films: str, content: dict[str, str], annotations: str = "yolo", **entry: Any) -> Pairs:
    entry = {"unlabelled": "refuse"} | entry
    source = Folder.model_validate({"source": "folder", "annotations": annotations} | entry)
    return pair(MemoryFiles(content | dict.fromkeys(films.split(), "")), films.split(), source)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("films", "labels", "expected"),
    [
        # A label file serves one film, of the nearest folder.
        ("ANNA/IM1 BERTA/IM1", "ANNA/IM1.txt", {"ANNA/IM1": "ANNA/IM1.txt"}),
        ("p1/IM1.png p2/IM1.png", "p2/IM1.txt", {"p2/IM1.png": "p2/IM1.txt"}),
        ("BERTA/IM1 ANNA/IM2", "ANNA/IM1.txt", {}),
        ("img/p1/a.png img/p2/a.png", "lab/p1/a.txt lab/p2/a.txt",
         {"img/p1/a.png": "lab/p1/a.txt", "img/p2/a.png": "lab/p2/a.txt"}),
        ("s/images/a.png t/images/a.png", "s/labels/a.txt t/labels/a.txt",
         {"s/images/a.png": "s/labels/a.txt", "t/images/a.png": "t/labels/a.txt"}),
        ("images/a.png", "far/away/a.txt", {"images/a.png": "far/away/a.txt"}),
        # Spellings, the closest first.
        ("a.png", "A.txt", {"a.png": "A.txt"}),
        ("a.png", "a.png.txt", {"a.png": "a.png.txt"}),
        ("a.png a.jpg", "a.png.txt a.jpg.txt", {"a.png": "a.png.txt", "a.jpg": "a.jpg.txt"}),
        ("a_0000.png", "a.txt", {"a_0000.png": "a.txt"}),
        ("a.png", "8c5f0a1b-a.txt", {"a.png": "8c5f0a1b-a.txt"}),
        ("b.png c.png", "20230412-b.txt 8c5f0a1b-c.txt", {"b.png": "20230412-b.txt", "c.png": "8c5f0a1b-c.txt"}),
        ("b.png c.png", "20230412-b.txt c.txt", {"c.png": "c.txt"}),
        ("8c5f0a1b-a.png a.png", "8c5f0a1b-a.txt", {"8c5f0a1b-a.png": "8c5f0a1b-a.txt"}),
        ("hand%20b.png", "hand%20b.txt", {"hand%20b.png": "hand%20b.txt"}),
        ("handgelenk_ü.png", "handgelenk_u\u0308.txt", {"handgelenk_ü.png": "handgelenk_u\u0308.txt"}),
        ("hand%C3%BC.png", "handü.txt", {"hand%C3%BC.png": "handü.txt"}),
        ("1.2.3.498.3 1.2.3.498.4", "1.2.3.498.3.txt", {"1.2.3.498.3": "1.2.3.498.3.txt"}),
    ],
)  # fmt: skip
def test_a_label_file_serves_one_film(films: str, labels: str, expected: dict[str, str]) -> None:
    result = paired(films, dict.fromkeys(labels.split(), BOX))
    assert result.file_of == expected
    orphans = set(labels.split()) - set(expected.values())
    assert {name for name, _ in result.problems} == orphans


@pytest.mark.parametrize(
    ("films", "labels", "problems"),
    [
        ("p1/a.png p2/a.png", "labels/a.txt", {"p1/a.png", "p2/a.png", "labels/a.txt"}),
        ("a.png", "p/a.txt q/a.txt", {"a.png"}),
        ("a.png", "a.txt other/lost.txt", {"other/lost.txt"}),
    ],
)
def test_what_cannot_be_told_is_refused(films: str, labels: str, problems: set[str]) -> None:
    result = paired(films, dict.fromkeys(labels.split(), BOX))
    assert {name for name, _ in result.problems} == problems


@pytest.mark.parametrize(
    ("films", "file", "name", "film"),
    [
        ("p1/a.png p2/a.png", "boxes.csv", "p1/a.png", "p1/a.png"),
        ("p2/a.png", "boxes.csv", "p1/a.png", ""),
        ("p1/a.png p2/a.png", "p1/boxes.csv", "a.png", "p1/a.png"),
        ("p1/a.png p2/a.png", "boxes.csv", "a.png", ""),
        ("images/a.png", "boxes.csv", r"C:\work\images\a.png", "images/a.png"),
        ("a.png", "boxes.csv", "/home/me/images/a.png", "a.png"),
        ("set/images/a.png", "set/boxes.csv", "images/a.png", "set/images/a.png"),
        ("a.png a.jpg", "boxes.csv", "a.jpg", "a.jpg"),
        ("a.png", "boxes.csv", "A.JPG", "a.png"),
        ("a.png 8c5f0a1b-a.png", "boxes.csv", "8c5f0a1b-a.png", "8c5f0a1b-a.png"),
        ("a.png", "boxes.csv", "8c5f0a1b-a.png", "a.png"),
        ("1.2.3.498.3 1.2.3.498.4", "boxes.csv", "1.2.3.498.3", "1.2.3.498.3"),
        # A backslash is part of a name on Linux, and stands between folders on Windows.
        ("x\\a.png b.png", "boxes.csv", "x\\a.png", "x\\a.png"),
        ("x\\a.png x/a.png", "boxes.csv", "x\\a.png", "x\\a.png"),
        ("x/a.png y/a.png", "boxes.csv", "x\\a.png", "x/a.png"),
        # Spreadsheets take zeros away.
        ("0012.png 0013.png", "boxes.csv", "12", "0012.png"),
        ("0012.png 0013.png", "boxes.csv", "12.png", "0012.png"),
        ("x/0012.png y/0012.png", "boxes.csv", "y/012.0", "y/0012.png"),
        ("12.png 0012.png", "boxes.csv", "12", "12.png"),
        ("012.png 0012.png", "boxes.csv", "12", ""),
        ("0012.png", "boxes.csv", "13", ""),
    ],
)
def test_a_folder_that_is_stated_must_agree(films: str, file: str, name: str, film: str) -> None:
    table = f"filename,xmin,ymin,xmax,ymax\n{name},1,1,9,9\n"
    result = paired(films, {file: table}, "csv")
    assert list(result.labels) == ([film] if film else [])
    assert bool(result.problems) == (not film)


def test_a_number_that_lost_its_zeros_is_a_spreadsheets_only() -> None:
    lost = COCO.replace("b.png", "12.png")
    (problem,) = [problem for _, problem in paired("0012.png", {"c.json": lost}, "coco").problems]
    assert "missing image '12.png'" in problem.actual
    two = "image,xmin,ymin,xmax,ymax\n12,1,1,9,9\n0012,1,1,5,5\n"
    assert "a second time" in paired("0012.png", {"boxes.csv": two}, "csv").problems[0][1].actual


def test_a_number_before_a_name_is_an_exporters_only_among_others() -> None:
    head = "filename,xmin,ymin,xmax,ymax\n"
    own = paired("a.png", {"boxes.csv": f"{head}20230412-a.png,1,1,9,9\n"}, "csv")
    assert not own.labels
    assert "missing image" in own.problems[0][1].actual
    exported = f"{head}20230412-a.png,1,1,9,9\n8c5f0a1b-b.png,1,1,9,9\n"
    assert list(paired("a.png b.png", {"boxes.csv": exported}, "csv").labels) == ["a.png", "b.png"]


@pytest.mark.parametrize("text", ["[" * 200_000, "- " * 200_000, "a: b\n" * 300_000], ids=["[", "- ", "large"])
def test_a_yaml_file_that_no_program_can_read_is_no_data_yaml(text: str) -> None:
    """A reader in C dies of it, and the stage with it."""
    assert data_yaml(MemoryFiles({"data.yaml": text}), "data.yaml") == {}  # type: ignore[arg-type]


def test_labels_that_data_yaml_calls_key_points_are_refused() -> None:
    files = {"a.txt": "0 0.5 0.5 0.2 0.2 0.4 0.4 0.6 0.6", "data.yaml": "kpt_shape: [2, 2]\nnames: [wrist]\n"}
    with pytest.raises(UserError, match=r"data\.yaml: expected YOLO labels of boxes or polygons, found `kpt_shape`"):
        paired("a.png", files)


@pytest.mark.parametrize("annotations", ["voc", "labelme", "yolo"])
def test_labels_of_another_format_are_no_films_without_fractures(annotations: str) -> None:
    films = [f"{number}.png" for number in range(24)]
    content = {"yolo": BOX, "labelme": '{"shapes": [{"label": "f", "points": [[1, 1], [2, 1], [2, 2]]}]}'}
    real = "labelme" if annotations == "yolo" else "yolo"
    suffix = {"yolo": ".txt", "labelme": ".json"}[real]
    labels = {film.replace(".png", suffix): content[real] for film in films}
    with pytest.raises(UserError, match=f"expected {annotations} labels of its 24 films, .* look like {real}"):
        paired(" ".join(films), labels, annotations, unlabelled="no_fracture")
    stated = paired(" ".join(films), labels, "none", unlabelled="no_fracture")
    assert stated == Pairs(elsewhere=dict.fromkeys(labels, real))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("one", "other", "steps"),
    [("a", "a", 0), ("", "a", 1), ("images/p1", "labels/p1", 2), ("images/p1", "labels/p2", 4), ("a/b", "a", 1)],
)
def test_folders_are_as_far_apart_as_what_only_one_has(one: str, other: str, steps: int) -> None:
    assert steps_between(PurePosixPath(one), PurePosixPath(other)) == steps


VOC = (
    "<annotation><object><name>f</name><bndbox><xmin>1</xmin><ymin>1</ymin><xmax>9</xmax><ymax>9</ymax></bndbox>"
    "</object></annotation>"
)
COCO = (
    '{"images": [{"id": 1, "file_name": "b.png"}], '
    '"annotations": [{"image_id": 1, "bbox": [1, 1, 5, 5], "category_id": "f"}]}'
)
BOXES = "image,xmin,ymin,xmax,ymax\nb.png,1,1,5,5\n"


@pytest.mark.parametrize(
    ("stated", "own", "file", "text", "looks"),
    [
        ("voc", {"a.xml": VOC}, "b.txt", BOX, "yolo"),
        ("yolo", {"a.txt": BOX}, "b.xml", VOC, "voc"),
        ("yolo", {"a.txt": BOX}, "labels/coco.json", COCO, "coco"),
        ("yolo", {"a.txt": BOX}, "boxes.csv", BOXES, "csv"),
        ("coco", {"c.json": COCO.replace("b.png", "a.png")}, "b.txt", BOX, "yolo"),
    ],
)
@pytest.mark.parametrize("unlabelled", ["no_fracture", "refuse"])
def test_a_film_whose_labels_are_in_another_format_is_no_negative(
    stated: str, own: dict[str, str], file: str, text: str, looks: str, unlabelled: str
) -> None:
    result = paired("a.png b.png c.png", {**own, file: text}, stated, unlabelled=unlabelled)
    ((film, problem),) = result.problems
    assert problem.sentence(film) == (
        f"b.png: expected {stated} labels, as `annotations` says, found {PurePosixPath(file).name!r}, which looks like "
        f"{looks}; bring all labels into one format, or take the others out"
    )
    assert problem.redacted().actual == f"labels that look like {looks}"
    assert result.elsewhere == {file: looks}


@pytest.mark.parametrize(
    ("stated", "content"),
    [
        ("voc", {"a.xml": VOC, "b.txt": ""}),  # empty: no fracture, as the film without a file has none
        ("voc", {"a.xml": VOC, "b.txt": "text"}),
        ("voc", {"a.xml": VOC, "a.txt": BOX}),  # the same film in two formats, of which one is stated
        ("voc_devkit", {"a.xml": VOC, "b.xml": "<annotation/>"}),
        ("yolo", {"a.txt": BOX, "c.json": COCO.replace("b.png", "a.png")}),
    ],
)
def test_labels_of_two_formats_that_agree_on_the_films_are_read_as_stated(stated: str, content: dict[str, str]) -> None:
    assert not paired("a.png b.png", content, stated, unlabelled="no_fracture").problems


def test_labels_in_another_format_without_a_film_are_named_as_such() -> None:
    result = paired("a.png b.png", {"a.xml": VOC, "lost.txt": BOX}, "voc", unlabelled="no_fracture")
    assert (result.problems, result.elsewhere) == ([], {"lost.txt": "yolo"})


@pytest.mark.parametrize(
    ("mask", "film"),
    [
        ("a_mask.png", "a.png"),
        ("masks/a.png", "images/a.jpg"),
        ("A-Seg.tif", "a.png"),
        ("films/a.label.png", "films/a.png"),
        ("labelsTr/a.png", "imagesTr/a_0000.png"),
        ("SegmentationObject/a.png", "JPEGImages/a.jpg"),
    ],
)
def test_a_mask_of_a_film_is_known_by_its_name(mask: str, film: str) -> None:
    assert masks_of([mask, film]) == {mask}
    assert masks_of([mask, "other.png"]) == set()
