import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages.common.errors import Fault
from stages.ingest.boxes import read_coco, read_voc, read_yolo
from tests.conftest import SHARED


def test_yolo_centre_and_size_become_corners() -> None:
    found = read_yolo("0 0.5 0.25 0.2 0.1\n\n1 0.1 0.1 0.2 0.2\n", 200, 400, "a.txt")
    np.testing.assert_allclose(found, [[80, 80, 120, 120], [0, 0, 40, 80]])


def test_a_yolo_polygon_gives_its_bounding_box() -> None:
    np.testing.assert_allclose(read_yolo("0 0.1 0.2 0.5 0.9 0.3 0.4", 100, 10, "a"), [[10, 2, 50, 9]])


@pytest.mark.parametrize("line", ["0 0.5 0.5 0.1", "0 a b c d", "0 nan 0.5 0.1 0.1", "0 0.1 0.2 0.3 0.4 0.5", "0"])
def test_what_is_no_yolo_line_is_named(line: str) -> None:
    with pytest.raises(Fault, match=r"a\.txt, line 2"):
        read_yolo(f"0 0.5 0.5 0.1 0.1\n{line}", 10, 10, "a.txt")


corner = st.floats(0, 1, allow_nan=False)


@given(st.lists(st.tuples(corner, corner, corner, corner), max_size=4), st.integers(1, 4000), st.integers(1, 4000))
def test_yolo_round_trip(boxes: list[tuple[float, float, float, float]], width: int, height: int) -> None:
    scale = np.array([width, height, width, height])
    edges = [np.array([min(a, c), min(b, d), max(a, c), max(b, d)]) for a, b, c, d in boxes]
    lines = [
        f"0 {(x0 + x1) / 2!r} {(y0 + y1) / 2!r} {x1 - x0!r} {y1 - y0!r}"
        for x0, y0, x1, y1 in map(np.ndarray.tolist, edges)
    ]
    found = read_yolo("\n".join(lines), width, height, "a")
    np.testing.assert_allclose(
        found, np.array([e * scale for e in edges]).reshape(-1, 4), atol=1e-9 * max(width, height)
    )


def voc(boxes: str, size: str = "<size><width>30</width><height>40</height></size>") -> bytes:
    return f"<annotation>{size}{boxes}</annotation>".encode()


BOX = "<object><bndbox><ymax>9</ymax><xmin>1</xmin><ymin>2</ymin><xmax>5.5</xmax></bndbox></object>"


def test_voc_corners_are_taken_as_they_are() -> None:
    np.testing.assert_allclose(read_voc(voc(BOX * 2), 30, 40, "a"), [[1, 2, 5.5, 9]] * 2)
    assert read_voc(voc(""), 30, 40, "a").shape == (0, 4)


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (voc(BOX)[:-4], "expected PASCAL VOC XML"),
        (voc("<object><bndbox><xmin>1</xmin></bndbox></object>"), "nothing in <ymin>"),
        (voc(BOX.replace("9", "inf")), "inf in <ymax>"),
        (b'<!DOCTYPE a [<!ENTITY b "c">]><annotation>&b;</annotation>', "Entities"),
        (voc(BOX, "<size><width>60</width><height>80</height></size>"), "60 x 80"),
    ],
)
def test_bad_voc_is_refused(content: bytes, found: str) -> None:
    with pytest.raises(Fault, match=found):
        read_voc(content, 30, 40, "a.xml")


@pytest.mark.parametrize(
    "content",
    ["{", "[]", '{"images": []}', '{"images": [], "annotations": [{"image_id": 1, "bbox": [1, 2, 3, 4]}]}',
     '{"images": [{"id": 1, "file_name": "a"}], "annotations": [{"image_id": 1, "bbox": [1, 2]}]}'],
)  # fmt: skip
def test_bad_coco_is_refused(content: str, tmp_path: Path) -> None:
    (tmp_path / "c.json").write_text(content)
    with pytest.raises(Fault, match=r"c\.json.*expected COCO"):
        read_coco(tmp_path / "c.json")


@pytest.mark.skipif(not SHARED.exists(), reason="real films are not at hand")
def test_three_formats_of_the_same_real_fractures_agree() -> None:
    folder = SHARED / "fracatlas-wrist"
    coco = read_coco(folder / "coco.json")
    sizes = {
        i["file_name"]: (i["width"], i["height"]) for i in json.loads((folder / "coco.json").read_text())["images"]
    }
    assert sum(map(len, coco.values())) == 192
    for name, boxes in coco.items():
        stem, (width, height) = Path(name).stem, sizes[name]
        in_voc = read_voc((folder / f"voc/{stem}.xml").read_bytes(), width, height, stem)
        in_yolo = read_yolo((folder / f"yolo/{stem}.txt").read_text(), width, height, stem)
        boxes, in_voc, in_yolo = (b[b[:, 0].argsort()] for b in (boxes, in_voc, in_yolo))
        # VOC cuts corner and size to whole pixels each, YOLO rounds to four decimals of the side.
        assert np.abs(in_voc - boxes).max() < 2
        assert np.abs(in_yolo - boxes).max() <= 2e-4 * max(width, height)
