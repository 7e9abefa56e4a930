"""The hospital's door: any tree of DICOM files, and nothing of it in a message."""

import errno
import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import Dataset, dcmread
from pydicom.uid import generate_uid

from stages.common.core.errors import UserError
from stages.common.core.files import read_png
from stages.common.data.layout import QUALITY, RAW
from stages.common.data.shapes import read_points
from stages.common.data.tables import ANNOTATIONS, MANIFEST, QUARANTINE
from stages.ingest.dicom.pseudonyms import Key, read_key
from stages.ingest.main import main
from stages.ingest.params import Hospital
from stages.ingest.sources.hospital import hospital_films
from stages.ingest.sources.sample import SampleFilm, draw, voc_file
from stages.ingest.withdrawn import NUMBERS
from tests.helpers.hospital import KEY, SAMPLE, bring, refused, settings


def manifest() -> Any:
    return MANIFEST.read(RAW)


def test_films_come_under_pseudonyms_with_or_without_a_suffix(inbox: Path) -> None:
    bring(inbox, "DOE_JANE/IM1", 1, 2)
    bring(inbox, "DOE_JANE/IM2.dcm", 2, 2)
    bring(inbox, "ROE_JOHN/a/b/00001", 3, 1, "CR")
    main(settings())
    found = manifest()
    assert sorted(found["patient_id"].value_counts()) == [1, 2]
    assert KEY.name("patient", "MRN700002") in set(found["patient_id"])
    assert set(found["key_id"]) == {KEY.id}
    assert (found["source_file"] == "").all()
    assert set(found["modality"]) == {"DX", "CR"}
    assert (found["imager_pixel_spacing_mm"] != "").all()
    assert (found["pixel_spacing_mm"] == "").all()
    for image_id in found["image_id"]:
        data = dcmread(f"data/raw/dicom/{image_id}.dcm")
        assert data.PatientID == found.set_index("image_id").loc[image_id, "patient_id"]
    page = Path("reports/data_quality.md").read_text()
    for text in (page, Path("data/raw/files.csv").read_text(), Path("data/raw/annotations.csv").read_text()):
        assert "DOE" not in text
        assert "IM1" not in text


def test_the_same_number_of_another_issuer_is_another_patient(inbox: Path) -> None:
    bring(inbox, "a", 1, 2)
    bring(inbox, "b", 2, 2, change=lambda data: setattr(data, "IssuerOfPatientID", "another hospital"))
    main(settings())
    assert manifest()["patient_id"].nunique() == 2


def test_all_faults_are_told_together_without_a_name(inbox: Path) -> None:
    bring(inbox, "DOE/1", 1, label=False)
    bring(inbox, "DOE/2", 2, change=lambda data: setattr(data, "Modality", "SR"))
    bring(inbox, "DOE/3", 3, change=lambda data: setattr(data, "PatientID", ""))
    bring(inbox, "DOE/4", 4)
    (inbox / "DOE/5.dcm").write_bytes((inbox / "DOE/4").read_bytes())
    (inbox / "DOE/6").write_bytes(b"DOE^JANE, no DICOM\0")
    bring(inbox, "DOE/7", 7, change=lambda data: setattr(data, "BurnedInAnnotation", "YES"))
    said = refused()
    for reason in (
        "file 1 of the export (sorted by path): expected its labels",
        "a structured report (SR)",
        "expected a patient, found an empty PatientID, and no table that gives one",
        "the same SOPInstanceUID as file",
        "no DICM after 128 bytes",
        "text burned into its pixels",
    ):
        assert reason in said
    assert not Path("data/raw").exists()


def test_quarantine_leaves_files_where_they_are_and_says_why(inbox: Path) -> None:
    bring(inbox, "DOE/1", 1)
    bring(inbox, "DOE/2", 2, change=lambda data: setattr(data, "Modality", "RF"))
    before = sorted(inbox.rglob("*"))
    said = main(settings(on_error="quarantine"))
    assert said.startswith("1 films of 1 patients")
    assert "1 files refused" in said
    table = QUARANTINE.read(RAW)
    assert list(table["file"]) == ["file 3 of the export (sorted by path)"]
    assert "fluoroscopy" in table["reason"][0]
    assert len(table["sha256"][0]) == 64
    assert sorted(inbox.rglob("*")) == before
    assert "fluoroscopy" in Path("reports/data_quality.md").read_text()


def test_corners_are_masked_when_told(inbox: Path) -> None:
    bring(inbox, "1", 1, 2, change=lambda data: setattr(data, "BurnedInAnnotation", "YES"))
    main(settings(hospital={"burned_in": {"action": "mask_corners", "corner": 0.2}}))
    (row,) = manifest().to_dict("records")
    assert row["photometric_interpretation"] == "MONOCHROME1"
    pixels = read_png(Path("data/raw") / row["file"])
    height, width = pixels.shape
    for rows in (slice(0, height // 5), slice(-height // 5, None)):
        for columns in (slice(0, width // 5), slice(-width // 5, None)):
            assert (pixels[rows, columns] == 0).all()
    assert pixels[height // 2].max() > 0
    data = dcmread(next(Path("data/raw/dicom").iterdir()))
    assert data.BurnedInAnnotation == "YES"  # text may stand elsewhere
    assert "corners were masked: look at the picture" in Path("reports/data_quality.md").read_text()


def test_a_film_that_does_not_say_whether_text_is_burned_in_is_listed(inbox: Path) -> None:
    bring(inbox, "1", 1, 2, change=lambda data: data.__delattr__("BurnedInAnnotation"))
    main(settings())
    assert "BurnedInAnnotation is not stated: look at the picture: h-" in Path("reports/data_quality.md").read_text()


def series(inbox: Path, order: list[int]) -> None:
    uid = generate_uid()
    for number, place in enumerate(order):

        def put(data: Dataset, place: int = place) -> None:
            data.SeriesInstanceUID, data.ImageOrientationPatient = uid, [1, 0, 0, 0, 1, 0]
            data.ImagePositionPatient = [0, 0, float(place)]
            data.PixelData = np.full(data.Rows * data.Columns, 1000 + 10 * place, "<u2").tobytes()

        bring(inbox, f"ct/{number}", 10 + number, 3, "CT", put)


@pytest.mark.parametrize(("slices", "films"), [("middle", 1), ("all", 5)])
def test_the_middle_slice_or_all(slices: str, films: int, inbox: Path) -> None:
    series(inbox, [30, -10, 20, 0, 10])
    main(settings(hospital={"ct_slices": slices}))
    assert len(manifest()) == films
    if films == 1:
        # The slice at 10 mm holds 1100, which is 76 HU in a window of 400 +- 1000.
        assert read_png(Path("data/raw") / manifest()["file"][0])[0, 0] == round((76 - 399.5) / 1999 * 65535 + 32767.5)
        assert "4 files with CT slices beside" in Path("reports/data_quality.md").read_text()


def test_a_mirrored_ct_slice_is_turned_and_its_boxes_with_it(inbox: Path) -> None:
    bring(inbox, "1", 1, 3, "CT", lambda data: setattr(data, "ImageOrientationPatient", [1, 0, 0, 0, 1, 0]))
    main(settings())
    straight, box = read_png(Path("data/raw") / manifest()["file"][0]), ANNOTATIONS.read(RAW)
    bring(inbox, "1", 1, 3, "CT", lambda data: setattr(data, "ImageOrientationPatient", [-1, 0, 0, 0, -1, 0]))
    main(settings())
    turned, other = read_png(Path("data/raw") / manifest()["file"][0]), ANNOTATIONS.read(RAW)
    np.testing.assert_array_equal(turned, straight[::-1, ::-1])
    for one, two in zip(box["points"], other["points"], strict=True):
        size = [straight.shape[1], straight.shape[0]]
        np.testing.assert_allclose(read_points(two)[0][::-1], size - read_points(one)[0])


def test_a_dicomdir_is_no_film_and_tells_of_missing_files(inbox: Path) -> None:
    from pydicom.fileset import FileSet

    def complete(data: Dataset) -> None:
        data.StudyTime, data.StudyID, data.AccessionNumber = "120000", "1", "1"
        data.SeriesNumber, data.InstanceNumber = 1, 1

    bring(inbox, "staging/1", 1, change=complete)
    files = FileSet()
    files.add(dcmread(inbox / "staging/1"))
    files.write(inbox / "cd")
    for path in sorted((inbox / "staging").iterdir()):
        path.unlink()
    (film,) = (path for path in (inbox / "cd").rglob("*") if path.is_file() and path.name != "DICOMDIR")
    film.with_suffix(".xml").write_bytes(
        voc_file(SampleFilm(1, 2, "hospital", "DX"), draw(SampleFilm(1, 2, "", "DX"), SAMPLE))
    )
    main(settings())
    assert len(manifest()) == 1
    film.rename(film.with_name("ELSEWHERE"))
    film.with_suffix(".xml").rename(film.with_name("ELSEWHERE.xml"))
    assert "expected the 1 files that this DICOMDIR lists, found 1 missing" in refused()


def test_what_is_neither_dicom_nor_annotation_is_counted(inbox: Path) -> None:
    bring(inbox, "DOE/1", 1)
    for name in ("viewer.exe", "DOE.pdf", "DOE/README", "DOE/letter.doc", ".DS_Store", "DOE/Thumbs.db", "DOE/._1"):
        (inbox / name).write_bytes(b"x")
    (inbox / "DOE/scan").write_bytes(b"%PDF-1.7\n\xff\xfe")
    (inbox / "__MACOSX").mkdir()
    (inbox / "__MACOSX/1").write_bytes(b"\0")
    text = main(settings())
    page = Path("reports/data_quality.md").read_text()
    assert "5 files with neither films nor labels of films" in page
    assert "4 files of an operating system" in page
    assert "hospital: 11 files = 1 films + 1 label files + 0 tables + 0 refused + 9 left out" in text


def test_every_oddity_in_one_export_gives_one_account_that_adds_up_and_names_nobody(inbox: Path) -> None:
    def swapped(label: bytes) -> bytes:
        return label.replace(b"<xmin>", b"<xmin>9")

    bring(inbox, "DOE_JANE/IM1", 1)
    bring(inbox, "DOE_JANE/uid", 2)
    for suffix in ("", ".xml"):
        (inbox / f"DOE_JANE/uid{suffix}").rename(inbox / f"DOE_JANE/1.2.840.10008.1{suffix}")
    bring(inbox, "DOE_JANE/unlabelled", 3, label=False)
    taken = 2
    bad = {
        "DOE_JANE/again": (1, {}), "DOE_JANE/report": (4, {"Modality": "SR"}),
        "DOE_JANE/nobody": (5, {"PatientID": ""}),
        "DOE_JANE/text": (6, {"BurnedInAnnotation": "YES"}), "DOE_JANE/swapped": (7, {}), "DOE_JANE/broken": (8, {}),
        "DOE_JANE/far": (9, {}), "DOE_JANE/short": (10, {}),
    }  # fmt: skip
    for name, (film, values) in bad.items():
        bring(inbox, name, film, change=lambda data, values=values: [setattr(data, *item) for item in values.items()])
    for name, content in {"swapped": None, "broken": b"<annotation>DOE", "far": None, "lost": None}.items():
        path = inbox / f"DOE_JANE/{name}.xml"
        label = (inbox / "DOE_JANE/IM1.xml").read_bytes()
        path.write_bytes(content or (label.replace(b"<xmax>", b"<xmax>99") if name == "far" else label))
    path = inbox / "DOE_JANE/swapped.xml"
    path.write_bytes(swapped(path.read_bytes()))
    short = inbox / "DOE_JANE/short"
    short.write_bytes(short.read_bytes()[:-400])
    rest = {
        "DOE.pdf": b"%PDF", "README": b"DOE", "viewer.exe": b"MZ", ".DS_Store": b"x", "DOE_JANE/._IM1": b"x",
        "DOE_JANE/IM1.png": b"\x89PNG", "DOE_JANE/empty": b"", "DOE_JANE/DOE.dcm": b"<html>DOE</html>",
    }  # fmt: skip
    for name, content in rest.items():
        (inbox / name).write_bytes(content)
    (inbox / "DOE_JANE/link").symlink_to("DOE_nowhere")
    every = sum(len(files) for _, _, files in os.walk(inbox))
    text = main(settings(on_error="quarantine"))
    assert len(manifest()) == taken
    (line,) = re.findall(r"hospital: (\d+) files = (.*)", text)
    assert int(line[0]) == every == sum(map(int, re.findall(r"\d+", line[1])))
    reasons = QUARANTINE.read(RAW)["reason"]
    others = ["unlabelled", "again.xml", "lost.xml", "empty", "DOE.dcm", "link"]
    assert QUARANTINE.read(RAW)["file"].nunique() == len(bad) + len(others)
    pages = [path.read_text() for path in (QUALITY, RAW / "quarantine.csv", RAW / "files.csv", RAW / "annotations.csv")]
    for said in (text, *pages):
        assert "DOE" not in said
        assert "JANE" not in said
    assert not any(re.search(r"Error\b|0x|Traceback|/tmp", reason) for reason in reasons)


@pytest.mark.parametrize("name", ["DOE/2", "DOE/2.dcm", "DOE/1.2.840.7"])
@pytest.mark.parametrize("content", [b"", b"\0\1\2\3" * 100])
def test_what_could_be_a_film_but_is_no_dicom_is_refused(name: str, content: bytes, inbox: Path) -> None:
    bring(inbox, "DOE/1", 1)
    (inbox / name).write_bytes(content)
    assert "no DICM after 128 bytes" in refused()


def test_a_web_page_with_a_films_suffix_is_refused(inbox: Path) -> None:
    bring(inbox, "DOE/1", 1)
    (inbox / "DOE/2.dcm").write_text("<html>403</html>")
    assert "no DICM after 128 bytes" in refused()


def test_wrong_annotations_are_told_by_line_without_their_text(inbox: Path) -> None:
    bring(inbox, "DOE/1", 1)
    path = inbox / "DOE/1.xml"
    path.write_bytes(path.read_bytes().replace(b"<xmin>", b"\n<xmin>DOE", 1))
    assert (
        "file 2 of the export (sorted by path), line 2: expected a number in <xmin>, found something else" in refused()
    )
    path.write_bytes(b"<annotation>")
    assert "expected PASCAL VOC XML, found something else" in refused()
    path.unlink()
    (inbox / "DOE/2.xml").write_bytes(b"<annotation><object><name>f</name><bndbox/></object></annotation>")
    assert "expected its labels" in refused()


def test_labels_of_another_class_are_refused_without_their_name(inbox: Path) -> None:
    bring(inbox, "DOE/1", 1)
    said = refused(hospital={"classes": ["wrist"]})
    assert "expected one of the classes wrist, found another class" in said
    main(settings(hospital={"classes": ["wrist"], "other_classes": ["fracture"]}))
    assert manifest()["fractures"].sum() == 0


ANNA = "ANNA BERG 12.03.1960"
BOX = {"x": 10, "y": 10, "width": 20, "height": 20}
STUDIO = {
    "id": 1, "data": {"image": "DOE/1", "patient": ANNA}, "file_upload": "1", "annotations": [{
        "completed_by": {"email": ANNA}, "result": [{
            "type": "rectanglelabels", "original_width": 96, "original_height": 0,
            "value": BOX | {"rotation": 0, "rectanglelabels": [ANNA]}, "meta": {"text": [ANNA]}}]}],
}  # fmt: skip
LABELS: dict[str, tuple[str, str]] = {
    "voc": ("1.xml", f"<annotation><object><name>{ANNA}</name><bndbox><xmin>10</xmin><ymin>10</ymin><xmax>30</xmax>"
                     f"<ymax>30</ymax></bndbox></object><filename>{ANNA}</filename></annotation>"),
    "coco": ("a.json", json.dumps({
        "info": {"contributor": ANNA}, "images": [{"id": 1, "file_name": "1", "patient": ANNA}],
        "categories": [{"id": 1, "name": ANNA}],
        "annotations": [{"image_id": 1, "category_id": 1, "bbox": [10, 10, 20, 20], "caption": ANNA}]})),
    "labelme": ("1.json", json.dumps({
        "imagePath": ANNA, "flags": {ANNA: True}, "shapes": [{
            "label": ANNA, "shape_type": "rectangle", "points": [[10, 10], [30, 30]], "description": ANNA}]})),
    "cvat": ("a.xml", f'<annotations><meta><owner>{ANNA}</owner></meta><image name="1" width="96" height="HEIGHT"><box '
                      f'label="{ANNA}" xtl="10" ytl="10" xbr="30" ybr="30"><attribute name="n">{ANNA}</attribute></box>'
                      "</image></annotations>"),
    "label_studio": ("a.json", json.dumps([STUDIO]).replace('"original_height": 0', '"original_height": HEIGHT')),
    "via": ("a.json", json.dumps({"k": {"filename": "1", "file_attributes": {"who": ANNA}, "regions": [
        {"shape_attributes": {"name": "rect"} | BOX, "region_attributes": {"label": ANNA}}]}})),
    "csv": ("a.csv", f"filename,xmin,ymin,xmax,ymax,label,remark\n1,10,10,30,30,{ANNA},{ANNA}\n"),
}  # fmt: skip


@pytest.mark.parametrize("format_", LABELS)
def test_a_name_that_is_written_as_a_class_reaches_no_output(
    format_: str, inbox: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    bring(inbox, "DOE/1", 1, label=False)
    height = int(dcmread(inbox / "DOE/1").Rows)
    name, content = LABELS[format_]
    (inbox / "DOE" / name).write_text(content.replace("HEIGHT", str(height)))
    text = main(settings({"annotations": format_, "unlabelled": "refuse"}))
    assert "1 labels taken as fractures (fracture: 1)" in text
    assert list(ANNOTATIONS.read(RAW)["label"]) == ["fracture"]
    # The same with params that name classes, of which this is none, and with a shape that cannot be read.
    said = refused(hospital={"annotations": format_, "classes": ["wrist"]})
    assert "expected one of the classes wrist, found another class" in said
    broken = content.replace("HEIGHT", str(height)).replace("10", "1e9")
    (inbox / "DOE" / name).write_text(broken)
    said += refused(hospital={"annotations": format_})
    outputs = b"".join(file.read_bytes() for file in [*RAW.rglob("*"), QUALITY] if file.is_file())
    assert b"ANNA" not in outputs
    assert "ANNA" not in text + said + "".join(capfd.readouterr())


def test_names_of_yolos_numbers_are_not_taken_from_a_hospital(inbox: Path) -> None:
    bring(inbox, "DOE/1", 1, label=False)
    (inbox / "DOE/1.txt").write_text("0 0.5 0.5 0.1 0.1")
    (inbox / "classes.txt").write_text(ANNA)
    (inbox / "data.yaml").write_text(f"names: [{ANNA}]")
    text = main(settings({"annotations": "yolo"}))
    outputs = b"".join(file.read_bytes() for file in [*RAW.rglob("*"), QUALITY] if file.is_file())
    assert b"ANNA" not in outputs + text.encode()


def named(number: str, study: str, issuer: str = "") -> Callable[[Dataset], None]:
    def change(data: Dataset) -> None:
        data.PatientID, data.StudyInstanceUID = number, study
        if issuer:
            data.IssuerOfPatientID = issuer

    return change


@pytest.mark.parametrize(
    ("one", "other", "groups", "why"),
    [
        (named("1", "1.2.3", "KH"), named("1", "1.2.4"), 1, "an issuer that one header lacks"),
        (named("00-12-34", "1.2.3"), named("001234", "1.2.4"), 1, "punctuation"),
        (named("1", "1.2.3"), named("2", "1.2.3"), 1, "one study with several patient ids"),
        (named("1", "1.2.3", "KH"), named("1", "1.2.4", "UK"), 2, ""),
        (named("1", "1.2.3"), named("2", "1.2.4"), 2, ""),
    ],
)
def test_one_patient_under_two_ids_is_one_group(
    inbox: Path, one: Callable[[Dataset], None], other: Callable[[Dataset], None], groups: int, why: str
) -> None:
    bring(inbox, "A/1", 1, change=one)
    bring(inbox, "A/2", 2, change=other)
    main(settings())
    films = manifest()
    assert (films["patient_id"].nunique(), films["group"].nunique()) == (2, groups)
    assert (f"{' and '.join(films['image_id'])}: " in QUALITY.read_text()) == bool(why)
    assert why in QUALITY.read_text()


def nobody(accession: str = "", study: str = "1.2.3") -> Callable[[Dataset], None]:
    def change(data: Dataset) -> None:
        data.PatientID, data.AccessionNumber, data.StudyInstanceUID = "", accession, study

    return change


def uid_of(name: str) -> str:
    return str(dcmread(f"in/{name}").SOPInstanceUID)


TABLES_OF_PATIENTS: dict[str, Callable[[], str]] = {
    "path": lambda: "file,PatientID\nDOE/1,0007\nDOE/2,8\n",
    "path with suffix, semicolons": lambda: "Filename;patient id;name\nDOE\\1.dcm;0007;DOE, JANE\nDOE\\2.dcm;8;ROE\n",
    "SOPInstanceUID": lambda: f"SOP Instance UID\tPatient\n{uid_of('DOE/1')}\t7\n{uid_of('DOE/2')}\t8\n",
    "AccessionNumber": lambda: "accession_number,subject_id\n12,7\nA13,8\n,9\n,10\n",
    "StudyInstanceUID": lambda: "StudyInstanceUID,PatientID,series\n1.2.3,7,1\n1.2.3,7.0,2\n1.2.4,8,1\n",
}


@pytest.mark.parametrize("kind", TABLES_OF_PATIENTS)
def test_a_table_gives_the_patients_that_headers_do_not_state(
    kind: str, inbox: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    bring(inbox, "DOE/1", 1, change=nobody("00012"))
    bring(inbox, "DOE/2", 2, change=nobody("A13", "1.2.4"))
    bring(inbox, "DOE/3", 3, change=lambda data: setattr(data, "PatientID", "00-07"))
    (inbox / "DOE_JANE.csv").write_text(TABLES_OF_PATIENTS[kind]())
    text = main(settings())
    patients = manifest()["patient_id"]
    # A number that a spreadsheet cut short is spelled as a header has it, so that a patient has one pseudonym.
    assert sorted(patients) == sorted([KEY.name("patient", "00-07")] * 2 + [KEY.name("patient", "8")])
    for film in RAW.glob("dicom/*"):
        data = dcmread(film)
        assert data.PatientID == data.PatientName == manifest().set_index("image_id")["patient_id"][film.stem]
    page = QUALITY.read_text()
    assert "hospital: file 7 of the export (sorted by path) gives patients of 2 of 3 films" in page
    assert "3 films + 3 label files + 1 tables + 0 refused + 0 left out" in text
    outputs = b"".join(file.read_bytes() for file in [*RAW.rglob("*"), QUALITY] if file.is_file())
    assert b"DOE" not in outputs + text.encode() + "".join(capfd.readouterr()).encode()


@pytest.mark.parametrize(
    ("tables", "reason"),
    [
        ({"a.csv": "file,patient\nDOE/9,DOE\n"}, "expected names of films of this source, found 1 others"),
        ({"a.csv": "file,patient\nDOE/1,\n"}, "expected patients of films, found blank cells only"),
        ({"a.csv": "born,patient\nDOE/1,DOE\n"}, "(filename, SOPInstanceUID, AccessionNumber, StudyInstanceUID)"),
        ({"a.csv": "accession,patient\n5,DOE\n5,ROE\n"}, "expected one row per image, found something else"),
        ({"a.csv": "file,patient\nDOE/1,DOE\nDOE/2,4\n"}, "expected one patient in header and table, found two"),
        (
            {"a.csv": "file,patient\nDOE/1,DOE\n", "b.tsv": "accession\tpatient\n5\tROE\n"},
            "found file 5 of the export (sorted by path) and file 6 of the export (sorted by path), which differ",
        ),
        ({"a.xlsx": "no workbook"}, "expected an XLSX workbook, found something else"),
    ],
)
def test_a_table_that_gives_no_patient_or_contradicts_is_refused(
    tables: dict[str, str], reason: str, inbox: Path
) -> None:
    bring(inbox, "DOE/1", 1, change=nobody("5"))
    bring(inbox, "DOE/2", 2, change=lambda data: setattr(data, "PatientID", "3"))
    for name, content in tables.items():
        (inbox / name).write_text(content)
    said = refused()
    assert reason in said
    assert "ROE" not in said


def test_tables_of_a_hospital_without_patients_are_left_out(inbox: Path) -> None:
    bring(inbox, "DOE/1", 1)
    (inbox / "doses.csv").write_text("file,dose,split\nDOE/1,3,DOE\n")
    (inbox / "~$patients.xlsx").write_bytes(b"DOE")
    assert "1 films + 1 label files + 0 tables + 0 refused + 2 left out" in main(settings())
    assert "DOE" not in QUALITY.read_text() + (RAW / "manifest.csv").read_text()


@pytest.mark.parametrize(
    "files",
    [
        {"DOE_JANE.yaml": "kpt_shape: [2, 2]\n"},
        {"DOE_JANE.yaml": "names: [a]\n", "DOE/classes.txt": "b\n"},
    ],
    ids=["key points", "classes that differ"],
)
def test_files_of_labels_that_cannot_be_read_are_called_by_their_numbers(files: dict[str, str], inbox: Path) -> None:
    """Their names may be a patient's."""
    bring(inbox, "DOE/1", 1)
    for name, content in files.items():
        (inbox / name).write_text(content)
    with pytest.raises(UserError, match=r"file \d of the export") as failed:
        main(settings({"annotations": "yolo"}))
    assert "DOE" not in str(failed.value)


def test_a_patient_of_a_table_who_withdrew_is_left_out(inbox: Path) -> None:
    bring(inbox, "DOE/1", 1, change=nobody())
    bring(inbox, "DOE/2", 2)
    (inbox / "patients.csv").write_text("file,patient\nDOE/1,7\n")
    Path("data/pins").mkdir(parents=True, exist_ok=True)
    Path("data/pins/withdrawn.csv").write_text(f"patient_id,withdrawn,key_id\n{KEY.name('patient', '7')},2026-01-01,\n")
    main(settings())
    assert list(manifest()["patient_id"]) == [KEY.name("patient", "MRN700002")]


def test_a_patient_who_withdrew_is_known_by_any_spelling_of_the_number(inbox: Path) -> None:
    """The header that gave a table's number its spelling leaves the export; the patient must not come back."""
    bring(inbox, "DOE/1", 1, change=lambda data: setattr(data, "PatientID", "00-07"))
    bring(inbox, "DOE/2", 2, change=nobody())
    bring(inbox, "DOE/3", 3, patient=5)
    (inbox / "patients.csv").write_text("file,patient\nDOE/2,7\n")
    main(settings())
    numbers = NUMBERS.read(RAW).set_index("patient_id")["number_id"]
    gone = KEY.name("patient", "00-07")
    assert set(numbers.index) == set(manifest()["patient_id"]) == {gone, KEY.name("patient", "MRN700005")}
    (inbox / "DOE/1").unlink()
    (inbox / "DOE/1.xml").unlink()
    main(settings())
    assert KEY.name("patient", "7") in set(manifest()["patient_id"])  # another pseudonym, of the same number
    withdraw_from_ingest(gone, numbers[gone])
    main(settings())
    assert list(manifest()["patient_id"]) == [KEY.name("patient", "MRN700005")]


def withdraw_from_ingest(*pseudonyms: str) -> None:
    """As `wrist audit withdraw` records a patient and the patient's number."""
    Path("data/pins").mkdir(parents=True, exist_ok=True)
    rows = "".join(f"{pseudonym},2026-01-01,{KEY.id}\n" for pseudonym in pseudonyms)
    Path("data/pins/withdrawn.csv").write_text(f"patient_id,withdrawn,key_id\n{rows}")


def test_films_of_a_patient_who_withdrew_are_not_among_the_refused(inbox: Path) -> None:
    """One with text in its pixels and one without labels: neither ends the stage, and no table has them."""
    bring(inbox, "DOE/1", 1, patient=5)
    bring(inbox, "DOE/2", 2, patient=2, change=lambda data: setattr(data, "BurnedInAnnotation", "YES"))
    bring(inbox, "DOE/3", 3, patient=2, label=False)
    withdraw_from_ingest(KEY.name("patient", "MRN700002"))
    text = main(settings({"unlabelled": "refuse"}))
    assert "0 refused" in text
    assert len(QUARANTINE.read(RAW)) == 0
    assert list(manifest()["patient_id"]) == [KEY.name("patient", "MRN700005")]


@pytest.mark.parametrize("asks", ["stat", "is_symlink"])
def test_a_file_that_cannot_be_looked_at_is_not_called_by_its_name(
    asks: str, inbox: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As one in a folder that may be listed and not entered, or on a share that went away."""
    bring(inbox, "DOE/1", 1)
    whole = getattr(Path, asks)

    def closed(path: Path, **options: Any) -> Any:
        if "DOE" in path.parts or path.name == "DOE":
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return whole(path, **options)

    monkeypatch.setattr(Path, asks, closed)
    with pytest.raises(UserError, match="found one that cannot \\(Permission denied\\)") as failed:
        main(settings())
    assert "DOE" not in str(failed.value)


def test_another_key_brings_no_patient_back_who_withdrew(inbox: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Under another key the patient has another pseudonym, by which nobody would know them."""
    bring(inbox, "DOE/1", 1, 1)
    bring(inbox, "DOE/2", 2, 2)
    gone = KEY.name("patient", "MRN700001")
    table = Path("data/pins/withdrawn.csv")
    table.parent.mkdir(parents=True, exist_ok=True)
    table.write_text(f"patient_id,withdrawn,key_id\n{gone},2026-01-01,{KEY.id}\n")
    main(settings())
    assert list(manifest()["patient_id"]) == [KEY.name("patient", "MRN700002")]
    other = Key(b"o" * 32)
    monkeypatch.delenv("PSEUDONYM_KEY_FILE")
    monkeypatch.setenv("PSEUDONYM_KEY", "o" * 32)
    said = refused()
    assert f"withdrawn.csv: expected patients who withdrew under the key {other.id}, found 1 of {KEY.id}" in said
    again = f"{other.name('patient', 'MRN700001')},2026-01-01,{other.id}"  # one withdrawal names all that versions have
    table.write_text(f"{table.read_text()}{again}\n")
    main(settings())
    assert list(manifest()["patient_id"]) == [other.name("patient", "MRN700002")]


def test_a_file_beyond_the_limit_is_not_opened(inbox: Path) -> None:
    bring(inbox, "DOE/1", 1)
    with (inbox / "DOE/2").open("wb") as file:
        file.truncate(2 * 2**20)
    assert "file 3 of the export (sorted by path): expected a file of at most 1 MB, found 2 MB" in refused(
        limits={"file_mb": 1}
    )


def test_a_dangling_link_and_a_closed_folder_are_told_without_their_names(inbox: Path) -> None:
    bring(inbox, "DOE/1", 1)
    (inbox / "DOE/2").symlink_to(inbox / "DOE/nowhere")
    said = "expected a file that can be read, found No such file or directory; bring it back, or remove the link to it"
    assert f"file 3 of the export (sorted by path): {said}" in refused()
    (inbox / "DOE/2").unlink()

    def closed(top: object, onerror: Callable[[OSError], None], **_: object) -> object:
        onerror(PermissionError(13, "Permission denied", str(inbox / "DOE")))
        return iter(())

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("os.walk", closed)  # root, who runs tests in containers, may read everything
        with pytest.raises(UserError, match="found one that cannot") as fault:
            hospital_films(inbox, "hospital", Hospital(annotations="voc"), settings().limits, KEY, None)  # type: ignore[arg-type]
    assert "DOE" not in str(fault.value)


def test_unlabelled_films_are_refused_or_have_no_fracture(inbox: Path) -> None:
    bring(inbox, "DOE/1", 1, label=False)
    assert "expected its labels" in refused()
    with pytest.raises(UserError, match="expected voc labels of its 1 films, found none"):
        main(settings(hospital={"unlabelled": "no_fracture"}))
    main(settings(hospital={"annotations": "none", "unlabelled": "no_fracture"}))
    assert manifest()["fractures"].sum() == 0
    said = "hospital: 1 of 1 films have no labels and count as free of fractures"
    assert said in Path("reports/data_quality.md").read_text()


def test_hospital_films_need_a_secret_key_outside_the_project(inbox: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bring(inbox)
    monkeypatch.delenv("PSEUDONYM_KEY_FILE")
    with pytest.raises(UserError, match="PSEUDONYM_KEY_FILE: expected the path"):
        main(settings())
    monkeypatch.setenv("PSEUDONYM_KEY_FILE", "nowhere")
    with pytest.raises(UserError, match="found no file there"):
        main(settings())
    Path("key").write_bytes(b"k" * 32)
    monkeypatch.setenv("PSEUDONYM_KEY_FILE", "key")
    with pytest.raises(UserError, match="expected a file outside the project, found one in it"):
        main(settings())
    monkeypatch.delenv("PSEUDONYM_KEY_FILE")
    monkeypatch.setenv("PSEUDONYM_KEY", "short")
    with pytest.raises(UserError, match="at least 32 random bytes, found 5"):
        main(settings())
    monkeypatch.setenv("PSEUDONYM_KEY", "k" * 32)
    assert read_key() == KEY
    main(settings())
    assert manifest()["key_id"][0] == KEY.id


def test_the_key_does_not_travel_in_clear(inbox: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DASK_SCHEDULER_ADDRESS", "tcp://localhost:8786")
    with pytest.raises(UserError, match="expected a tls:// address for hospital films"):
        read_key()


def test_a_deeper_annotation_file_of_many_films_is_read(inbox: Path) -> None:
    bring(inbox, "DOE/1", 1, label=False)
    (inbox / "labels.csv").write_text("filename,label,xmin,ymin,xmax,ymax\nDOE/1,f,1,2,30,40\n")
    main(settings(hospital={"annotations": "csv"}))
    assert ANNOTATIONS.read(RAW)["points"][0] == "1 2 30 40"
    (inbox / "labels.csv").write_text("filename,label,xmin,ymin,xmax,ymax\nDOE/9,f,1,2,30,40\n")
    assert "line 2: labels refer to a missing image; add the image" in refused(hospital={"annotations": "csv"})
