import zipfile
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from stages.common.artifacts import read_table
from stages.common.errors import Fault
from stages.common.validation import parse_boxes
from stages.ingest.__main__ import main
from stages.ingest.params import Params, Sample
from stages.ingest.records import image_id
from stages.ingest.sample import Plan, dicom_file, draw, voc_file
from stages.ingest.sources import pseudonym, table_rows
from tests.conftest import tree_hash

SAMPLE = Sample(seed=3, films=16, width=96)


def settings(*sources: str, annotations: str = "coco") -> Params:
    return Params(sources=list(sources), inbox="in", annotations=annotations, licence="CC BY 4.0", sample=SAMPLE)  # type: ignore[arg-type]


def png(width: int = 40, height: int = 30) -> bytes:
    buffer = BytesIO()
    Image.fromarray(np.arange(width * height, dtype=np.uint16).reshape(height, width)).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture
def inbox(here: Path) -> Path:
    (here / "in").mkdir()
    return here / "in"


def archive(inbox: Path, **files: bytes | str) -> None:
    with zipfile.ZipFile(inbox / "set.zip", "w") as target:
        for name, content in files.items():
            target.writestr(name.replace("__", "/").replace("_dot_", "."), content)


def hospital(inbox: Path, film: int = 1, patient: int = 2, stem: str = "DOE_JANE_19700101") -> None:
    plan = Plan(film, patient, "hospital", "DX")
    drawn = draw(plan, SAMPLE)
    (inbox / f"{stem}.dcm").write_bytes(dicom_file(plan, drawn, 3))
    (inbox / f"{stem}.xml").write_bytes(voc_file(plan, drawn))


def test_a_kaggle_archive_is_read(inbox: Path) -> None:
    archive(
        inbox,
        a__images__x_dot_png=png(),
        a__labels__x_dot_txt="0 0.5 0.5 0.5 0.5",
        a__images__y_dot_png=png(),
        a__labels__y_dot_txt="",
        a__dataset_dot_csv="filestem,patient_id\nx,1\ny,1\n",
    )
    main(settings("kaggle"))
    found = read_table(Path("data/raw/manifest.csv")).set_index("image_id")
    np.testing.assert_allclose(parse_boxes(found.loc["x", "boxes"]), [[10, 7.5, 30, 22.5]])
    assert parse_boxes(found.loc["y", "boxes"]).shape == (0, 4)
    assert found.loc["x", "patient_id"] == found.loc["y", "patient_id"]
    assert (found["bits"] == 16).all()
    assert found.loc["x", "licence"] == "CC BY 4.0"
    assert found.loc["x", "source_file"] == "a/images/x.png"


def test_all_faults_of_a_batch_are_told_and_the_old_output_stays(inbox: Path) -> None:
    archive(inbox, images__x_dot_png=png(), labels__x_dot_txt="")
    main(settings("kaggle"))
    before = tree_hash(Path("data/raw"))
    archive(
        inbox,
        images__cut_dot_png=png()[:60],
        labels__cut_dot_txt="",
        images__unlabelled_dot_png=png(),
        images__wild_dot_png=png(),
        labels__wild_dot_txt="0 0.9 0.5 0.5 0.5",
    )
    with pytest.raises(Fault) as fault:
        main(settings("kaggle"))
    assert "(3)" in str(fault.value)
    for part in ("cut.png: expected a whole", "unlabelled.txt", "wild: expected boxes inside the film of 40 x 30"):
        assert part in str(fault.value)
    assert tree_hash(Path("data/raw")) == before
    assert [p.name for p in Path("data").iterdir()] == ["raw"]


def test_hospital_films_come_without_any_trace_of_a_patient(inbox: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    key = inbox.parent / "key"
    key.write_bytes(b"k" * 32)
    monkeypatch.setenv("PSEUDONYM_KEY_FILE", str(key))
    hospital(inbox)
    main(settings("hospital"))
    found = read_table(Path("data/raw/manifest.csv"))
    assert found["patient_id"][0] == pseudonym(b"k" * 32, "patient", "MRN700002")
    assert found["photometric_interpretation"][0] == "MONOCHROME1"
    assert found["source_file"][0] == ""
    written = b"".join(p.read_bytes() for p in sorted(Path("data/raw").rglob("*")) if p.is_file())
    for mark in (b"DOE", b"JANE", b"MRN700002", b"PHANTOM", b"CHARLIE", b"Invented", b"19120101"):
        assert mark not in written


def test_faults_of_hospital_films_name_no_file(inbox: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    key = inbox.parent / "key"
    key.write_bytes(b"k" * 32)
    monkeypatch.setenv("PSEUDONYM_KEY_FILE", str(key))
    hospital(inbox)
    (inbox / "DOE_JANE_19700101.xml").unlink()
    with pytest.raises(Fault, match="DICOM file 1 of the export") as fault:
        main(settings("hospital"))
    assert "DOE" not in str(fault.value)


def test_hospital_films_need_a_secret_key(inbox: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PSEUDONYM_KEY_FILE", raising=False)
    hospital(inbox)
    with pytest.raises(Fault, match="PSEUDONYM_KEY_FILE: expected the path"):
        main(settings("hospital"))
    short = inbox.parent / "short"
    short.write_bytes(b"k")
    monkeypatch.setenv("PSEUDONYM_KEY_FILE", str(short))
    with pytest.raises(Fault, match="at least 32 random bytes, found 1"):
        main(settings("hospital"))


@pytest.mark.parametrize("annotations", ["coco", "voc", "yolo"])
def test_a_local_folder_is_read_in_every_format(annotations: str, inbox: Path) -> None:
    (inbox / "films").mkdir()
    (inbox / "films/a.png").write_bytes(png())
    (inbox / "films/b.png").write_bytes(png())
    (inbox / "patients.csv").write_text("filename,group,split\na.png,g1,train\nb.png,g1,test\n")
    if annotations == "coco":
        box = '{"images": [{"id": 1, "file_name": "a.png"}], "annotations": [{"image_id": 1, "bbox": [10, 6, 20, 12]}]}'
        (inbox / "coco.json").write_text(box)
        (inbox / "via.json").write_text("{}")
    elif annotations == "voc":
        box = "<xmin>10</xmin><ymin>6</ymin><xmax>30</xmax><ymax>18</ymax>"
        (inbox / "a.xml").write_text(f"<annotation><object><bndbox>{box}</bndbox></object></annotation>")
    else:
        (inbox / "a.txt").write_text("0 0.5 0.4 0.5 0.4")
    main(settings("folder", annotations=annotations))
    found = read_table(Path("data/raw/manifest.csv")).set_index("image_id")
    np.testing.assert_allclose(parse_boxes(found.loc["a", "boxes"]), [[10, 6, 30, 18]])
    assert parse_boxes(found.loc["b", "boxes"]).shape == (0, 4)
    assert found["patient_id"].nunique() == 1
    assert list(found["split"]) == ["train", "test"]


def test_two_coco_files_are_one_too_many(inbox: Path) -> None:
    (inbox / "a.png").write_bytes(png())
    for name in "xy":
        (inbox / f"{name}.json").write_text('{"images": [], "annotations": []}')
    with pytest.raises(Fault, match=r"expected one COCO \.json, found 2"):
        main(settings("folder"))


def test_names_that_would_overwrite_one_another_are_refused(inbox: Path) -> None:
    for folder, name in (("p", "Film.png"), ("q", "film.png")):
        (inbox / folder).mkdir()
        (inbox / folder / name).write_bytes(png())
    with pytest.raises(Fault, match="unique image names"):
        main(settings("folder", annotations="voc"))


def test_an_empty_or_missing_inbox_is_said(inbox: Path) -> None:
    with pytest.raises(Fault, match="at least one film"):
        main(settings("folder", annotations="voc"))
    inbox.rmdir()
    with pytest.raises(Fault, match=r"ingest\.inbox: expected a folder of films, found none at in"):
        main(settings("folder"))


def test_text_in_another_encoding_is_said(inbox: Path) -> None:
    archive(inbox, images__x_dot_png=png(), labels__x_dot_txt=b"\xff\xfe0")
    with pytest.raises(Fault, match=r"labels/x\.txt: expected text in UTF-8"):
        main(settings("kaggle"))
    (inbox / "a.png").write_bytes(png())
    (inbox / "a.txt").write_bytes(b"\xff")
    with pytest.raises(Fault, match=r"a\.txt: expected text in UTF-8"):
        main(settings("folder", annotations="yolo"))
    (inbox / "p.csv").write_bytes(b"\xff")
    with pytest.raises(Fault, match=r"p\.csv: expected text in UTF-8"):
        main(settings("folder", annotations="voc"))


def test_a_locked_member_is_said(inbox: Path) -> None:
    archive(inbox, images__x_dot_png=png(), labels__x_dot_txt="")
    content = bytearray((inbox / "set.zip").read_bytes())
    for signature, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        content[content.index(signature) + flags] |= 1  # bit 0: encrypted (APPNOTE 4.4.4)
    (inbox / "set.zip").write_bytes(content)
    with pytest.raises(Fault, match=r"images/x\.png: expected a whole archive member"):
        main(settings("kaggle"))


def test_a_broken_archive_is_said(inbox: Path) -> None:
    (inbox / "x.zip").write_bytes(b"PK no")
    with pytest.raises(Fault, match=r"x\.zip: expected a zip archive"):
        main(settings("kaggle"))


def test_a_table_with_a_film_twice_is_refused() -> None:
    with pytest.raises(Fault, match="found a twice"):
        table_rows("image_id,patient_id\na,1\na,2\n", "t.csv")
    assert table_rows("x,y\n1,2\n", "t.csv") == {}


def test_pseudonyms_need_the_key() -> None:
    assert pseudonym(b"k", "patient", " A1 ") == pseudonym(b"k", "patient", "A1")
    assert len({pseudonym(k, kind, "A1") for k in (b"k", b"l") for kind in ("patient", "film")}) == 4


def test_image_ids_are_safe_file_names() -> None:
    assert image_id("../a b/ü:1") == "a_b_1"
    assert image_id("...") == "image"
