"""Every annotation format against hand-worked values, another library, and files that are wrong in one place."""

import json
import re
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from globox import AnnotationSet, BoundingBox, BoxFormat
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image
from pycocotools import mask as coco_mask

from stages.common.data.geometry import fill_polygon
from stages.common.data.shapes import Shape
from stages.ingest.annotations.coco import read_coco
from stages.ingest.annotations.csv_table import read_csv
from stages.ingest.annotations.cvat import read_cvat
from stages.ingest.annotations.label_studio import read_label_studio
from stages.ingest.annotations.labelme import read_labelme
from stages.ingest.annotations.labels import FilmLabels, Labels, fit_to_film
from stages.ingest.annotations.mask import read_mask
from stages.ingest.annotations.rle import decode_counts, outline, unpack_counts
from stages.ingest.annotations.via import read_via
from stages.ingest.annotations.voc import read_voc
from stages.ingest.annotations.yolo import read_yolo
from stages.ingest.problems import Problem, Unreadable
from tests.helpers.paths import FRACATLAS, needs

TRIANGLE = [[1.0, 2.0], [9.0, 2.5], [4.0, 8.0]]


def js(content: Any) -> bytes:
    return json.dumps(content, indent=1).encode()


def all_problems(labels: Labels) -> list[Problem]:
    """Those of the file and those of single shapes."""
    return labels.problems + [problem for film in labels.films.values() for _, problem in film.problems]


def boxes(labels: Labels, film: str = "", width: int = 200, height: int = 400) -> list[list[float]]:
    shapes, problems, _ = fit_to_film(labels.films[film], width, height)
    assert not problems
    assert not all_problems(labels)
    return [shape.box.tolist() for shape in shapes]


# --- hand-worked values ---


def test_yolo() -> None:
    labels = read_yolo(b"0 0.5 0.25 0.2 0.1\n\n1 0.1 0.1 0.5 0.1 0.3 0.9\n")
    assert [shape.kind for shape in labels.films[""].shapes] == ["box", "polygon"]
    assert [(shape.label, shape.line) for shape in labels.films[""].shapes] == [("0", 1), ("1", 3)]
    np.testing.assert_allclose(boxes(labels), [[80, 80, 120, 120], [20, 40, 100, 360]])


VOC_BOX = "<object><name>f</name><bndbox><ymax>9</ymax><xmin>1</xmin>\n<ymin>2</ymin><xmax>5.5</xmax></bndbox></object>"


def voc(inside: str, size: str = "<size><width>200</width><height>400</height></size>") -> bytes:
    return f"<annotation>\n{size}\n{inside}\n</annotation>".encode()


def test_voc_counts_from_0_and_the_devkits_from_1() -> None:
    assert boxes(read_voc(voc(VOC_BOX))) == [[1, 2, 5.5, 9]]
    assert boxes(read_voc(voc(VOC_BOX), devkit=True)) == [[0, 1, 5.5, 9]]
    assert boxes(read_voc(voc(""))) == []
    corners = "".join(f"<x{i}>{x}</x{i}><y{i}>{y}</y{i}>" for i, (x, y) in enumerate(TRIANGLE, start=1))
    drawn = read_voc(voc(f"<object><name>f</name><polygon>{corners}</polygon></object>"))
    assert boxes(drawn) == [[1, 2, 9, 8]]
    assert drawn.films[""].shapes[0].kind == "polygon"


def coco(*annotations: dict[str, Any]) -> bytes:
    images = [{"id": 7, "file_name": "a.png", "width": 200, "height": 400}, {"id": 8, "file_name": "b.png"}]
    return js({"images": images, "annotations": list(annotations), "categories": [{"id": 1, "name": "f"}]})


def test_coco() -> None:
    flat = [value for point in TRIANGLE for value in point]
    drawn = {"image_id": 7, "category_id": 1, "segmentation": [flat, [11, 12, 13, 12, 12, 14]], "bbox": [0, 0, 1, 1]}
    labels = read_coco(coco(drawn, {"image_id": 7, "category_id": 1, "bbox": [10, 20, 30, 40]}))
    assert boxes(labels, "a.png") == [[1, 2, 13, 14], [10, 20, 40, 60]]
    assert boxes(labels, "b.png") == []
    assert [len(shape.rings) for shape in labels.films["a.png"].shapes] == [2, 1]
    assert [shape.line for shape in labels.films["a.png"].shapes] == [15, 43]


def studio(**changes: Any) -> dict[str, Any]:
    result = {
        "type": "rectanglelabels",
        "original_width": 200,
        "original_height": 400,
        "image_rotation": 0,
        "value": {"x": 10, "y": 25, "width": 50, "height": 10, "rotation": 0, "rectanglelabels": ["f"]},
    }
    task = {"data": {"image": "/data/upload/1/0123abcd-a.png"}, "annotations": [{"result": [result | changes]}]}
    task["annotations"].insert(0, {"was_cancelled": True, "result": []})  # type: ignore[attr-defined]
    return task


def test_label_studio() -> None:
    assert boxes(read_label_studio(js([studio()])), "0123abcd-a.png") == [[20, 100, 120, 140]]
    turned = {"x": 50, "y": 25, "width": 20, "height": 5, "rotation": 90, "rectanglelabels": ["f"]}
    # 40 x 20 pixels from (100, 100), turned clockwise about its left top corner: down 40, left 20
    np.testing.assert_allclose(
        boxes(read_label_studio(js([studio(value=turned)])), "0123abcd-a.png"), [[80, 100, 100, 140]]
    )
    points = {"points": [[0, 0], [50, 0], [0, 25]], "polygonlabels": ["f"]}
    drawn = read_label_studio(js([studio(type="polygonlabels", value=points)]))
    assert boxes(drawn, "0123abcd-a.png") == [[0, 0, 100, 100]]


def cvat(inside: str) -> bytes:
    image = '<image id="0" name="s/a.png" width="200" height="400">'
    return f"<annotations>\n{image}\n{inside}\n</image></annotations>".encode()


def test_cvat() -> None:
    box = '<box label="f" xtl="10" ytl="20" xbr="50" ybr="40"/>'
    turned = '<box label="f" xtl="10" ytl="20" xbr="50" ybr="40" rotation="90"/>'
    points = ";".join(f"{x},{y}" for x, y in TRIANGLE)
    mask = '<mask label="f" left="5" top="6" width="3" height="2" rle="1, 2, 1, 2"/>'
    labels = read_cvat(cvat(f'{box}{turned}<polygon label="f" points="{points}"/>{mask}'))
    # 40 x 20 about its centre (30, 30) becomes 20 x 40
    np.testing.assert_allclose(
        boxes(labels, "s/a.png"), [[10, 20, 50, 40], [20, 10, 40, 50], [1, 2, 9, 8], [6, 6, 8, 8]]
    )
    marked = fill_polygon(labels.films["s/a.png"].shapes[3].rings, (10, 10))
    np.testing.assert_array_equal(marked[6:8, 5:8], [[False, True, True], [False, True, True]])
    assert marked.sum() == 4


def test_labelme() -> None:
    shapes = [
        {"label": "f", "shape_type": "rectangle", "points": [[30, 40], [10, 20]]},
        {"label": "f", "shape_type": "polygon", "points": TRIANGLE},
    ]
    labels = read_labelme(js({"shapes": shapes, "imageWidth": 200, "imageHeight": 400}))
    assert boxes(labels) == [[10, 20, 30, 40], [1, 2, 9, 8]]


def via(**attributes: Any) -> dict[str, Any]:
    return {
        "a.png12": {"filename": "a.png", "regions": [{"shape_attributes": attributes, "region_attributes": {"c": "f"}}]}
    }


@pytest.mark.parametrize(
    ("annotations", "listed"),
    [
        ([], False),  # pending
        ([{"result": [], "was_cancelled": True}], False),  # skipped
        ([{"result": []}], True),  # submitted: no fracture
    ],
)
def test_only_a_submitted_label_studio_task_says_that_there_is_no_fracture(annotations: Any, listed: bool) -> None:
    task = studio() | {"annotations": annotations, "drafts": [{"result": []}], "predictions": [{"result": []}]}
    labels = read_label_studio(js([task]))
    assert bool(labels.films) == listed
    assert not all_problems(labels)


@pytest.mark.parametrize("kind", ["choices", "taxonomy", "textarea", "rating", "relation"])
def test_a_label_studio_task_with_statements_alone_is_no_negative(kind: str) -> None:
    """The choice "fracture" without a shape: where the fracture is, nobody has said."""
    statement = {"type": kind, "value": {kind: ["fracture"]}}
    alone = studio() | {"annotations": [{"result": [statement]}]}
    film = read_label_studio(js([alone])).films["0123abcd-a.png"]
    ((_, problem),) = film.problems
    assert problem.sentence("t.json") == (
        f"t.json, line 2: expected shapes, or an empty result where there is no fracture, found {kind} alone "
        "(task 0); draw the fracture, or submit the task without them"
    )
    beside = studio()
    beside["annotations"][-1]["result"].append(statement)
    assert boxes(read_label_studio(js([beside])), "0123abcd-a.png") == [[20, 100, 120, 140]]


def region(attributes: Any) -> Any:
    drawn = {"name": "rect", "x": 10, "y": 20, "width": 30, "height": 40}
    return js({"a": {"filename": "a", "regions": [{"shape_attributes": drawn, "region_attributes": attributes}]}})


@pytest.mark.parametrize(
    ("attributes", "label"),
    [
        ({"label": {"f": True}}, "f"),
        ({"label": {"metal": False, "f": True}}, "f"),
        ({"side": "left", "class": "f"}, "f"),
        ({}, ""),
    ],
)
def test_the_label_of_a_via_region(attributes: Any, label: str) -> None:
    (shape,) = read_via(region(attributes)).films["a"].shapes
    assert shape.label == label


@pytest.mark.parametrize(
    ("attributes", "why"),
    [
        ({"label": {"metal": True, "f": True}}, "a shape of 2 labels"),
        ({"label": {"f": False}}, "a shape of 0 labels"),
        ({"label": {}}, "a shape of 0 labels"),
        ({"side": "left", "finding": "f"}, "2 attributes, none of which is called label, class, name or type"),
        ("f", "a text where an object belongs"),
    ],
)
def test_a_via_region_without_one_label_is_refused(attributes: Any, why: str) -> None:
    film = read_via(region(attributes)).films["a"]
    ((_, problem),) = film.problems
    assert problem.actual.startswith(why)
    assert not film.shapes


def test_lines_never_cost_an_annotation() -> None:
    """A list of the same name that stands before the films' own is shorter than theirs."""
    images = [{"id": number, "file_name": f"{number}.png"} for number in range(3)]
    boxes_ = [{"image_id": number, "bbox": [1, 1, 5, 5]} for number in range(3)]
    for others in ([1], [1, 2, 3]):
        content = {"info": {"annotations": others, "images": []}, "images": images, "annotations": boxes_}
        films = read_coco(js(content)).films.values()
        text = js(content).decode().splitlines()
        assert [text[film.shapes[0].line].strip(" ,") for film in films] == [f'"image_id": {n}' for n in range(3)]


def test_coordinates_that_look_like_shares_are_no_pixels() -> None:
    shapes = read_labelme(js({"shapes": [{"label": "f", "points": [[0.1, 0.2], [0.5, 0.2], [0.4, 0.6]]}]})).films[""]
    _, (problem,), _ = fit_to_film(shapes, 200, 400)
    assert problem.expected == "coordinates in pixels"


def test_via() -> None:
    drawn = {"name": "polygon", "all_points_x": [1, 9, 4], "all_points_y": [2, 2.5, 8]}
    assert boxes(read_via(js(via(name="rect", x=10, y=20, width=30, height=40))), "a.png") == [[10, 20, 40, 60]]
    for content in (via(**drawn), {"_via_img_metadata": via(**drawn)}):
        labels = read_via(js(content))
        assert boxes(labels, "a.png") == [[1, 2, 9, 8]]
        assert labels.films["a.png"].shapes[0].label == "f"


def test_csv() -> None:
    head = "\ufefffilename,width,height,class,xmin,ymin,xmax,ymax"
    labels = read_csv(f"{head}\na.png,200,400,f,1,2,5.5,9\nb.png,,,,,,,\n".encode())
    assert boxes(labels, "a.png") == [[1, 2, 5.5, 9]]
    assert boxes(labels, "b.png") == []
    assert labels.films["a.png"].size == (200, 400)
    blanks = read_csv(b"filename,xmin,ymin,xmax,ymax,,\na.png,1,2,5.5,9,,\n")  # as spreadsheets export them
    assert boxes(blanks, "a.png") == [[1, 2, 5.5, 9]]


# --- another library ---


@given(st.lists(st.tuples(*[st.integers(0, 90)] * 2, *[st.integers(1, 90)] * 2), min_size=1, max_size=3))
def test_globox_reads_the_same_boxes(tmp_path_factory: pytest.TempPathFactory, drawn: list[tuple[int, ...]]) -> None:
    folder = tmp_path_factory.mktemp("globox")
    edges = [(x, y, x + w, y + h) for x, y, w, h in drawn]
    (folder / "coco.json").write_bytes(
        js(
            {
                "images": [{"id": 1, "file_name": "a.jpg", "width": 200, "height": 400}],
                "annotations": [
                    {"id": i, "image_id": 1, "category_id": 1, "bbox": list(box)} for i, box in enumerate(drawn)
                ],
                "categories": [{"id": 1, "name": "f"}],
            }
        )
    )
    cvat_boxes = "".join('<box label="f" xtl="{}" ytl="{}" xbr="{}" ybr="{}"/>'.format(*edge) for edge in edges)
    (folder / "cvat.xml").write_bytes(cvat(cvat_boxes))
    (folder / "voc").mkdir()
    corners = "<xmin>{}</xmin><ymin>{}</ymin><xmax>{}</xmax><ymax>{}</ymax>"
    objects = "".join(f"<object><name>f</name><bndbox>{corners.format(*e)}</bndbox></object>" for e in edges)
    size = "<size><width>200</width><height>400</height><depth>1</depth></size>"
    (folder / "voc/a.xml").write_bytes(voc("<filename>a.jpg</filename>" + objects, size))
    (folder / "labelme").mkdir()
    (folder / "labelme/a.json").write_bytes(
        js(
            {
                "imagePath": "a.jpg",
                "imageWidth": 200,
                "imageHeight": 400,
                "shapes": [{"label": "f", "shape_type": "rectangle", "points": [edge[:2], edge[2:]]} for edge in edges],
            }
        )
    )
    theirs = {
        "coco": AnnotationSet.from_coco(folder / "coco.json"),
        "cvat": AnnotationSet.from_cvat(folder / "cvat.xml"),
        "voc": AnnotationSet.from_pascal_voc(folder / "voc"),
        "labelme": AnnotationSet.from_labelme(folder / "labelme"),
    }
    ours = {
        "coco": read_coco((folder / "coco.json").read_bytes()),
        "cvat": read_cvat((folder / "cvat.xml").read_bytes()),
        "voc": read_voc((folder / "voc/a.xml").read_bytes()),
        "labelme": read_labelme((folder / "labelme/a.json").read_bytes()),
    }
    for name, labels in ours.items():
        (film,) = labels.films.values()
        (annotation,) = theirs[name]
        expected = [[box.xmin, box.ymin, box.xmax, box.ymax] for box in annotation.boxes]
        np.testing.assert_allclose([shape.box for shape in film.shapes], expected)


@given(st.lists(st.tuples(*[st.floats(0.01, 0.99)] * 4), min_size=1, max_size=4))
def test_globox_reads_the_same_yolo(drawn: list[tuple[float, ...]]) -> None:
    lines = ["0 " + " ".join(f"{value:.6f}" for value in box) for box in drawn]
    theirs = [
        BoundingBox.from_txt(line, box_format=BoxFormat.XYWH, relative=True, image_size=(200, 400)) for line in lines
    ]
    shapes = read_yolo("\n".join(lines).encode()).films[""].shapes
    for shape, box in zip(shapes, theirs, strict=True):
        np.testing.assert_allclose(
            shape.box * [200, 400, 200, 400], [box.xmin, box.ymin, box.xmax, box.ymax], atol=1e-9
        )


masks = st.tuples(st.integers(1, 12), st.integers(1, 12)).flatmap(lambda shape: arrays(bool, shape))


@given(masks)
def test_pycocotools_packs_and_unpacks_the_same_runs(mask: np.ndarray) -> None:
    packed = coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))
    runs = unpack_counts(packed["counts"].decode())
    np.testing.assert_array_equal(decode_counts(runs, mask.shape, order="F"), mask)


@given(masks)
def test_an_outline_filled_again_is_the_mask(mask: np.ndarray) -> None:
    rings = outline(mask)
    filled = fill_polygon(rings, mask.shape) if rings else np.zeros(mask.shape, bool)
    np.testing.assert_array_equal(filled, mask)


@pytest.mark.parametrize("packed", [True, False])
def test_coco_run_lengths_are_read(packed: bool) -> None:
    mask = np.zeros((40, 30), bool)
    mask[5:20, 3:9] = True
    mask[10:12, 5:7] = False
    runs = coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))["counts"].decode()
    counts = runs if packed else unpack_counts(runs)
    segmentation = {"size": [40, 30], "counts": counts}
    content = {"images": [{"id": 1, "file_name": "a"}], "annotations": [{"image_id": 1, "segmentation": segmentation}]}
    (shape,) = read_coco(js(content)).films["a"].shapes
    np.testing.assert_array_equal(fill_polygon(shape.rings, mask.shape), mask)


corners = st.tuples(st.integers(-3, 40), st.integers(-3, 30)).map(list)
polygons = st.lists(st.lists(corners, min_size=3, max_size=6), min_size=1, max_size=4)


@given(polygons)
def test_polygons_of_one_coco_annotation_are_their_union(drawn: list[list[list[int]]]) -> None:
    alone = [fill_polygon((np.array(polygon, dtype=float) + 3,), (40, 50)) for polygon in drawn]
    assume(all(mask.sum() > 1 for mask in alone))  # a polygon without a pixel's centre marks one all the same
    item = {"image_id": 7, "category_id": 1, "segmentation": [np.ravel(polygon).tolist() for polygon in drawn]}
    (shape,) = read_coco(coco(item)).films["a.png"].shapes
    moved = tuple(ring + 3 for ring in shape.rings)
    np.testing.assert_array_equal(fill_polygon(moved, (40, 50)), np.any(alone, axis=0))


@pytest.mark.filterwarnings("ignore:__array__ implementation")
@pytest.mark.parametrize(
    "second", [[], [10, 10, 24, 9, 26, 22, 11, 25], [20, 15, 40, 14, 38, 30], [14, 14, 18, 14, 16, 18]]
)
def test_polygons_of_one_coco_annotation_are_merged_as_pycocotools_does(second: list[float]) -> None:
    """The same polygon again, one that overlaps, and one within (no hole)."""
    drawn = [[10, 10, 24, 9, 26, 22, 11, 25], *([second] if second else [])]
    (shape,) = read_coco(coco({"image_id": 7, "category_id": 1, "segmentation": drawn})).films["a.png"].shapes
    theirs = coco_mask.decode(coco_mask.merge(coco_mask.frPyObjects(drawn, 400, 200))).astype(bool)
    ours = fill_polygon(shape.rings, (400, 200))
    assert ours.sum() > 200
    # pycocotools rounds an edge to the pixels that it touches
    assert (ours & theirs).sum() > 0.99 * ours.sum()
    assert (theirs & ~ours).sum() < 0.15 * ours.sum()


def test_polygons_of_one_coco_annotation_that_span_no_film_are_refused() -> None:
    far = [[0, 0, 1, 0, 1, 1], [1e8, 1e8, 2e8, 1e8, 2e8, 2e8]]
    ((_, problem),) = read_coco(coco({"image_id": 7, "category_id": 1, "segmentation": far})).films["a.png"].problems
    assert "span" in problem.actual


SWAPPED: list[tuple[Any, bytes, str]] = [
    (read_yolo, b"0 0.5 0.5 -0.2 0.1", ""),
    (read_voc, voc(VOC_BOX.replace(">1<", ">8<")), ""),
    (read_coco, coco({"image_id": 7, "category_id": 1, "bbox": [50, 60, -30, 20]}), "a.png"),
    (read_cvat, cvat('<box label="f" xtl="50" ytl="20" xbr="10" ybr="40"/>'), "s/a.png"),
    (read_cvat, cvat('<box label="f" xtl="50" ytl="20" xbr="10" ybr="40" rotation="30"/>'), "s/a.png"),
    (read_via, js(via(name="rect", x=50, y=20, width=30, height=-4)), "a.png"),
    (read_csv, b"filename,xmin,ymin,xmax,ymax\na.png,9,2,1,8\n", "a.png"),
    (
        read_label_studio,
        js([studio(value={"x": 50, "y": 25, "width": -20, "height": 10, "rectanglelabels": ["f"]})]),
        "0123abcd-a.png",
    ),
    (
        read_label_studio,
        js([studio(value={"x": 50, "y": 25, "width": -20, "height": 10, "rotation": 9, "rectanglelabels": ["f"]})]),
        "0123abcd-a.png",
    ),
]


@pytest.mark.parametrize(("read", "content", "film"), SWAPPED)
def test_swapped_corners_are_refused_in_every_format(
    read: Callable[[bytes], Labels], content: bytes, film: str
) -> None:
    labels = read(content)
    _, placed, _ = fit_to_film(labels.films[film], 200, 400)
    (problem,) = placed or all_problems(labels)
    assert "left before right" in problem.expected or "below 0" in problem.actual


# --- key points, and polygons that look like them ---

POSE = "0 0.5 0.5 0.4 0.4 0.4 0.4 2 0.6 0.6 1"


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        (POSE, "pose"),
        ("0 0.5 0.5 0.4 0.4 0.4 0.4 2.000000 0.6 0.6 1.000000", "pose"),
        ("0 0.5 0.5 0.4 0.4 0 0 0 0.6 0.6 1", "pose"),
        ("0 0.5 0.5 0.4 0.4 0.4 0.4 2", "pose"),  # one key point
        ("0 0.5 0.5 0.4 0.4 0.4 0.4 0.5 0.6 0.6 0.3", "polygon"),
        ("0 0 0 1 0 1 1 0 1", "polygon"),  # the whole film
        ("0 0.2 0.1 0.3 0.1 0 0.9 0 1 0.1 1", "polygon"),  # at two edges of the film
        ("0 0.5 0.5 0.2 0.1", "box"),
    ],
)
def test_key_points_with_visibility_are_no_polygons(line: str, kind: str) -> None:
    film = read_yolo(f"{line}\n".encode()).films[""]
    if kind == "pose":
        assert not film.shapes
        ((label, problem),) = film.problems
        assert (label, problem.line, "YOLO pose" in problem.actual) == ("0", 1, True)
    else:
        assert [shape.kind for shape in film.shapes] == [kind]
        assert not film.problems


@given(arrays(np.uint8, st.tuples(st.integers(1, 12), st.integers(1, 12)), elements=st.integers(0, 3)))
def test_the_shapes_of_a_mask_filled_again_are_the_mask(pixels: np.ndarray) -> None:
    buffer = BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    again = np.zeros_like(pixels)
    for shape in read_mask(buffer.getvalue()).films[""].shapes:
        again[fill_polygon(shape.rings, pixels.shape)] = int(shape.label)
    np.testing.assert_array_equal(again, pixels)


def test_a_mask_of_several_pictures_is_refused() -> None:
    buffer = BytesIO()
    page = Image.fromarray(np.ones((5, 5), np.uint8))
    page.save(buffer, "TIFF", save_all=True, append_images=[page])
    with pytest.raises(Unreadable):
        read_mask(buffer.getvalue())


# --- wrong in one fit_to_film, and told where ---

Read = Callable[[bytes], Labels]
BAD: list[tuple[str, Read, bytes, int, str]] = [
    ("yolo: three numbers", read_yolo, b"0 0.5 0.5 0.1 0.1\n0 0.5 0.5 0.1", 2, "0 0.5 0.5 0.1"),
    ("yolo: words", read_yolo, b"0 a b c d", 1, "a b c d"),
    ("yolo: not finite", read_yolo, b"0 nan 0.5 0.1 0.1", 1, "nan"),
    ("yolo: a class that is none", read_yolo, b"f 0.5 0.5 0.1 0.1", 1, "f 0.5"),
    ("voc: a missing corner", read_voc, voc("<object><bndbox><xmin>1</xmin></bndbox></object>"), 3, "''"),
    ("voc: not finite", read_voc, voc(VOC_BOX.replace("9", "inf")), 3, "inf"),
    ("voc: no box", read_voc, voc("<object><name>f</name></object>"), 3, "neither"),
    ("cvat: a line", read_cvat, cvat('<polyline label="f" points="1,2;3,4"/>'), 3, "polyline"),
    ("cvat: two points", read_cvat, cvat('<polygon label="f" points="1,2;3,4"/>'), 3, "2"),
    ("cvat: a mask too long", read_cvat, cvat('<mask left="0" top="0" width="2" height="2" rle="9"/>'), 3, "add up"),
    (
        "cvat: a mask of runs beyond all",
        read_cvat,
        cvat('<mask left="0" top="0" width="2" height="2" rle="1e300,1"/>'),
        3,
        "add up",
    ),
    ("coco: another image", read_coco, coco({"image_id": 9, "category_id": 1, "bbox": [1, 2, 3, 4]}), 15, "image_id 9"),
    (
        "coco: another category",
        read_coco,
        coco({"image_id": 7, "category_id": 2, "bbox": [1, 2, 3, 4]}),
        15,
        "category_id 2",
    ),
    (
        "coco: three numbers",
        read_coco,
        coco({"image_id": 7, "category_id": 1, "bbox": [1, 2, 3]}),
        15,
        "3 values where bbox has 4",
    ),
    ("coco: a text", read_coco, coco({"image_id": 7, "category_id": 1, "bbox": [1, 2, 3, "4"]}), 15, "'4'"),
    (
        "coco: two points",
        read_coco,
        coco({"image_id": 7, "category_id": 1, "segmentation": [[1, 2, 3, 4]]}),
        15,
        "2 points",
    ),
    (
        "labelme: a circle",
        read_labelme,
        js({"shapes": [{"label": "f", "shape_type": "circle", "points": []}]}),
        3,
        "circle",
    ),
    (
        "via: an open line",
        read_via,
        js(via(name="polyline", all_points_x=[1, 3, 5], all_points_y=[2, 4, 9])),
        2,
        "polyline",
    ),
    ("via: no regions", read_via, js({"a": {"filename": "a", "regions": None}}), 2, "null as the regions"),
    ("via: an ellipse", read_via, js(via(name="ellipse", cx=1)), 2, "ellipse"),
    (
        "studio: two labels",
        read_label_studio,
        js([studio(value={"x": 10, "y": 25, "width": 50, "height": 10, "rectanglelabels": ["f", "g"]})]),
        2,
        "2 labels",
    ),
    (
        "voc: a gap",
        read_voc,
        voc(
            "<object><polygon>"
            + "".join(f"<x{n}>{n}</x{n}><y{n}>{n * n}</y{n}>" for n in (1, 2, 3, 5))
            + "</polygon></object>"
        ),
        3,
        "gaps",
    ),
    ("studio: a brush", read_label_studio, js([studio(type="brushlabels")]), 2, "brushlabels"),
    ("studio: a turned image", read_label_studio, js([studio(image_rotation=90)]), 2, "rotated image"),
    ("csv: too few cells", read_csv, b"image,xmin,ymin,xmax,ymax\na\n", 2, "fewer or more"),
    ("csv: too many cells", read_csv, b"image,xmin,ymin,xmax,ymax\na,1,2,3,4,5\n", 2, "fewer or more"),
    ("csv: a word", read_csv, b"image,xmin,ymin,xmax,ymax\na,1,2,3,wide\n", 2, "wide"),
]


@pytest.mark.parametrize(("read", "content", "line", "why"), [b[1:] for b in BAD], ids=[b[0] for b in BAD])
def test_what_is_wrong_is_named_with_its_line(read: Read, content: bytes, line: int, why: str) -> None:
    (problem,) = all_problems(read(content))
    assert problem.line == line
    assert why in problem.actual
    assert problem.sentence("f.x").startswith(f"f.x, line {line}: expected ")
    assert why not in problem.redacted().sentence("f.x")


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    ("read", "content"),
    [
        (read_cvat, cvat('<mask left="1e300" top="0" width="2" height="2" rle="1,3"/>')),
        (read_coco, coco({"image_id": 7, "category_id": 1, "segmentation": [[1, 1, 1e300, 1, 5, 5], [1] * 6]})),
        (read_coco, coco({"image_id": 7, "category_id": 1, "segmentation": [[1, 1, 1e300, 1, 5, 5]]})),
    ],
    ids=["mask", "two polygons", "polygon"],
)
def test_coordinates_beyond_all_are_named_without_a_warning(read: Read, content: bytes) -> None:
    labels = read(content)
    assert all_problems(labels) or any(fit_to_film(film, 100, 80)[1] for film in labels.films.values())


def test_a_film_or_id_that_is_listed_twice_is_named() -> None:
    images = [{"id": 1, "file_name": "a"}, {"id": 1, "file_name": "b"}, {"id": 2, "file_name": "a"}]
    first, second = read_coco(js({"images": images, "annotations": []})).problems
    assert (first.line, first.actual) == (7, "id 1 a second time")
    assert (second.line, second.actual) == (11, "a a second time")
    films = read_coco(js({"images": images[:2], "annotations": [{"image_id": 1, "bbox": [1, 1, 5, 5]}]})).films
    assert all(film.problems for film in films.values())  # whose box it is, nobody knows
    image = '<image name="a" width="1" height="1"/>'
    assert read_cvat(f"<annotations>\n{image}\n{image}</annotations>".encode()).problems[0].line == 3
    assert read_label_studio(js([studio(), studio()])).problems


BOMB = b'<!DOCTYPE a [<!ENTITY b "c"><!ENTITY d "&b;&b;">]><annotation>&d;</annotation>'


@pytest.mark.parametrize(
    ("read", "content", "why"),
    [
        (read_voc, BOMB, "a document type with entities"),
        (read_cvat, BOMB.replace(b"annotation>", b"annotations>"), "a document type with entities"),
        (read_voc, voc(VOC_BOX)[:-4], "no well-formed XML (a tag that is cut off, column 1)"),
        (read_voc, b"<html/>", "a root element <html>"),
        (read_voc, b"", "no well-formed XML (no whole element"),
        (read_cvat, b"<annotations><track/></annotations>", "the tracks of a video"),
        (read_voc, b'<?xml version="1.0" encoding="klingon"?><annotation/>', "XML in an encoding that cannot be read"),
        (read_coco, b"{", "no JSON (it ends early, or breaks the rules in column 2)"),
        (read_coco, b"[]", "a list where an object belongs"),
        (read_coco, b'{"images": []}', "no 'annotations'"),
        (read_coco, b"[" * 100_000, "JSON that is nested too deeply"),
        (read_label_studio, b"{}", "an object"),
        (read_labelme, b'{"shapes": null}', "null where a list belongs"),
        (read_labelme, b"{}", "no 'shapes'"),
        (read_via, b"[]", "a list where an object belongs"),
        (read_via, b'{"a": 1}', "a number where an object belongs"),
        (read_yolo, b"\xff\xfe", "another encoding (byte 1 is none of UTF-8)"),
        (read_csv, b'image,xmin,ymin,xmax,ymax\n"a,1,2,3,4\n', "a quote or line break out of place"),
        (read_voc, b"<annotation>\n</object>", "no well-formed XML (the end of another element, column 3)"),
        (read_voc, b"<annotation>\n&a;</annotation>", "no well-formed XML (it breaks the rules, column 1)"),
        (read_csv, b"a,b\n", "the columns a, b"),
        (read_csv, b"\xff", "another encoding"),
        (read_csv, b"", "the columns none"),
        (read_csv, b"image,xmin,xmin,ymin,xmax,ymax\n", "'xmin' twice"),
        (read_coco, b'{"images": [], "annotations": [1], "annotations": []}', "the key 'annotations' twice"),
        (read_labelme, b'{"shapes": [], "shapes": []}', "the key 'shapes' twice"),
    ],
)
def test_what_is_no_file_of_its_format_is_refused(read: Read, content: bytes, why: str) -> None:
    with pytest.raises(Unreadable) as refused:
        read(content)
    assert refused.value.problem.actual.startswith(why)


def foreign(value: Any) -> list[Any]:
    """A value with each of its parts in turn replaced by one that belongs nowhere."""
    wrong: list[Any] = [None, 7, 1e300, "x", [], {}, [[]], [1, 2, 3], True]
    parts = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    made = list(wrong)
    for key, part in parts:
        for other in foreign(part):
            again = value.copy()
            again[key] = other
            made.append(again)
    return made


PARTS: list[tuple[Read, Any]] = [
    (read_coco, json.loads(coco({"image_id": 7, "category_id": 1, "bbox": [1, 2, 3, 4]}))),
    (read_coco, json.loads(coco({"image_id": 7, "category_id": 1, "segmentation": [[1, 2, 3, 4, 5, 9]]}))),
    (read_coco, json.loads(coco({"image_id": 7, "category_id": 1, "segmentation": {"size": [9, 9], "counts": [81]}}))),
    (read_label_studio, [studio()]),
    (read_labelme, {"shapes": [{"label": "f", "shape_type": "rectangle", "points": [[30, 40], [10, 20]]}]}),
    (read_labelme, {"shapes": [{"label": "f", "shape_type": "polygon", "points": TRIANGLE}]}),
    (read_via, via(name="rect", x=10, y=20, width=30, height=40)),
    (read_via, via(name="polygon", all_points_x=[1, 9, 4], all_points_y=[2, 2.5, 8])),
]
# As Python and NumPy speak of their own types and calls.
PYTHONS = re.compile(
    r"Error|object|NoneType|\(\)|argument|unpack|attribute '|subscript|iterable|hashable|indices|index |__"
    r"|literal|could not|cannot convert|\bdict\b|\bstr\b|\bint\b|\bfloat\b|got |takes"
)


@pytest.mark.parametrize(("read", "content"), PARTS, ids=[f"{n}-{read.__name__}" for n, (read, _) in enumerate(PARTS)])
def test_what_is_wrong_with_json_is_said_in_words_of_ours(read: Read, content: Any) -> None:
    """Python's own would be of its types, which no user has written."""
    said: list[str] = []
    for odd in foreign(content):
        try:
            problems = all_problems(read(js(odd)))
        except Unreadable as error:
            problems = [error.problem]
        said += [problem.actual for problem in problems]
    assert len(said) > 20
    allowed = "where an object belongs"
    assert [words for words in said if PYTHONS.search(words.replace(allowed, "").replace("an object", ""))] == []


readers = st.sampled_from(
    [read_yolo, read_voc, read_cvat, read_coco, read_label_studio, read_labelme, read_via, read_csv, read_mask]
)
json_like = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(
                [
                    "images",
                    "annotations",
                    "id",
                    "file_name",
                    "bbox",
                    "segmentation",
                    "counts",
                    "size",
                    "image_id",
                    "category_id",
                    "categories",
                    "name",
                    "shapes",
                    "points",
                    "label",
                    "shape_type",
                    "regions",
                    "filename",
                    "shape_attributes",
                    "result",
                    "data",
                    "image",
                    "value",
                    "type",
                    "original_width",
                    "original_height",
                    "width",
                ]
            ),
            inner,
            max_size=5,
        )
    ),
    max_leaves=25,
)


@given(readers, st.binary(max_size=300) | json_like.map(lambda value: json.dumps(value).encode()))
def test_anything_is_read_or_refused(read: Read, content: bytes) -> None:
    try:
        labels = read(content)
    except Unreadable:
        return
    for film in labels.films.values():
        shapes, problems, _ = fit_to_film(film, 100, 80)
        assert problems or all((shape.box >= 0).all() and (shape.box[2:] <= [100, 80]).all() for shape in shapes)


# --- placing on the film ---


def labelled(*shapes: Shape, **facts: Any) -> FilmLabels:
    return FilmLabels(list(shapes), **facts)


def test_half_a_pixel_outside_is_rounding_and_more_is_wrong() -> None:
    from stages.common.data.shapes import box_shape

    near, far = box_shape(-0.4, 0, 100.4, 80, line=3), box_shape(0, 0, 101, 80, line=4)
    (kept,), problems, _ = fit_to_film(labelled(near), 100, 80)
    assert kept.box.tolist() == [0, 0, 100, 80]
    assert not problems
    for shape, expected in (
        (far, "inside the film of 100 x 80"),
        (box_shape(5, 5, 5, 9), "an area"),
        (box_shape(float("nan"), 0, 1, 1), "finite"),
    ):
        (problem,) = fit_to_film(labelled(shape), 100, 80)[1]
        assert expected in problem.expected


@pytest.mark.parametrize("orientation", range(5, 9))
def test_labels_of_the_unturned_picture_turn_with_it(orientation: int) -> None:
    from io import BytesIO

    from PIL import Image

    from stages.common.data.shapes import box_shape
    from stages.ingest.pictures import decode_picture

    stored = np.zeros((40, 60), np.uint8)
    stored[10:15, 20:32] = 200
    exif, buffer = Image.Exif(), BytesIO()
    exif[0x0112] = orientation
    Image.fromarray(stored).save(buffer, "PNG", exif=exif)
    picture = decode_picture(buffer.getvalue(), 64)
    pixels = picture.pixels
    drawn = labelled(box_shape(20, 10, 32, 15), size=(60, 40))
    (shape,), problems, notes = fit_to_film(drawn, pixels.shape[1], pixels.shape[0], picture.orientation)
    assert not problems
    assert "unturned" in notes[0]
    left, top, right, bottom = shape.box.astype(int)
    assert (pixels[top:bottom, left:right] == 200).all()
    assert (pixels == 200).sum() == (right - left) * (bottom - top)


def test_labels_of_the_turned_picture_stay_and_unknown_frames_are_told() -> None:
    from stages.common.data.shapes import box_shape

    box = box_shape(1, 2, 3, 4)
    assert fit_to_film(labelled(box, size=(40, 60)), 40, 60, 6)[2] == []
    assert "nothing says in which frame" in fit_to_film(labelled(box), 40, 60, 6)[2][0]
    assert "nothing says" in fit_to_film(labelled(box, size=(40, 60)), 40, 60, 3)[2][0]
    (problem,) = fit_to_film(labelled(box, size=(80, 120)), 40, 60)[1]
    assert problem.actual == "labels of one of 80 x 120"


@needs(FRACATLAS)
def test_four_readings_of_the_same_real_fractures() -> None:
    """The table in docs/explanation/ingest.md, measured again."""
    folder = FRACATLAS
    coco_ = read_coco((folder / "coco.json").read_bytes()).films
    via_ = read_via((folder / "via.json").read_bytes()).films
    assert sum(len(film.shapes) for film in coco_.values()) == 192
    lost = []
    for name, film in coco_.items():
        stem, (width, height) = Path(name).stem, film.size or (0, 0)
        readings = {
            "voc": read_voc((folder / f"voc/{stem}.xml").read_bytes()).films[""],
            "yolo": read_yolo((folder / f"yolo/{stem}.txt").read_bytes()).films[""],
            "via": via_[name],
        }
        truth = np.array([shape.box for shape in film.shapes])
        for format_, reading in readings.items():
            shapes, problems, _ = fit_to_film(reading, int(width), int(height))
            assert not problems
            if len(shapes) != len(truth):
                lost.append((format_, stem))
                continue
            boxes_read = np.array([shape.box for shape in shapes])
            apart = np.abs(boxes_read[:, None] - truth[None]).max(axis=2).min(axis=1).max()
            # VOC cuts to whole pixels, YOLO rounds to four decimals of the side, VIA is the same polygon.
            limit = {"voc": 1.2, "yolo": 1.1e-4 * max(width, height), "via": 1e-6}[format_]
            assert apart < limit, (format_, stem)
    assert lost == [("via", "IMG0000851")]
