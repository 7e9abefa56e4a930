"""The stage as a whole on pictures: folders and archives in every format, stop and quarantine."""

import errno
import json
import os
import re
import shutil
import unicodedata
from collections.abc import Callable
from concurrent.futures import Executor
from io import BytesIO
from itertools import pairwise
from os.path import normpath
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from pydantic import ValidationError

from stages.common.core.errors import UserError, describe_os_error
from stages.common.data.geometry import fill_polygon
from stages.common.data.layout import QUALITY, RAW, WITHDRAWN_PINS
from stages.common.data.shapes import read_points
from stages.common.data.tables import ANNOTATIONS, FILES, MANIFEST, QUARANTINE
from stages.ingest.annotations.pairing import class_names, pair
from stages.ingest.dicom.pseudonyms import PUBLIC
from stages.ingest.main import main, plan_sources, write_tables
from stages.ingest.params import AnnotatedSource, Kaggle, Params, RemoteFile, Sample, Url
from stages.ingest.problems import Unreadable
from stages.ingest.process_film import process_film
from stages.ingest.sources.film_tables import table_rows
from stages.ingest.types import image_id
from tests.helpers.files import tree_hash
from tests.helpers.hospital import bring
from tests.helpers.params import merge, read_yaml
from tests.helpers.paths import ROOT


def settings(annotations: str = "coco", entry: dict[str, Any] | None = None, **changes: Any) -> Params:
    """The section `ingest` for the folder `in`."""
    source = {"source": "folder", "annotations": annotations} | (entry or {})
    base = read_yaml(ROOT / "params.yaml")["ingest"] | {"sources": [source], "inbox": "in"}
    return Params.model_validate(merge(base, changes))


def folder(annotations: str, **entry: Any) -> Params:
    return settings(annotations, entry)


def png(seed: int = 0, width: int = 40, height: int = 30, **options: Any) -> bytes:
    buffer = BytesIO()
    pixels = np.random.default_rng(seed).integers(0, 65535, (height, width), dtype=np.uint16)
    Image.fromarray(pixels).save(buffer, "PNG", **options)
    return buffer.getvalue()


@pytest.fixture
def inbox(here: Path) -> Path:
    (here / "in").mkdir()
    return here / "in"


def put(inbox: Path, **files: bytes | str) -> None:
    for name, content in files.items():
        path = inbox / name.replace("__", "/").replace("_dot_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)


def error_of(params: Params) -> str:
    """What ingest says as it refuses."""
    with pytest.raises(UserError) as fault:
        main(params)
    return str(fault.value)


def manifest() -> pd.DataFrame:
    return MANIFEST.read(RAW).set_index("image_id")


BOX = "<bndbox><xmin>10</xmin><ymin>6</ymin><xmax>30</xmax><ymax>18</ymax></bndbox>"
FORMATS: dict[str, tuple[str, str]] = {
    "yolo": ("labels__a_dot_txt", "0 0.5 0.4 0.5 0.4"),
    "voc": ("labels__a_dot_xml", f"<annotation><object><name>f</name>{BOX}</object></annotation>"),
    "voc_devkit": (
        "labels__a_dot_xml",
        f"<annotation><object>{BOX.replace('>10<', '>11<').replace('>6<', '>7<')}</object></annotation>",
    ),
    "labelme": ("a_dot_json", '{"shapes": [{"label": "f", "shape_type": "rectangle", "points": [[10, 6], [30, 18]]}]}'),
    "coco": (
        "coco_dot_json",
        '{"images": [{"id": 1, "file_name": "a.png"}], "annotations": [{"image_id": 1, "bbox": [10, 6, 20, 12]}]}',
    ),
    "label_studio": (
        "studio_dot_json",
        '[{"data": {"image": "s3://x/a.png"}, "annotations": [{"result": [{"type": "rectanglelabels",'
        ' "original_width": 40, "original_height": 30,'
        ' "value": {"x": 25, "y": 20, "width": 50, "height": 40, "rectanglelabels": ["f"]}}]}]}]',
    ),
    "cvat": (
        "cvat_dot_xml",
        '<annotations><image name="a.png" width="40" height="30"><box label="f" xtl="10" ytl="6" xbr="30" ybr="18"/>'
        "</image></annotations>",
    ),
    "via": (
        "via_dot_json",
        '{"a": {"filename": "a.png", "regions": [{"shape_attributes": {"name": "rect", "x": 10, "y": 6, "width": 20, '
        '"height": 12}, "region_attributes": {}}]}}',
    ),
    "csv": ("boxes_dot_csv", "filename,xmin,ymin,xmax,ymax\na.png,10,6,30,18\n"),
}


@pytest.mark.parametrize("format_", FORMATS)
def test_a_local_folder_is_read_in_every_format(format_: str, inbox: Path) -> None:
    name, content = FORMATS[format_]
    put(inbox, films__a_dot_png=png(1), films__b_dot_png=png(2), **{name: content})
    put(inbox, patients_dot_csv="filename,group,split\na.png,g1,train\nb.png,g1,test\n")
    main(folder(format_, licence="CC BY 4.0"))
    films, shapes = manifest(), ANNOTATIONS.read(RAW)
    np.testing.assert_allclose(read_points(shapes["points"][0])[0], [[10, 6], [30, 18]])
    assert list(shapes["image_id"]) == ["a"]
    assert shapes["line"][0] >= 1
    assert list(films["fractures"]) == [1, 0]
    assert len(set(films["patient_id"])) == 1
    assert list(films["split"]) == ["train", "test"]
    assert (films["bits"] == 16).all()
    assert set(films["licence"]) == {"CC BY 4.0"}
    assert "group" in Path("reports/data_quality.md").read_text(), "the given split leaks, and is told"


def test_all_faults_are_told_and_the_old_output_stays(inbox: Path) -> None:
    put(inbox, x_dot_png=png(), x_dot_txt="")
    main(folder("yolo"))
    before = tree_hash(Path("data/raw")), Path("reports/data_quality.md").read_text()
    put(inbox, cut_dot_png=png(1)[:60], wild_dot_png=png(2), wild_dot_txt="\n0 0.9 0.5 0.5 0.5", bad_dot_png=png(3))
    put(inbox, bad_dot_txt="0 1 2", text_dot_png="no picture", lost_dot_txt="0 0.5 0.5 0.1 0.1")
    reasons = error_of(folder("yolo"))
    assert "(5)" in reasons
    for part in (
        "cut.png: expected a whole grey PNG", "wild.txt, line 2: expected a box inside the film of 40 x 30",
        "bad.txt, line 1: expected `class cx cy w h`", "text.png: expected a whole grey PNG",
        "lost.txt: expected a film of the same name, found none",
    ):  # fmt: skip
        assert part in reasons
    assert (tree_hash(Path("data/raw")), Path("reports/data_quality.md").read_text()) == before
    assert [p.name for p in Path("data").iterdir()] == ["raw"]


def test_quarantine_takes_the_rest(inbox: Path) -> None:
    put(inbox, good_dot_png=png(1), cut_dot_png=png(2)[:60], tiny_dot_png=png(3, 1, 1), text_dot_png="no picture")
    output = main(settings("none", on_error="quarantine"))
    assert output.startswith("1 films of 1 patients, 0 fractures, 3 files refused")
    table = QUARANTINE.read(RAW).set_index("file")
    assert set(table.index) == {"cut.png", "tiny.png", "text.png"}
    assert "1 x 1 pixels" in table.loc["tiny.png", "reason"]
    assert sorted(p.name for p in Path("data/raw/images").iterdir()) == ["good.png"]
    assert (inbox / "cut.png").exists()
    (inbox / "good.png").unlink()
    with pytest.raises(UserError, match="no film could be used"):
        main(settings("none", on_error="quarantine"))


def test_refusals_are_the_same_bytes_again(inbox: Path) -> None:
    put(
        inbox, good_dot_png=png(1), good_dot_txt="0 0.5 0.5 0.1 0.1", cut_dot_png=png(2)[:60], text_dot_png="no picture"
    )
    put(inbox, empty_dot_png=b"", bad_dot_png=png(3), bad_dot_txt="0 a b c d", lost_dot_txt="0 0.5 0.5 0.1 0.1")
    for suffix, content in (("jpg", b"\xff\xd8\xff\xe0junk"), ("tif", b"II*\x00junk"), ("jpeg", b"\xff\xd8")):
        put(inbox, **{f"odd_{suffix}_dot_{suffix}": content})
    texts = []
    for _ in range(2):
        output = main(settings("yolo", on_error="quarantine"))
        texts.append(QUARANTINE.read(RAW).to_csv() + Path("reports/data_quality.md").read_text())
    assert "8 files refused" in output
    assert texts[0] == texts[1]
    assert "0x" not in texts[0]


def test_a_film_whose_labels_or_patient_cannot_be_told_is_not_taken_by_quarantine(inbox: Path) -> None:
    put(inbox, a_dot_png=png(1), p__a_dot_txt="0 0.5 0.5 0.1 0.1", q__a_dot_txt="")
    put(inbox, b_dot_png=png(2), b_dot_txt="", c_dot_png=png(3), c_dot_txt="")
    put(inbox, one_dot_csv="image_id,patient_id\nb,1\nc,2\n", two_dot_csv="image_id,patient_id\nb,1\nc,3\n")
    assert main(settings("yolo", on_error="quarantine")).startswith(
        "1 films of 1 patients, 0 fractures, 2 files refused"
    )
    assert list(manifest().index) == ["b"]
    assert set(QUARANTINE.read(RAW)["file"]) == {"a.png", "c.png"}


def test_labels_of_missing_films_and_films_listed_twice_are_named(inbox: Path) -> None:
    put(inbox, p__a_dot_png=png(1), q__a_dot_png=png(2), c_dot_png=png(3))
    put(inbox, boxes_dot_csv="filename,xmin,ymin,xmax,ymax\na.png,1,1,9,9\nz.png,1,1,9,9\nq/a.png,1,1,9,9\nc,1,1,9,9\n")
    put(inbox, more_dot_csv="filename,xmin,ymin,xmax,ymax\nc.png,1,1,9,9\n")
    reasons = error_of(folder("csv"))
    for part in (
        "boxes.csv, line 2: expected a name of one film, found 'a.png', which 2 have",
        "boxes.csv, line 3: labels refer to missing image 'z.png'",
        "p/a.png: expected a name of one film, found 'a.png', which 2 have",
        "q/a.png: expected a name of one film, found 'a.png', which 2 have",
        "more.csv, line 2: expected every film once, found 'c.png' a second time",
    ):
        assert part in reasons


@pytest.mark.parametrize("second", ["a.png", "./a.png"])
def test_a_film_that_is_listed_twice_is_not_taken_by_quarantine(second: str, inbox: Path) -> None:
    """COCO's other files list each film without any label: the first file by name would make it free of fractures."""
    listed = {"images": [{"id": 1, "file_name": "a.png"}, {"id": 2, "file_name": "b.png"}], "annotations": []}
    put(inbox, a_dot_png=png(1), b_dot_png=png(2), image_info_dot_json=json.dumps(listed))
    box = {"images": [{"id": 1, "file_name": second}], "annotations": [{"image_id": 1, "bbox": [10, 6, 20, 12]}]}
    put(inbox, instances_dot_json=json.dumps(box))
    main(settings("coco", on_error="quarantine"))
    assert list(MANIFEST.read(RAW)["image_id"]) == ["b"]
    (inbox / "instances.json").unlink()
    listed["images"].append({"id": 3, "file_name": "a.png"})
    put(inbox, image_info_dot_json=json.dumps(listed))
    main(settings("coco", on_error="quarantine"))
    assert list(MANIFEST.read(RAW)["image_id"]) == ["b"]


def test_label_files_are_found_beside_their_film(inbox: Path) -> None:
    for side in ("train", "valid"):
        put(inbox, **{f"{side}__images__a_dot_png": png(), f"{side}__labels__a_dot_txt": "", "README_dot_txt": "hello"})
    from stages.ingest.file_access import Folder

    (entry,) = folder("yolo").sources
    assert isinstance(entry, AnnotatedSource)
    pairing = pair(Folder(inbox, settings().limits), ["train/images/a.png", "valid/images/a.png"], entry)
    assert pairing.file_of == {f"{side}/images/a.png": f"{side}/labels/a.txt" for side in ("train", "valid")}
    assert not pairing.problems


def test_two_label_files_of_one_name_are_one_too_many(inbox: Path) -> None:
    put(inbox, a_dot_png=png(), p__a_dot_txt="", q__a_dot_txt="")
    with pytest.raises(UserError, match=r"a\.png: expected one label file of the film's name, found 2"):
        main(folder("yolo"))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("data_dot_yaml", "names: [x, fracture]"),
        ("data_dot_yaml", "names: {1: fracture}"),
        ("classes_dot_txt", "x\nfracture\n"),
        ("obj_dot_names", "x\nfracture\n"),
    ],
)
def test_yolo_classes_have_names(name: str, content: str, inbox: Path) -> None:
    put(inbox, a_dot_png=png(), a_dot_txt="1 0.5 0.5 0.1 0.1", **{name: content})
    main(folder("yolo", classes=["fracture"]))
    assert ANNOTATIONS.read(RAW)["label"][0] == "fracture"


def test_two_lists_of_names_that_differ_are_refused(inbox: Path) -> None:
    """Else class 0 of the second data set would go by the first one's name."""
    yolo = FORMATS["yolo"][1]
    for part, names in (("one", "[fracture, metal]"), ("two", "[metal, fracture]")):
        put(inbox, **{f"{part}__a{part}_dot_png": png(), f"{part}__a{part}_dot_txt": yolo})
        put(inbox, **{f"{part}__data_dot_yaml": f"names: {names}"})
    assert "one/data.yaml and two/data.yaml, which differ" in error_of(folder("yolo"))
    put(inbox, two__data_dot_yaml="names: {0: fracture, 1: metal}")
    assert "2 labels taken as fractures (fracture: 2)" in main(folder("yolo"))
    assert list(ANNOTATIONS.read(RAW)["label"]) == ["fracture", "fracture"]


BOMB = "a: &a [1, 1]\n" + "".join(f"{b}: &{b} [{', '.join([f'*{a}'] * 9)}]\n" for a, b in pairwise("abcdefghijklm"))


@pytest.mark.parametrize(
    "text",
    [
        "names: [",
        "- 1",
        f"{BOMB}names: *m",
        f"names: {'[' * 400}",
        "names: 2020-99-99",
        "names: &x [*x]",
        "? [a]\n: b",
    ],
)
def test_a_broken_list_of_names_is_passed_over(text: str, inbox: Path) -> None:
    from stages.ingest.file_access import Folder

    put(inbox, data_dot_yaml=text)
    assert class_names(Folder(inbox, settings().limits), "yolo") == ([], {})


def test_classes_are_sorted_and_unknown_ones_named(inbox: Path) -> None:
    put(inbox, a_dot_png=png(), a_dot_txt="0 0.5 0.5 0.1 0.1\n1 0.5 0.5 0.1 0.1\n")
    with pytest.raises(
        UserError, match=r"a\.txt, line 2: expected one of the classes 0, found '1'; add it to `classes`"
    ):
        main(folder("yolo", classes=["0"]))
    main(folder("yolo", classes=["0"], other_classes=["1"]))
    assert manifest().loc["a", "fractures"] == 1
    assert (
        "folder: 2 labels taken as fractures (class 0 without a name: 1, class 1 without a name: 1); every label is "
        "one, since `classes` is empty"
    ) in main(folder("yolo"))
    assert manifest().loc["a", "fractures"] == 2
    put(inbox, b_dot_png=png(1), b_dot_txt="1 0.5 0.5 0.1 0.1\n")
    for classes in ({"classes": ["1"], "other_classes": ["0"]}, {"other_classes": ["0"]}):
        text = main(folder("yolo", **classes))
        assert "folder: 2 labels taken as fractures (class 1 without a name: 2); " in text
        assert "1 left out (class 0 without a name: 1)" in text
        assert (
            "## Labels: 1\n\n- folder: 2 labels taken as fractures (class 1 without a name: 2)" in QUALITY.read_text()
        )


def cvat_image(name: str, *shapes: str) -> str:
    return f'<image name="{name}" width="40" height="30">{"".join(shapes)}</image>'


def test_shapes_of_other_classes_are_not_judged_by_their_type(inbox: Path) -> None:
    box = '<box label="f" xtl="10" ytl="6" xbr="30" ybr="18"/>'
    axis, line = '<polyline label="axis" points="1,2;3,4"/>', '<polyline label="f" points="1,2;3,4"/>'
    put(inbox, a_dot_png=png(1), b_dot_png=png(2))
    put(inbox, cvat_dot_xml=f"<annotations>{cvat_image('a.png', box, axis)}{cvat_image('b.png', box)}</annotations>")
    main(folder("cvat", classes=["f"], other_classes=["axis"]))
    assert list(manifest()["fractures"]) == [1, 1]
    with pytest.raises(UserError, match=r"cvat\.xml, line 1: expected a box, polygon or mask, found <polyline>"):
        main(folder("cvat", classes=["f", "axis"]))
    put(inbox, cvat_dot_xml=f"<annotations>{cvat_image('a.png', line)}{cvat_image('b.png', box)}</annotations>")
    main(settings("cvat", {"classes": ["f"]}, on_error="quarantine"))
    assert list(manifest().index) == ["b"], "a film with a shape that cannot be read is none without a fracture"
    assert list(QUARANTINE.read(RAW)["file"]) == ["a.png"]


def mask(values: Any, mode: str | None = None) -> bytes:
    buffer = BytesIO()
    pixels = np.zeros((30, 40), np.uint8)
    for value, (top, left, bottom, right) in values:
        pixels[top:bottom, left:right] = value
    image = Image.fromarray(pixels)
    if mode == "P":
        image = image.convert("P")
        image.putpalette([0, 0, 0, 128, 0, 0, 0, 128, 0])
    elif mode:
        image = image.convert(mode)
    image.save(buffer, "PNG")
    return buffer.getvalue()


TWO = [(1, (2, 3, 8, 9)), (1, (20, 20, 25, 30)), (2, (12, 12, 15, 15))]


@pytest.mark.parametrize("name", ["masks__a", "a_mask", "SegmentationClass__a", "labelsTr__a", "films__a-seg"])
def test_masks_beside_films_are_labels(name: str, inbox: Path) -> None:
    put(inbox, films__a_dot_png=png(1), films__b_dot_png=png(2), **{f"{name}_dot_png": mask(TWO)})
    text = main(folder("masks"))
    assert "3 labels taken as fractures (class 1 without a name: 2, class 2 without a name: 1)" in text
    assert "folder: 3 files = 2 films + 1 label files + 0 tables + 0 refused + 0 left out" in text
    main(folder("masks", classes=["2"], other_classes=["1"]))
    assert list(ANNOTATIONS.read(RAW)["label"]) == ["2"]
    marked = fill_polygon(read_points(ANNOTATIONS.read(RAW)["points"][0]), (30, 40))
    assert marked.sum() == 9
    assert marked[12:15, 12:15].all()


@pytest.mark.parametrize("name", ["a_mask", "SegmentationObject__a"])
def test_a_mask_beside_labels_in_another_format_is_no_film(name: str, inbox: Path) -> None:
    box = "0 0.5 0.5 0.1 0.1"
    put(inbox, films__a_dot_png=png(1), films__b_dot_png=png(2), films__b_dot_txt=box, other_mask_dot_png=png(3))
    put(inbox, other_mask_dot_txt="", **{f"{name}_dot_png": mask(TWO)})
    reason = f"a.png: expected yolo labels, as `annotations` says, found '{Path(name.replace('__', '/')).name}.png'"
    assert f"films/{reason}, which looks like masks; bring all labels into one format" in error_of(folder("yolo"))
    put(inbox, films__a_dot_txt=box)
    for settings_ in (folder("yolo"), folder("none")):
        assert "3 films" in main(settings_)  # other_mask.png has no film that it could be a mask of
        assert set(MANIFEST.read(RAW)["image_id"]) == {"a", "b", "other_mask"}
        assert "- folder: 1 file named as a mask of a film" in QUALITY.read_text()


@pytest.mark.parametrize(
    ("mode", "labels"), [("1", ["255"]), ("P", ["0,128,0", "128,0,0"]), ("RGB", ["1", "2"]), ("I;16", ["1", "2"])]
)
def test_the_values_of_masks_are_classes(mode: str, labels: list[str], inbox: Path) -> None:
    put(inbox, a_dot_png=png(1), a_mask_dot_png=mask([(255, (2, 3, 8, 9))] if mode == "1" else TWO, mode))
    main(folder("masks"))
    assert sorted(set(ANNOTATIONS.read(RAW)["label"])) == labels


def test_a_mask_that_may_be_inverted_is_named(inbox: Path) -> None:
    inverted = [(255, (0, 0, 30, 40)), (0, (5, 5, 9, 12))]
    put(inbox, a_dot_png=png(1), a_mask_dot_png=mask(inverted), b_dot_png=png(2), b_mask_dot_png=mask(TWO))
    main(folder("masks"))
    page = QUALITY.read_text()
    assert "- a label covers more than half of the film: look whether its mask is inverted: a\n" in page


def test_masks_that_cannot_be_labels_are_refused(inbox: Path) -> None:
    smooth = [(value, (0, value, 9, value + 1)) for value in range(1, 40)]
    put(inbox, a_dot_png=png(1), a_mask_dot_png=mask(smooth), b_dot_png=png(2, 50, 30), b_mask_dot_png=mask(TWO))
    put(inbox, c_dot_png=png(3), c_mask_dot_png=b"no mask", lost_mask_dot_png=mask(TWO))
    put(inbox, d_dot_png=png(4), d_mask_dot_png=mask(TWO), d_seg_dot_png=mask(TWO))
    reasons = error_of(folder("masks"))
    for part in (
        "a_mask.png: expected a mask of at most 32 values, found 39 values",
        "b_mask.png: expected labels of a film of 50 x 30 pixels, found labels of one of 40 x 30",
        "c_mask.png: expected a mask stored as PNG, TIFF or BMP",
        "lost_mask.png: expected a film of the same name, found none",
        "d_seg.png: expected one label file of a film's name, found a second one",
        "d.png: expected one label file of the film's name, found 2",
    ):
        assert part in reasons


def test_patterns_choose_films_and_pass_over_files(inbox: Path) -> None:
    put(inbox, a_dot_png=png(1), a_dot_txt="", old__a_dot_png=png(2), old__a_dot_txt="0 0.5 0.5 0.1 0.1")
    put(inbox, thumb__b_dot_png=png(3))
    text = main(folder("yolo", include=["*a.png"], exclude=["old/*"]))
    assert "folder: 5 files = 1 films + 1 label files + 0 tables + 0 refused + 3 left out" in text
    assert "- folder: 2 files that a pattern of `exclude` takes" in QUALITY.read_text()
    assert "- folder: 1 file that no pattern of `include` takes" in QUALITY.read_text()
    for key in ("include", "exclude"):
        with pytest.raises(UserError, match=rf"the pattern 'odl/\*' of `{key}` matches, found none"):
            main(folder("yolo", **{key: ["odl/*"]}))


@pytest.mark.parametrize("format_", [*(name for name in FORMATS if name != "voc_devkit"), "masks"])
def test_the_format_is_detected_and_said(format_: str, inbox: Path) -> None:
    name, content = FORMATS.get(format_, ("a_mask_dot_png", ""))
    put(inbox, a_dot_png=png(1), b_dot_png=png(2), **{name: content or mask(TWO)})
    main(folder("auto"))
    assert len(ANNOTATIONS.read(RAW)) == (3 if format_ == "masks" else 1)
    assert f"- folder: labels are read as {format_}\n" in QUALITY.read_text()


def test_a_format_that_is_not_clear_is_refused_with_both_names(inbox: Path) -> None:
    put(inbox, a_dot_png=png(1))
    with pytest.raises(UserError, match="found none that is known; write the format"):
        main(folder("auto"))
    for format_ in ("yolo", "voc"):
        put(inbox, **{FORMATS[format_][0]: FORMATS[format_][1]})
    with pytest.raises(UserError, match=r"expected labels in one format for `annotations: auto`, found yolo and voc;"):
        main(folder("auto"))


def test_a_film_without_labels_is_refused_when_told(inbox: Path) -> None:
    put(inbox, a_dot_png=png())
    with pytest.raises(UserError, match=r"a\.png: expected its labels"):
        main(folder("yolo", unlabelled="refuse"))


@pytest.mark.parametrize("limit", [{"megapixels": 1}, {"file_mb": 1}])
def test_limits_are_kept(limit: dict[str, int], inbox: Path) -> None:
    put(inbox, a_dot_png=png(0, 1100, 1000))
    with pytest.raises(UserError, match=f"ingest.limits.{next(iter(limit))}"):
        main(settings("none", limits=limit))


def test_exif_rotation_is_told(inbox: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    put(inbox, a_dot_png=png(0, exif=exif), a_dot_txt="0 0.5 0.5 0.1 0.1")
    main(folder("yolo"))
    assert (manifest().loc["a", "width"], manifest().loc["a", "height"]) == (30, 40)
    assert "nothing says in which frame its labels were drawn: a" in Path("reports/data_quality.md").read_text()


def test_names_that_would_overwrite_one_another_are_refused(inbox: Path) -> None:
    put(inbox, p__Film_dot_png=png(1), q__film_dot_png=png(2))
    with pytest.raises(UserError, match=r"q/film\.png: expected a file name of its own, found that of p/Film\.png"):
        main(folder("none"))


def test_an_empty_or_missing_inbox_and_missing_annotations_are_said(inbox: Path) -> None:
    with pytest.raises(UserError, match="at least one film"):
        main(folder("yolo"))
    put(inbox, a_dot_png=png())
    with pytest.raises(UserError, match=r"expected coco annotations in a \*\.json file with .*, found none"):
        main(folder("coco"))
    (inbox / "a.png").unlink()
    inbox.rmdir()
    with pytest.raises(UserError, match=r"ingest\.inbox: expected a folder of films, found none at in"):
        main(folder("yolo"))


def test_text_in_another_encoding_is_said(inbox: Path) -> None:
    put(inbox, a_dot_png=png(), a_dot_txt=b"\xff", p_dot_csv=b"\xff")
    reasons = error_of(folder("yolo"))
    assert "a.txt: expected text in UTF-8" in reasons
    assert "p.csv: expected text in UTF-8" in reasons


def test_a_table_with_a_film_twice_is_refused() -> None:
    with pytest.raises(Unreadable) as refused:
        table_rows(b"image_id,patient_id\na,1\na,2\n")
    assert (refused.value.problem.line, refused.value.problem.actual) == (3, "'a' a second time")
    assert table_rows(b"x,y\n1,2\n") == {}
    assert table_rows(b"image_id,xmin,ymin,xmax,ymax\na,1,2,3,4\na,1,2,3,4\n") == {}


def test_image_ids_are_safe_file_names() -> None:
    assert image_id("../a b/ü:1") == "a_b_1"
    assert image_id("...") == "image"


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"sources": [{"source": "folder", "annotations": "supervisely"}]}, r"annotations\n.*should be 'yolo', "),
        (
            {"sources": [{"source": "folder", "annotations": "voc", "classes": ["f"], "other_classes": ["f", "g"]}]},
            "both list f;",
        ),
        ({"sources": [{"source": "folder"}]}, r"annotations\n.*Field required"),
        ({"sources": [{"source": "folder", "annotations": "voc", "burned_in": "refuse"}]}, "keys of another entry"),
        ({"sources": [{"source": "kaggle", "handle": "owner/set"}]}, r"licence\n.*Field required"),
        ({"sources": ["sample", "sample"]}, "must name sample once"),
        ({"ct_window": {"width": 1}}, r"width\n.*greater than 1 "),
        ({"ct_window": {"centre": "bone"}}, r"centre\n.*a valid number"),
        ({"near_duplicate_bits": 65}, "less than or equal to 64 "),
        ({"limits": {"megapixels": 0}}, r"megapixels\n.*greater than or equal to 1 "),
        ({"on_error": "ignore"}, "should be 'stop' or 'quarantine'"),
    ],
)
def test_impossible_params_are_refused(change: dict[str, Any], why: str) -> None:
    with pytest.raises(ValidationError, match=why):
        settings(**change)


def files_below(folder: Path) -> int:
    return sum(len(files) for _, _, files in os.walk(folder))


def test_a_folder_of_oddities_adds_up(inbox: Path, capsys: pytest.CaptureFixture[str]) -> None:
    put(
        inbox,
        p1__a_dot_png=png(1),
        p1__a_dot_xml=FORMATS["voc"][1],
        p1__b_dot_png=png(2),
        p2__c_dot_png=b"no film",
        p2__c_dot_xml=FORMATS["voc"][1],
    )
    put(
        inbox,
        p3__lost_dot_xml=FORMATS["voc"][1],
        p3__empty_dot_xml="<annotation></annotation>",
        README="hello",
        notes_dot_pdf=b"%PDF",
    )
    put(inbox, t_dot_csv="filename,patient_id\na.png,1\nb.png,2\nc.png,3\n", other_dot_csv="x,y\n1,2\n")
    (inbox / ".DS_Store").write_bytes(b"\0")
    (inbox / "p1/._a.png").write_bytes(b"\0\5\x16\7")
    (inbox / "p1/Thumbs.db").write_bytes(b"\0")
    (inbox / "__MACOSX").mkdir()
    (inbox / "__MACOSX/a.png").write_bytes(png(1))
    text = main(settings("voc", on_error="quarantine"))
    seen = files_below(inbox)
    line = f"folder: {seen} files = 2 films + 1 label files + 1 tables + 2 refused + 9 left out"
    assert line in text
    assert seen == 2 + 1 + 1 + 2 + 9
    page = QUALITY.read_text()
    assert f"| folder | {seen} | 2 | 1 | 1 | 2 | 9 |" in page
    for reason in (
        "4 files of an operating system",
        "1 file with labels of films that are not taken",
        "1 file of no use here (.pdf)",
        "1 file of no use here (no suffix)",
        "1 file of no use here (.xml)",
        "1 file of no use here (.csv)",
    ):
        assert f"- folder: {reason}\n" in page
    assert (
        page.index("A person must look at: Refused (2)") < page.index("## Refused: 2") < page.index("## What came in")
    )
    assert set(MANIFEST.read(RAW)["image_id"]) == {"a", "b"}
    assert list(FILES.read(RAW)["file"]) == ["p1/a.png", "p1/a.xml", "t.csv", "p1/b.png", "t.csv"]
    assert len(QUARANTINE.read(RAW)) == 2


def picture(kind: str, seed: int, **options: Any) -> bytes:
    buffer = BytesIO()
    pixels = np.random.default_rng(seed).integers(0, 255, (30, 40), dtype=np.uint8)
    Image.fromarray(pixels).save(buffer, kind, **options)
    return buffer.getvalue()


def oddities() -> "Oddities":
    """A folder with labels in VOC: its files, the films that are taken, those refused, and fractures by film."""
    voc = FORMATS["voc"][1].encode()
    swapped = voc.replace(b"<xmin>10<", b"<xmin>31<")
    decomposed = unicodedata.normalize("NFD", "Röntgen")
    jpeg = picture("JPEG", 9)
    files = {  # one label for one film, however their names are spelt
        "p1/IM1.png": png(1), "p1/IM1.xml": voc, "p2/IM1b.png": png(2),
        "case/B.PNG": png(3), "case/b.xml": voc, "whole/c.png": png(4), "whole/c.png.xml": voc,
        f"nfd/{decomposed}.png": png(5), "nfd/Röntgen.xml": voc,
        "uid/1.2.3.498.3.png": png(7), "uid/1.2.3.498.3.xml": voc,
        "kinds/w.webp": picture("WebP", 10, lossless=True), "kinds/x.bmp": picture("BMP", 11),
        "kinds/y.jfif": picture("JPEG", 12), "kinds/z.jpe": picture("JPEG", 13),
        "copies/hand_png.rf.0b9d4c.png": png(14), "copies/hand_png.rf.1c8e5d.png": png(15), "empty.png": png(16),
        "empty.xml": b"<annotation></annotation>",
    }  # fmt: skip
    taken = {"IM1", "IM1b", "B", "c", image_id(decomposed), "1.2.3.498.3", "w", "x", "y", "z", "empty"}
    taken |= {"hand_png.rf.0b9d4c", "hand_png.rf.1c8e5d", "Twin"}
    bad = {  # a problem of a film or of its labels refuses the film
        "cut.jpg": jpeg[: len(jpeg) // 2], "text.png": b"no film", "none.png": b"", "swapped.png": png(20),
        "swapped.xml": swapped, "broken.png": png(21), "broken.xml": b"<annotation>", "far.png": png(22),
        "far.xml": voc.replace(b"<xmax>30<", b"<xmax>3000<"), "shares.png": png(23),
        "shares.xml": voc.replace(b">10<", b">0.1<").replace(b">6<", b">0.1<").replace(b">30<", b">0.5<")
        .replace(b">18<", b">0.5<"), "two.png": png(24), "l1/two.xml": voc, "l2/two.xml": voc,
        "twin.png": png(25), "deep/Twin.png": png(26), "colour.png": colourful(),
        "cases.png": png(27), "cases.xml": voc, "cases.XML": voc.replace(b">10<", b">11<"),
    }  # fmt: skip
    refused = {"cut.jpg", "text.png", "none.png", "swapped.png", "broken.png", "far.png", "shares.png", "two.png"}
    refused |= {"twin.png", "colour.png", "cases.png", "cases.xml"}  # of the twins the second by name
    tables = {
        "patients.csv": b"sep=;\r\nFile Name; PatientID\r\nIM1.png;007\r\nIM1b.png;8.0\r\n",
        "more.tsv": b"image\tsubject_id\nc\t9\n", "wrong.csv": b"image_id,patient_id\nnobody,1\n",
        "weather.csv": b"day,rain\n1,2\n", "old.xls": b"\xd0\xcf\x11\xe0",
    }  # fmt: skip
    rest = {
        "lost.xml": voc, "README": b"text", "notes.pdf": b"%PDF", ".DS_Store": b"\0", "p1/._IM1.png": b"\0",
        "p1/Thumbs.db": b"\0", "__MACOSX/p1/IM1.png": png(1), "video.mp4": b"x", "data.zip": b"PK",
    }  # fmt: skip
    fractures = dict.fromkeys(taken, 0) | dict.fromkeys(["IM1", "B", "c", image_id(decomposed), "1.2.3.498.3"], 1)
    return files | bad | tables | rest, taken, refused | {"wrong.csv", "old.xls", "lost.xml"}, fractures


def colourful() -> bytes:
    buffer = BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (30, 40, 3), dtype=np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


Oddities = tuple[dict[str, bytes], set[str], set[str], dict[str, int]]


def square(width: int = 40, height: int = 30, mode: str = "L", level: int = 255) -> bytes:
    """A mask with one marked square."""
    pixels = np.zeros((height, width), dtype=np.uint8)
    pixels[5:9, 5:9] = level
    buffer = BytesIO()
    Image.fromarray(pixels).convert(mode).save(buffer, "PNG")
    return buffer.getvalue()


def oddities_with_masks() -> Oddities:
    """The same with masks beside films."""
    smooth = BytesIO()
    Image.fromarray(np.tile(np.arange(40, dtype=np.uint8), (30, 1))).save(smooth, "PNG")
    files = {
        "a.png": png(1), "masks/a.png": square(), "b.png": png(2), "b_mask.tif": picture("TIFF", 0),
        "none.png": png(3),
        "c.png": png(4), "C-seg.png": square(mode="RGBA"), "empty.png": png(5), "masks/empty.png": square(level=0),
        "p1/x.png": png(6), "p1/masks/x.png": square(), "p2/y.png": png(7), "p2/masks/y.bmp": square(),
    }  # fmt: skip
    bad = {
        "two.png": png(10), "two_mask.png": square(), "two-seg.png": square(), "smooth.png": png(11),
        "masks/smooth.png": smooth.getvalue(), "wide.png": png(12), "masks/wide.png": square(width=41),
        "text.png": png(13), "masks/text.png": b"text", "masks/lost.png": square(),
    }  # fmt: skip
    rest = {
        "masks/gone.png": square(level=0), "masks/._a.png": b"x", "masks/Thumbs.db": b"x", "README": b"text",
        "labelmap.txt": b"fracture:255,255,255::\n", "t.csv": b"image,patient\na,1\nx,1\n",
    }  # fmt: skip
    fractures = {"a": 1, "none": 0, "c": 1, "empty": 0, "x": 1, "y": 1}
    refused = {"b.png", "two.png", "two_mask.png", "smooth.png", "wide.png", "text.png", "lost.png"}
    return files | bad | rest, set(fractures), refused, fractures


def oddities_in_coco() -> Oddities:
    """The same with two COCO files."""
    box = {"bbox": [10, 6, 20, 12], "category_id": 1}
    names = ["p1/a.png", "b.png", "c.png", "R%C3%B6.png", "lost.png", "twice.png", "twice.png", "far.png", "both.png"]
    images = [{"id": number, "file_name": name, "width": 40, "height": 30} for number, name in enumerate(names)]
    images.append({"id": 20, "file_name": "wide.png", "width": 41, "height": 30})
    shapes = [
        {"image_id": 0} | box, {"image_id": 2} | box | {"category_id": 2}, {"image_id": 4} | box,
        {"image_id": 3, "category_id": 1, "segmentation": {"size": [30, 40], "counts": [9, 20, 1171]}},
        {"image_id": 7} | box | {"bbox": [35, 6, 20, 12]}, {"image_id": 99} | box, {"image_id": 5} | box,
    ]  # fmt: skip
    kinds = [{"id": 1, "name": "fracture"}, {"id": 2, "name": "metal"}]
    coco = {"images": images, "annotations": shapes, "categories": kinds}
    other = {"images": [{"id": 1, "file_name": "both.png"}, {"id": 2, "file_name": "d.png"}], "annotations": []}
    films = [
        "p1/a.png",
        "b.png",
        "c.png",
        "R\u00f6.png",
        "twice.png",
        "far.png",
        "both.png",
        "wide.png",
        "d.png",
        "e.png",
    ]
    files = {name: png(number) for number, name in enumerate(films)} | {"p2/a.png": png(30)}
    rest = {
        "coco.json": json.dumps(coco).encode(), "other.json": json.dumps(other).encode(), "more.json": b"{}",
        "broken.json": b'{"images": [], "annotations": [', "notes.pdf": b"%PDF", "desktop.ini": b"x",
    }  # fmt: skip
    fractures = {"a": 1, "b": 0, "c": 0, image_id("R\u00f6"): 1, "d": 0, "e": 0}
    refused = {"twice.png", "far.png", "both.png", "wide.png", "coco.json", "broken.json", "other.json", "a.png"}
    return files | rest, set(fractures), refused, fractures


@pytest.mark.parametrize(
    ("format_", "folder_of"), [("voc", oddities), ("masks", oddities_with_masks), ("coco", oddities_in_coco)]
)
def test_every_oddity_in_one_folder_gives_one_account_that_adds_up(
    format_: str, folder_of: Callable[[], Oddities], inbox: Path
) -> None:
    files, taken, refused, fractures = folder_of()
    for name, content in files.items():
        (inbox / name).parent.mkdir(parents=True, exist_ok=True)
        (inbox / name).write_bytes(content)
    (inbox / "gone.png").symlink_to("nowhere.png")
    entry = {"other_classes": ["metal"]} if format_ == "coco" else {}
    text = main(settings(format_, entry, on_error="quarantine"))
    found = manifest()
    assert set(found.index) == taken
    assert found["fractures"].to_dict() == fractures
    assert {Path(file).name for file in QUARANTINE.read(RAW)["file"]} == refused | {"gone.png"}
    (line,) = re.findall(r"folder: (\d+) files = (.*)", text)
    assert int(line[0]) == len(files) + 1 == sum(map(int, re.findall(r"\d+", line[1])))
    assert f"{len(taken)} films + " in line[1]
    for reason in QUARANTINE.read(RAW)["reason"]:
        assert not re.search(r"Error\b|0x|Traceback|/tmp", reason)
    if format_ == "voc":
        assert found.loc["IM1", "patient_id"] != found.loc["IM1b", "patient_id"]
        assert found.loc["hand_png.rf.0b9d4c", "group"] == found.loc["hand_png.rf.1c8e5d", "group"]


def test_a_tilde_is_refused_since_dvc_looks_for_a_folder_of_that_name() -> None:
    for inbox in ("data/incoming/", "./data/incoming", "/films//export"):
        with pytest.raises(ValidationError, match=f"write {inbox} in its shortest form, {normpath(inbox)}"):
            Params.model_validate({"inbox": inbox})
    with pytest.raises(ValidationError, match="DVC does not expand `~` in ~/in"):
        settings("voc", inbox="~/in")


def test_a_film_without_labels_beside_labels_that_belong_to_no_film_is_said(inbox: Path) -> None:
    """A name with a slip in it: the film counts as free of fractures, since its source says so of films without any."""
    table = "filename,xmin,ymin,xmax,ymax,class\na.png,10,6,30,18,fracture\nbx.png,10,6,30,18,fracture\n"
    put(inbox, a_dot_png=png(1), b_dot_png=png(2), boxes_dot_csv=table)
    main(settings("csv", {"unlabelled": "no_fracture"}, on_error="quarantine"))
    said = "1 of 2 films have no labels and count as free of fractures, and labels in 1 refused files may be theirs"
    assert f"folder: {said}: look at both" in QUALITY.read_text()


def test_a_name_that_is_too_long_costs_its_own_film_only(inbox: Path) -> None:
    put(inbox, a_dot_png=png(1), a_dot_xml=FORMATS["voc"][1], **{f"{'x' * 200}_dot_png": png(2)})
    main(settings("voc", on_error="quarantine"))
    assert len(MANIFEST.read(RAW)) == 1
    assert "expected a file name of at most 180 characters, found 200; rename it" in QUARANTINE.read(RAW)["reason"][0]


@pytest.mark.parametrize("what", ["pipe", "device", "name"])
def test_what_dvc_cannot_hash_when_ingest_has_ended_ends_it_before(what: str, inbox: Path) -> None:
    """It would wait for a pipe for ever. Names may be patients': none is said."""
    put(inbox, a_dot_png=png(1), a_dot_xml=FORMATS["voc"][1])
    if what == "pipe":
        os.mkfifo(inbox / "DOE.png")
    elif what == "device":
        (inbox / "DOE.png").symlink_to("/dev/zero")
    else:
        Path(os.fsdecode(bytes(inbox) + b"/DOE\xe4.png")).write_bytes(png(3))  # ISO 8859-1, as old archives unpack
    with pytest.raises(UserError) as refused:
        main(settings("voc", on_error="quarantine"))
    kind = "no UTF-8 (1), which DVC cannot record" if what == "name" else "pipes, sockets or devices"
    assert kind in str(refused.value)
    assert "DOE" not in str(refused.value)
    assert not RAW.exists()


def test_pictures_beside_an_export_are_read_from_a_folder_of_their_own(
    inbox: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The source `folder` names the files that it sees, and those of an export are called as patients are."""
    pictures, export = ({"source": name, "annotations": "voc"} for name in ("folder", "hospital"))
    base = read_yaml(ROOT / "params.yaml")["ingest"] | {"inbox": "in"}
    for one, other in (("", ""), ("a", ""), ("", "b"), ("a", "a/b"), ("a/", "./a")):
        with pytest.raises(ValidationError, match="folder and hospital must read folders of their own"):
            Params.model_validate(base | {"sources": [pictures | {"below": one}, export | {"below": other}]})
    for outside in ("..", "/tmp", "a/../../b"):
        with pytest.raises(ValidationError, match="leads out of the inbox"):
            folder("voc", below=outside)
        with pytest.raises(ValidationError, match="leads out of the inbox"):
            Kaggle(handle="a/b", version=1, annotations="none", licence="CC0", archive=outside)
        remote = RemoteFile(name="a.zip", address="https://example.org/a.zip")
        with pytest.raises(ValidationError, match="leads out of the inbox"):
            Url(name="a", version=1, annotations="none", licence="CC0", files=[remote], downloaded=outside)
    put(inbox, pictures__a_dot_png=png(), pictures__a_dot_xml=FORMATS["voc"][1])
    bring(inbox / "export", "DOE_JANE/IM1", 1)
    put(inbox, export__DOE_JANE__IM2_dot_xml=FORMATS["voc"][1], export__DOE_JANE__preview_dot_png=png(1))
    monkeypatch.setenv("PSEUDONYM_KEY", "k" * 32)
    sources = [pictures | {"below": "pictures"}, export | {"below": "export"}]
    params = Params.model_validate(base | {"sources": sources, "on_error": "quarantine"})
    said = main(params)
    assert list(manifest()["source"]) == ["folder", "hospital"]
    texts = [path.read_text() for path in (*RAW.rglob("*.csv"), *RAW.rglob("*.json"), QUALITY)]
    assert "DOE" not in "".join([said, *texts])
    assert set(FILES.read(RAW)["file"]) >= {"a.png", "file 1 of the export (sorted by path)"}
    shutil.rmtree(inbox / "export")
    with pytest.raises(UserError, match="hospital: expected the folder export in the inbox, found none"):
        main(params)


OBEYED = "\x1b[2J\u202e\u200b\x07"  # a terminal is cleared, a line turned round, a letter hidden, a bell rung


def test_names_of_files_and_classes_command_no_terminal_and_no_page(
    inbox: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Names that people wrote are shown with escapes; blanks of any kind stay, as in the names of screenshots."""
    name, blank = f"{OBEYED}a", "b\u202f1"
    for label in (name, blank):
        (inbox / f"{label}.png").write_bytes(png(len(label)))
        (inbox / f"{label}.txt").write_text("0 0.5 0.5 0.1 0.1\n1 0.5 0.5 0.1 0.1\n")
    (inbox / f"{OBEYED}patients.csv").write_text(f"file,patient\n{name}.png,{OBEYED}7\n{blank}.png,8\n")
    (inbox / "data.yaml").write_text(json.dumps({"names": [f"{OBEYED}x\ny", f"{OBEYED}other"]}))
    said = main(folder("yolo"))
    files = [path for path in (*RAW.rglob("*.csv"), *RAW.rglob("*.json"), QUALITY) if path.is_file()]
    written = "".join([said, *capfd.readouterr(), *(path.read_text() for path in files)])
    assert "\\x1b[2J\\u202e\\u200b\\x07x\\ny" in said
    assert all(one in "\n\u202f" or one.isprintable() for one in written)
    assert set(FILES.read(RAW)["file"]) >= {f"{blank}.png", "\\x1b[2J\\u202e\\u200b\\x07a.png"}
    put(inbox, more__data_dot_yaml="names: [other, x]")
    for refused in (error_of(folder("yolo")), error_of(folder("coco"))):
        assert all(one in "\n\u202f" or one.isprintable() for one in refused)


def test_a_full_disk_under_temporary_files_is_called_by_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not by that of the output, where there may be room."""

    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("stages.ingest.main.write_sample", full)
    with pytest.raises(OSError, match="No space left") as refused:
        plan_sources(Params(sources=[Sample()]), tmp_path, cast("Executor", None))
    assert describe_os_error(refused.value).startswith(f"{tmp_path}: the disk is full")


def test_a_film_that_arrives_meanwhile_ends_the_stage(inbox: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(inbox, a_dot_png=png(1), a_dot_xml=FORMATS["voc"][1])

    real = write_tables

    def copying(*arguments: Any) -> Any:
        put(inbox, b_dot_png=png(2))
        return real(*arguments)

    monkeypatch.setattr("stages.ingest.main.write_tables", copying)
    with pytest.raises(UserError, match="its files changed while they were read"):
        main(settings("voc"))
    assert not RAW.exists()


def test_a_film_of_a_patient_who_withdrew_is_named_nowhere_though_it_is_refused_unread(inbox: Path) -> None:
    """Two files of labels could be a film's: it is refused before anything is read; another patient's stays named."""
    put(inbox, a_dot_png=png(1), good_dot_png=png(2), z_dot_png=png(3), good_dot_xml=FORMATS["voc"][1])
    put(inbox, **{f"{folder}__{film}_dot_xml": FORMATS["voc"][1] for folder in "xy" for film in "az"})
    put(inbox, patients_dot_csv="filename,patient_id\na.png,p\ngood.png,q\nz.png,q\n")
    quarantine = settings("voc", on_error="quarantine")
    main(quarantine)
    before = QUARANTINE.read(RAW)
    assert {"a.png", "z.png"} <= set(before["file"])
    WITHDRAWN_PINS.parent.mkdir(parents=True, exist_ok=True)
    patient = PUBLIC.name("patient", f"{before['source'][0]}/p")
    WITHDRAWN_PINS.write_text(f"patient_id,withdrawn,key_id\n{patient},2026-01-01,\n")
    main(quarantine)
    after = QUARANTINE.read(RAW)
    assert "z.png" in set(after["file"])
    assert "a.png" not in set(after["file"])
    assert "a.png" not in QUALITY.read_text()


def test_a_film_that_no_code_foresaw_is_refused_by_itself(inbox: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(inbox, a_dot_png=png(1), a_dot_xml=FORMATS["voc"][1])
    film = plan_sources(settings("voc"), inbox, None)[0].films[0]  # type: ignore[arg-type]
    steps = {"read_label_file": "labels", "decode_picture": "pixels or labels", "write_film": "pixels or labels"}
    for function, part in steps.items():
        with monkeypatch.context() as patch:
            patch.setattr(f"stages.ingest.process_film.{function}", lambda *arguments: {}["DOE"])
            (refusal,) = process_film(film, settings("voc"), None, inbox).refusals
        assert refusal.reason == (
            f"a.png: expected a film whose {part} can be processed, found a part that is missing; export it again, and "
            "report a fault of this software if other programs read it"
        )
