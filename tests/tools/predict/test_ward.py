"""A ward's folder: odd headers, odd names, its own outputs; what is written about all of them."""

import csv
import json
import os
import re
import shutil
import subprocess
import sys
import time
import warnings
from io import BytesIO
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pydicom
import pytest
from highdicom.seg import segread
from PIL import Image, ImageFont
from playwright.sync_api import Browser
from pydicom import Dataset, dcmread
from pydicom.uid import ExplicitVRBigEndian

from stages.common.core.errors import UserError
from stages.common.core.files import read_json
from stages.ingest.dicom.values import NUMBERS
from tests.helpers.odd_films import NAME, ODD, refused_files, sample_film
from tests.helpers.paths import ROOT
from tests.helpers.stub_model import stub_model
from tools.predict import batch
from tools.predict.films import find_films
from tools.predict.index import write_pages
from tools.predict.outputs import BAND, UNFAMILIAR, WARNING, PredictionRecord, film_overlay, measured_lines

FORMATS = ["dicom-seg", "json", "png"]


@pytest.fixture(autouse=True)
def model(monkeypatch: pytest.MonkeyPatch) -> None:
    """A model without training in place of the one that a user names."""
    made = stub_model()
    monkeypatch.setattr(batch, "open_model", lambda *_, **__: made)
    return made


def run(folder: Path, output: Path, formats: list[str] = FORMATS) -> int:
    return batch.predict_films([str(folder)], "stub", output, formats)


def summary(output: Path) -> dict[str, dict[str, str]]:
    with (output / "summary.csv").open(newline="") as file:
        return {row["film"]: row for row in csv.DictReader(file)}


PADDING = {"PixelPaddingValue", "PixelPaddingRangeLimit"}  # two bytes of any text are a number


@pytest.mark.filterwarnings("ignore")
def test_an_odd_number_in_a_header_ends_one_film_with_the_attributes_name(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    for name in NUMBERS:
        for kind, value in ODD.items():
            (tmp_path / f"{name}-{kind}").write_bytes(sample_film(**{name: value}))
    (tmp_path / "sound").write_bytes(sample_film())
    failed = run(tmp_path, tmp_path / "out", ["json"])
    rows, said = summary(tmp_path / "out"), capsys.readouterr()
    refused = {name: row["reason"] for name, row in rows.items() if row["result"] == "refused"}
    assert failed == len(refused)
    assert len(rows) == len(NUMBERS) * len(ODD) + 1
    assert {name.split("-")[0] for name in refused} == set(NUMBERS) - PADDING
    for film, reason in refused.items():
        assert film.split("-")[0] in reason, reason
        assert f"{film}: {reason}" in said.err
    whole = said.out + said.err + caplog.text + "".join(map(str, rows.values()))
    assert not [word for word in ("Maret", "SURNAME", "Error", "0x") if word in whole]


NAMES = {
    "Japanese": "Yamada^Tarou=山田^太郎",
    "Chinese": "Wang^XiaoDong=王^小东",
    "Russian": "Люкceмбypг",
    "Latin 9": "Müller^Jörg Šœ€",
}
LEGAL: dict[str, dict[str, bytes | str | list[str]]] = {
    "birth date in words": {"PatientBirthDate": b"12 Maret 1960 "},
    "no name": {"PatientName": b""},
    "no numbers": {"AccessionNumber": b"", "StudyID": b"", "StudyDate": b"", "StudyTime": b"", "PatientID": b""},
    "another sex": {"PatientSex": b"W "},
    "Latin 9": {"SpecificCharacterSet": b"ISO_IR 203", "PatientName": b"M_ller^J_rg ___ "},
    "Japanese": {"SpecificCharacterSet": ["", "ISO 2022 IR 87"], "PatientName": NAMES["Japanese"]},
    "Chinese": {"SpecificCharacterSet": "GB18030", "PatientName": NAMES["Chinese"]},
    "Russian": {"SpecificCharacterSet": "ISO_IR 144", "PatientName": NAMES["Russian"]},
    "unknown set": {"SpecificCharacterSet": b"LATIN-X ", "PatientName": b"M\xfcller"},
    "no set": {"SpecificCharacterSet": b"", "PatientName": b"M\xfcller"},
    "frame of reference": {"FrameOfReferenceUID": b"1.2.3.4\0"},
    "long name": {"PatientName": NAME.encode() * 20},
}


@pytest.mark.filterwarnings("ignore")
def test_rare_headers_keep_their_segmentation_and_reach_no_other_output(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    for name, changes in LEGAL.items():
        latin = NAMES["Latin 9"].encode("iso8859_15")
        (tmp_path / name).write_bytes(sample_film(**changes).replace(b"M_ller^J_rg ___", latin))
    big = dcmread(BytesIO(sample_film()))
    big.PixelData = big.pixel_array.astype(">u2").tobytes()
    big.file_meta.TransferSyntaxUID = ExplicitVRBigEndian
    buffer = BytesIO()
    pydicom.dcmwrite(buffer, big, implicit_vr=False, little_endian=False, force_encoding=True)
    (tmp_path / "big endian").write_bytes(buffer.getvalue())
    assert run(tmp_path, tmp_path / "out") == 0
    said = "".join(capfd.readouterr())
    for film in (*LEGAL, "big endian"):
        folder = tmp_path / "out" / film
        assert read_json(folder / "prediction.json")["no_dicom_seg"] is None, film
        data, original = segread(folder / "segmentation.dcm"), dcmread(tmp_path / film)
        mask = np.asarray(Image.open(folder / "mask.png")) > 0
        np.testing.assert_array_equal(dcmread(folder / "segmentation.dcm").pixel_array.squeeze() > 0, mask)
        assert mask.any()
        for name in ("StudyInstanceUID", "AccessionNumber", "PatientID"):
            assert (data.get(name) or "") == (original.get(name) or ""), film
        if film in NAMES:
            assert str(data.PatientName) == NAMES[film]
        said += (folder / "prediction.json").read_text()
    assert not [word for word in ("Maret", "SURNAME", "ller", "Yamada", "Warning") if word in said]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("changes", [{}, LEGAL["no numbers"], LEGAL["Japanese"]])
def test_a_segmentation_follows_from_film_mask_and_model_and_not_from_the_clock(
    changes: dict[str, bytes | str | list[str]], tmp_path: Path
) -> None:
    from tools.predict.seg import write_seg

    header = dcmread(BytesIO(sample_film(**changes)))
    mask = np.zeros((header.Rows, header.Columns), dtype=bool)
    mask[3:9, 4:12] = True
    cases = {"one": (mask, "m"), "again": (mask, "m"), "other mask": (~mask, "m"), "model": (mask, "n")}
    for name, (of_case, model) in cases.items():
        write_seg(tmp_path / name, header, of_case, model, "research only")
        time.sleep(0.01)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "again").read_bytes()
    made = {name: dcmread(tmp_path / name) for name in cases}
    for name in ("SOPInstanceUID", "SeriesInstanceUID"):
        assert len({made[case][name].value for case in ("one", "other mask", "model")}) == 3
        assert all(made[case][name].value.is_valid for case in cases)
    assert made["one"].ContentDate == (header.get("StudyDate") or "19000101")


@pytest.mark.filterwarnings("ignore")
def test_segmentations_are_what_the_standard_asks(tmp_path: Path) -> None:
    judge = shutil.which("dciodvfy")
    if judge is None:
        pytest.skip("no dciodvfy on this machine; Debian's package dicom3tools brings it")
    for name in ("birth date in words", "no numbers", "Japanese"):
        (tmp_path / name).write_bytes(sample_film(**LEGAL[name]))
    shutil.copy(str(pydicom.data.get_testdata_file("CT_small.dcm")), tmp_path)
    assert run(tmp_path, tmp_path / "out") == 0
    segmentations = sorted((tmp_path / "out").rglob("segmentation.dcm"))
    assert len(segmentations) == 4
    for path in segmentations:
        done = subprocess.run([judge, str(path)], capture_output=True, text=True, check=False)
        assert "Error" not in done.stdout + done.stderr


def test_a_header_without_a_study_keeps_the_other_outputs(tmp_path: Path) -> None:
    (tmp_path / "film").write_bytes(sample_film(StudyInstanceUID=NAME.encode() + b"\0"))
    assert run(tmp_path, tmp_path / "out") == 0
    problem = read_json(tmp_path / "out/film/prediction.json")["no_dicom_seg"]
    assert problem == "the film has no valid StudyInstanceUID, to which a segmentation must refer"
    assert summary(tmp_path / "out")["film"]["reason"].endswith(f"no DICOM SEG: {problem}")


def test_the_table_and_the_page_hold_every_file_and_what_needs_a_look_first(
    tmp_path: Path, browser: Browser, capsys: pytest.CaptureFixture[str]
) -> None:
    inbox = tmp_path / "films"
    (inbox / "ward 1 #2").mkdir(parents=True)
    odd = 'a?b"<b>&é.dcm'
    (inbox / "ward 1 #2" / odd).write_bytes(sample_film())
    Image.new("L", (100, 80)).save(inbox / "black.png")
    (inbox / "cut.png").write_bytes(b"no film")
    (inbox / "notes.txt").write_text("text")
    for name in (".DS_Store", "._black.png", "Thumbs.db"):
        (inbox / name).write_bytes(b"x")
    output = inbox / "out"
    earlier = dict.fromkeys(PredictionRecord.__annotations__) | {"regions": [], "familiar": {"is": True}}
    for name, text in {
        "earlier": json.dumps(earlier | {"probability_max": 0.1, "uncertainty": 0.2}),
        "damaged": "{",
    }.items():
        (output / f"{name}.png").mkdir(parents=True)
        (output / f"{name}.png/prediction.json").write_text(text)
    assert run(inbox, output) == 1
    assert "predict: 1 predictions are damaged or of another version" in capsys.readouterr().err
    first = {path: path.read_bytes() for path in (output / "summary.csv", output / "index.html")}
    rows = summary(output)
    assert {name: row["result"] for name, row in rows.items()} == {
        "cut.png": "refused",
        "black.png": "unfamiliar",
        f"ward 1 #2/{odd}": "marked",
        "earlier.png": "not marked",
        "notes.txt": "left out",
    }
    assert list(rows) == ["cut.png", "black.png", f"ward 1 #2/{odd}", "earlier.png", "notes.txt"]
    # sigmoid(2 * 4 + 0.5): the stub's largest logit is 4 where it marks something.
    assert (rows[f"ward 1 #2/{odd}"]["probability_max"], rows[f"ward 1 #2/{odd}"]["fracture_probability"]) == (
        "0.9820",
        "0.9998",
    )
    assert (rows["earlier.png"]["fracture_probability"], rows["cut.png"]["fracture_probability"]) == ("", "")
    assert run(inbox, output) == 1  # what it wrote itself is no film
    assert re.search(r"predict: \d+ files of earlier predictions are passed over", capsys.readouterr().err)
    assert {path: path.read_bytes() for path in first} == first
    assert str(tmp_path) not in "".join(content.decode() for content in first.values())
    page = browser.new_page()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto((output / "index.html").as_uri())
    assert page.locator("img").evaluate_all("all => all.every(one => one.complete && one.naturalWidth > 0)")
    for link in page.locator("a").evaluate_all("all => all.map(one => one.href)"):
        assert Path(unquote(link.removeprefix("file://").split("#")[0])).is_file()
    assert all(url.startswith("file://") for url in asked)
    text = page.inner_text("main")
    assert WARNING in page.inner_text("header")
    assert "The probability of a fracture holds where fractures are as common" in page.inner_text("header")
    assert odd in text
    assert text.index("cut.png") < text.index("black.png") < text.index(odd) < text.index("notes.txt")
    page.locator(f"img[alt*='{odd[-8:]}']").click()
    page.locator("#viewer figcaption:has-text('marked from')").wait_for()
    assert page.locator("#viewer-title").inner_text() == f"ward 1 #2/{odd}"
    page.reload()  # its address
    page.locator("#viewer figcaption:has-text('marked from')").wait_for()
    page.keyboard.press("ArrowRight")
    page.locator("#viewer-title:has-text('black.png')").wait_for()
    assert page.locator("#viewer-problem").is_hidden()
    page.close()


def test_marked_films_stand_by_their_highest_probability(tmp_path: Path) -> None:
    record = dict.fromkeys(PredictionRecord.__annotations__) | {"regions": [{}], "familiar": {"is": True}}
    for name, probability in (("a", 0.6), ("b", 0.95), ("c", 0.7)):
        (tmp_path / name).mkdir()
        text = json.dumps(record | {"probability_max": probability, "uncertainty": probability})
        (tmp_path / name / "prediction.json").write_text(text)
    write_pages(tmp_path, {}, "uncertainty", ["json"])
    assert list(summary(tmp_path)) == ["b", "c", "a"]
    page = (tmp_path / "index.html").read_text()
    assert re.findall(r"<h3>(.)</h3>", page) == ["b", "c", "a"]
    assert "probability of a fracture" not in page.lower()


def test_a_refused_film_shows_nothing_of_the_film_that_it_replaced(tmp_path: Path) -> None:
    film = tmp_path / "in/a.png"
    film.parent.mkdir()
    Image.new("L", (100, 80)).save(film)
    assert run(film, tmp_path / "out") == 0
    earlier = ("a.png/overlay.jpg", "a.png/layers.js", "a.png/prediction.json")
    assert all(address in (tmp_path / "out/index.html").read_text() for address in earlier)
    film.write_bytes(b"no film")
    assert run(film, tmp_path / "out") == 1
    assert not [address for address in earlier if address in (tmp_path / "out/index.html").read_text()]


def test_an_output_where_a_file_lies_is_refused_and_the_file_stays(tmp_path: Path) -> None:
    film = tmp_path / "a.png"
    Image.new("L", (100, 80)).save(film)
    before = film.read_bytes()
    with pytest.raises(UserError, match=r"--output .*expected a folder, found the file .*a\.png; choose another"):
        run(film, film)
    with pytest.raises(UserError, match=r"expected a folder, found the file .*a\.png"):
        run(film, film / "below")
    with pytest.raises(UserError, match=r"would replace the file .*a\.png; choose another"):
        run(tmp_path, tmp_path)
    assert film.read_bytes() == before
    assert list(tmp_path.iterdir()) == [film]


@pytest.mark.parametrize(
    "names",
    [
        ["a.png/notes.txt"],
        ["a.png/mask.png"],  # somebody's own: no prediction.json says that this command wrote it
        ["a.png/prediction.json", "a.png/notes.txt"],
        ["summary.csv"],
        ["index.html"],
        ["index.html/notes.txt"],
    ],
)
def test_an_output_with_files_of_others_is_refused_and_they_stay(names: list[str], tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    Image.new("L", (100, 80)).save(tmp_path / "in/a.png")
    for name in names:
        (tmp_path / "out" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "out" / name).write_text("mine")
    with pytest.raises(UserError, match=r"expected a new (folder|file) or one of this command's"):
        run(tmp_path / "in", tmp_path / "out")
    assert sorted(path for path in (tmp_path / "out").rglob("*") if path.is_file()) == sorted(
        tmp_path / "out" / name for name in names
    )
    assert {(tmp_path / "out" / name).read_text() for name in names} == {"mine"}


def test_films_whose_folders_would_lie_in_one_another_are_refused(tmp_path: Path) -> None:
    (tmp_path / "y/a.png").mkdir(parents=True)
    for path in (tmp_path / "a.png", tmp_path / "y/a.png/1.png"):
        Image.new("L", (100, 80)).save(path)
    with pytest.raises(UserError, match="expected films of different names"):
        find_films([str(tmp_path / "a.png"), str(tmp_path / "y")])


def test_half_a_prediction_and_links_to_folders_are_no_films_and_counted(tmp_path: Path) -> None:
    (tmp_path / "in/.a.png-partial-x").mkdir(parents=True)
    for path in (tmp_path / "in/a.png", tmp_path / "in/.a.png-partial-x/mask.png"):
        Image.new("L", (100, 80)).save(path)
    (tmp_path / "in/elsewhere").symlink_to(tmp_path, target_is_directory=True)
    found = find_films([str(tmp_path / "in")])
    assert [name.as_posix() for _, name in found.films] == ["a.png"]
    assert sorted(name.as_posix() for _, name in found.others) == [".a.png-partial-x/mask.png", "elsewhere"]


def test_a_blank_name_is_not_the_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As that of a variable of the shell that was not set."""
    monkeypatch.chdir(tmp_path)
    Image.new("L", (100, 80)).save("a.png")
    with pytest.raises(UserError, match="found a blank name"):
        find_films([""])


def test_a_film_that_is_a_circle_of_links_is_refused_by_itself(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "in").mkdir()
    Image.new("L", (100, 80)).save(tmp_path / "in/a.png")
    (tmp_path / "in/circle.png").symlink_to("circle.png")
    assert run(tmp_path / "in", tmp_path / "out", ["json"]) == 1
    assert "circle.png: expected" in capsys.readouterr().err
    assert {row["film"]: row["result"] for row in summary(tmp_path / "out").values()}["circle.png"] == "refused"


def test_pipes_devices_and_spoilt_predictions_end_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "in").mkdir()
    for name in ("pipe", "pipe.png"):
        os.mkfifo(tmp_path / "in" / name)
    (tmp_path / "in/zero.dcm").symlink_to("/dev/zero")
    with (tmp_path / "in/large.png").open("wb") as file:
        file.truncate(5 << 20)
    for name, content in {"list": "[]", "blank": "", "empty": "{}", "other": '{"input_sha256": 1}'}.items():
        Image.new("L", (100, 80)).save(tmp_path / f"in/{name}.png")
        (tmp_path / f"out/{name}.png").mkdir(parents=True)
        (tmp_path / f"out/{name}.png/prediction.json").write_text(content)
    assert run(tmp_path / "in", tmp_path / "out", ["json"]) == 3
    said = capsys.readouterr().err
    assert said.count("expected a file, found a pipe, socket or device; remove it") == 2
    assert "large.png: expected a file of at most 4 MB, found 5 MB; leave it out" in said
    assert "1 files are no films and are left out" in said
    results = {row["film"]: row["result"] for row in summary(tmp_path / "out").values()}
    assert {name for name, result in results.items() if result == "refused"} == {"pipe.png", "zero.dcm", "large.png"}
    assert len(results) == 8


def test_a_film_that_no_code_foresaw_is_refused_by_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Image.new("L", (100, 80)).save(tmp_path / "a.png")
    for function, what in {"decode": "read", "predict": "segmented", "write_prediction": "written"}.items():
        with monkeypatch.context() as patch:
            patch.setattr(batch, function, lambda *_: {}["DOE"])
            assert run(tmp_path, tmp_path / "out") == 1
        assert f"a.png: it cannot be {what}: a part that is missing; export it again" in capsys.readouterr().err


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads every folder")
def test_a_closed_folder_is_said(tmp_path: Path) -> None:
    (tmp_path / "closed").mkdir(mode=0)
    with pytest.raises(UserError, match=r"closed: expected a folder that can be read"):
        find_films([str(tmp_path)])


@pytest.mark.parametrize("formats", [["json"], ["json", "coco"]])
def test_a_film_whose_name_its_outputs_cannot_have_is_refused_and_the_others_go_on(
    formats: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A name that is too long for the folder or the picture that becomes the film's, or that a page or table has."""
    long, taken = ["x" * 251, "ü" * 121], ["index.html", "summary.csv", "written.json", "predicted_annotations"]
    longest = "y" * (240 if formats == ["json"] else 233)
    for name in (*long, *taken, "prediction.json", longest, "ward/index.html", "written.json2"):
        path = tmp_path / ("other/prediction.json" if name == "prediction.json" else f"in/{name}")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(sample_film())
    names = [str(tmp_path / "in"), str(tmp_path / "other/prediction.json")]
    for _ in range(2):
        assert batch.predict_films(names, "stub", tmp_path / "out", formats) == 7
        said = capsys.readouterr().err
        for name in long:
            most = 240 if formats == ["json"] else 233
            sentence = f"{name}: expected a name of at most {most} bytes, found {len(name.encode())}; rename the film"
            assert sentence in said
        for name in (*taken, "prediction.json"):
            assert f"{name}: expected another name, since outputs are called so; rename the film" in said
        rows = summary(tmp_path / "out")
        assert {name for name, row in rows.items() if row["result"] == "refused"} == {*long, *taken, "prediction.json"}
        assert rows.keys() >= {longest, "ward/index.html", "written.json2"}
        assert not (tmp_path / "out/prediction.json").exists()


def test_a_name_that_is_no_text_ends_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Image.new("L", (100, 80)).save(os.fsdecode(os.fsencode(tmp_path) + b"/a\xff.png"), "PNG")
    assert run(tmp_path, tmp_path / "out") == 0
    assert "a\\udcff.png" in capsys.readouterr().out
    assert list(summary(tmp_path / "out")) == ["a\\udcff.png"]


ORDERS = "a\n2 b.png: none\x1b[2K\u202e.png"  # another line, an order to the terminal, and a turn of the text
SHOWN = r"a\n2 b.png: none\x1b[2K\u202e.png"


@pytest.mark.parametrize("formats", [["json"], ["json", "coco"]])
def test_a_name_with_orders_to_a_terminal_is_shown_with_escapes(
    formats: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of a film that is segmented, of one that cannot be read, and of a file that is none."""
    name = ORDERS if formats == ["json"] else ORDERS.replace("\x1b", "")  # which no XML can hold
    (tmp_path / "in").mkdir()
    Image.new("L", (100, 80)).save(tmp_path / "in" / name, "PNG")
    (tmp_path / "in" / f"x{name}").write_text("no film")
    (tmp_path / "in" / f"{name}.txt").write_text("no film")
    assert run(tmp_path / "in", tmp_path / "out", formats) == 1
    said = "".join(capsys.readouterr())
    shown = SHOWN.replace(r"\x1b", "") if name != ORDERS else SHOWN
    assert all(f"{tmp_path}/in/{text}" in said for text in (f"{shown}: ", f"x{shown}: ", f"{shown}.txt"))
    assert all(line.isprintable() for line in said.splitlines())
    assert not any(line.startswith("2 b.png") for line in said.splitlines())


def test_a_refusal_of_a_name_with_orders_to_a_terminal_is_one_line(tmp_path: Path) -> None:
    for folder in "xy":
        (tmp_path / folder).mkdir()
        Image.new("L", (100, 80)).save(tmp_path / folder / ORDERS, "PNG")
    with pytest.raises(UserError, match="expected films of different names") as refusal:
        batch.predict_films([str(tmp_path / folder / ORDERS) for folder in "xy"], "stub", tmp_path / "out", FORMATS)
    assert str(refusal.value).isprintable()


@pytest.mark.parametrize("width", [16, 96, 420, 4000])
def test_the_notice_is_whole_and_as_large_as_its_film_needs(width: int) -> None:
    film = np.zeros((20, width), np.uint8)
    plain, strange = (film_overlay(film, film > 0, familiar)[20:].astype(int) for familiar in (True, False))
    assert plain.shape[1] == (width if width > 90 else plain.shape[1])
    for notice in (plain, strange[: len(strange) - len(plain)]):
        ground = notice[0, 0]
        ink = (np.abs(notice - ground).sum(axis=2) > 100).nonzero()
        for axis, positions in enumerate(ink):
            assert positions.min() > 0, "no letter is cut"
            assert positions.max() < notice.shape[axis] - 1
    assert (strange[0, 0] == BAND).all()
    assert len(plain) >= width / 40, "readable on the whole film"
    font = ImageFont.load_default(12)
    for text in (WARNING, UNFAMILIAR):
        lines = measured_lines(text, 120, font)
        assert " ".join(lines) == text
        assert all(font.getlength(line) <= 120 for line in lines)


def test_marked_regions_are_outlined_and_what_they_hold_stays_to_be_seen() -> None:
    film = np.random.default_rng(1).integers(0, 255, (400, 300), dtype=np.uint8)
    film[0, :2] = 0, 255
    mask = np.zeros(film.shape, dtype=bool)
    mask[100:200, 100:200] = True
    sheet = film_overlay(film, mask, familiar=True)[:400]
    grey = (sheet == sheet[:, :, :1]).all(axis=2)
    np.testing.assert_array_equal(sheet[103:197, 103:197, 0], film[103:197, 103:197])
    assert not grey[100, 100:200].any()
    assert not grey[100:200, 199].any()
    assert grey[:97].all()


TWICE = """
from tests.helpers.stub_model import stub_model
from pathlib import Path
from tools.predict import batch
batch.open_model = lambda *_, **__: stub_model()
batch.predict_films(["films"], "stub", Path("out"), ["json", "png"])
"""


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_every_refusal_is_the_same_bytes_in_another_folder_and_process(tmp_path: Path) -> None:
    content, written = refused_files(), []
    for seed in ("1", "2"):
        here = tmp_path / f"run{seed}"
        (here / "films").mkdir(parents=True)
        for name, data in content.items():
            (here / "films" / name).write_bytes(data)
        place = os.environ | {"PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "default"}
        done = subprocess.run(
            [sys.executable, "-c", TWICE], cwd=here, env=place, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        files = {path.relative_to(here).as_posix(): path.read_bytes() for path in (here / "out").rglob("*.*")}
        written.append(files | {"out": done.stdout.encode(), "err": done.stderr.encode()})
    assert written[0] == written[1]
    texts = [data for name, data in written[0].items() if name.endswith(("json", "csv", "html", "out", "err"))]
    texts = [re.sub(rb"<script>.*?</script>", b"", data, flags=re.DOTALL) for data in texts]  # the viewer's own words
    assert len([line for line in written[0]["err"].decode().splitlines() if ": expected" in line]) > 60
    hidden = (str(tmp_path), "0x", "SURNAME", "Maret", "Warning", "Traceback")
    assert not [word for word in hidden if word.encode() in b"".join(texts)]


def test_the_data_set_that_highdicom_sees_holds_nothing_else() -> None:
    from tools.predict.seg import reference_to

    header = dcmread(BytesIO(sample_film()))
    header.PatientComments, header.StudyDescription = NAME, NAME
    data: Dataset = reference_to(header)
    assert "PatientComments" not in data
    assert "StudyDescription" not in data


def test_warnings_of_one_thread_stay_silent_while_another_restores_its_filters() -> None:
    """`warnings.catch_warnings` keeps the filters of the process: who leaves first restores them for all."""
    with batch.own_stderr(), warnings.catch_warnings(record=True) as caught:
        inner = warnings.catch_warnings()
        inner.__enter__()
        warnings.simplefilter("ignore")
        inner.__exit__(None, None, None)
        warnings.warn("SURNAME^GIVEN", stacklevel=1)
    assert caught == []
