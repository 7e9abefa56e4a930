"""De-identified films are what the standard asks of a CR, DX or CT file, wherever the original was."""

import json
import shutil
import subprocess
from functools import cache
from importlib.resources import files
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from pydicom import Dataset, dcmread

from stages.ingest.dicom.deidentify import CODES, REGIONS, deidentified, is_direction, to_bytes
from stages.ingest.dicom.pseudonyms import Key
from stages.ingest.dicom.read import DicomFilm, read_film
from stages.ingest.params import CtWindow, Sample
from stages.ingest.problems import Unreadable
from stages.ingest.sources.sample import SampleFilm, dicom_file, draw

KEY = Key(b"k" * 32)
CR, DX, CT = "CR", "DX", "CT"
PYDICOMS = [Path(str(files(package))) / "data" for package in ("pydicom", "data_store")]


def film(kind: str, patient: int = 1) -> bytes:
    plan = SampleFilm(1, patient, "hospital", kind)
    return dicom_file(plan, draw(plan, Sample(seed=3, films=16, width=96)), 3)


def read(content: bytes) -> DicomFilm:
    return read_film(content, 64, CtWindow(centre=400, width=2000), None)


def passed_on(content: bytes) -> bytes:
    """The file that the ward's film becomes."""
    film = read(content)
    return to_bytes(deidentified(film.header, film.stored, KEY, film.masked))


@cache
def table(name: str) -> dict[str, Any]:
    """A table of PS3.3 as highdicom has it."""
    found: dict[str, Any] = json.loads((files("highdicom") / f"_standard/{name}.json").read_text())
    return found


def required(sop_class: str) -> dict[str, str]:
    """The attributes of the mandatory modules that must be present: type 2, or 1 where they must have a value."""
    iod = table("sop_class_iod_map")[sop_class]
    modules = [module["key"] for module in table("iod_module_map")[iod] if module["usage"] == "M"]
    rows = [row for key in modules for row in table("module_attribute_map")[key] if not row["path"]]
    types = {row["keyword"]: row["type"] for row in sorted(rows, key=lambda row: str(row["type"]), reverse=True)}
    found = {name: kind for name, kind in types.items() if kind in ("1", "2")}
    assert len(found) > 25
    return found


def lacking(data: Dataset) -> set[str]:
    """What must be present and is not, or must have a value and has none."""
    kinds = required(data.SOPClassUID)
    return {name for name, kind in kinds.items() if name not in data or (kind == "1" and data[name].is_empty)}


@pytest.mark.parametrize("patient", [1, 2, 3])
@pytest.mark.parametrize("kind", [CR, DX, CT])
def test_films_of_the_sample_are_complete_before_and_after(kind: str, patient: int) -> None:
    original = film(kind, patient)
    assert lacking(dcmread(BytesIO(original))) == set()
    assert lacking(dcmread(BytesIO(passed_on(original)))) == set()


@pytest.mark.parametrize("kind", [CR, DX, CT])
def test_what_may_be_empty_is_there_also_where_the_original_lacks_it(kind: str) -> None:
    bare = dcmread(BytesIO(film(kind)))
    for name, kind in required(bare.SOPClassUID).items():
        if kind == "2" and name not in ("PatientID", "StudyDate"):
            del bare[name]
    buffer = BytesIO()
    bare.save_as(buffer)
    data = dcmread(BytesIO(passed_on(buffer.getvalue())))
    assert lacking(data) == set()
    assert data["Manufacturer"].is_empty


def test_free_text_in_what_is_kept_leaves_it_empty() -> None:
    data = dcmread(BytesIO(film(CT)))
    for name in ("PatientPosition", "BodyPartExamined", "Laterality"):
        data[name].value = "SURNAME"
    data.ImageType = ["ORIGINAL", "PRIMARY", "SURNAME"]
    data.PatientOrientation = ["SURNAME", "HAL"]
    buffer = BytesIO()
    data.save_as(buffer)
    written = passed_on(buffer.getvalue())
    assert b"SURNAME" not in written
    new = dcmread(BytesIO(written))
    assert new["PatientPosition"].is_empty
    assert list(new.ImageType) == ["ORIGINAL", "PRIMARY"]
    assert "PatientOrientation" not in new


def test_a_number_that_is_none_is_left_out_and_does_not_refuse_the_film() -> None:
    data = dcmread(BytesIO(film(CT)))
    data.add_new("SliceThickness", "LO", "SURNAME")
    buffer = BytesIO()
    data.save_as(buffer)
    assert b"SURNAME" not in passed_on(buffer.getvalue())


def test_a_padded_code_is_the_code() -> None:
    data = dcmread(BytesIO(film(CT)))
    data.ImageType = ["DERIVED ", "PRIMARY", "AXIAL "]
    buffer = BytesIO()
    data.save_as(buffer)
    assert list(dcmread(BytesIO(passed_on(buffer.getvalue()))).ImageType) == ["DERIVED", "PRIMARY", "AXIAL"]


@pytest.mark.parametrize(
    ("value", "sound"),
    [("L", True), ("F", True), ("AFR", True), ("RAF", True), ("", False), ("LR", False), ("LL", False), ("X", False)],
)
def test_directions_are_those_of_the_standard(value: str, sound: bool) -> None:
    assert is_direction(value) == sound


def test_the_codes_of_regions_are_those_of_the_standard() -> None:
    """The body part of a DX film without a code here stands alone, since the table has none for it."""
    known = {name: tuple(row[:3]) for name, row in table("anatomic_regions").items()}
    assert {name: ("SCT", *region) for name, region in REGIONS.items()} == {name: known[name] for name in REGIONS}
    assert CODES["BodyPartExamined"] - REGIONS.keys() == CODES["BodyPartExamined"] - known.keys()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_a_public_judge_finds_no_error_that_the_original_did_not_have(tmp_path: Path) -> None:
    if (judge := shutil.which("dciodvfy")) is None:
        pytest.skip("no dciodvfy on this machine; Debian's package dicom3tools brings it")

    def errors(content: bytes) -> set[str]:
        (tmp_path / "film.dcm").write_bytes(content)
        done = subprocess.run([judge, "-new", str(tmp_path / "film.dcm")], capture_output=True, text=True, check=False)
        return {line for line in (done.stdout + done.stderr).splitlines() if line.startswith("Error")}

    for kind in (CR, DX, CT):
        for patient in (1, 2, 3):
            original = film(kind, patient)
            assert errors(original) == errors(passed_on(original)) == set(), (kind, patient)
    compared = 0
    for path in sorted(path for folder in PYDICOMS for path in folder.rglob("*.dcm")):
        try:
            new = passed_on(path.read_bytes())
        except Unreadable:
            continue
        compared += 1
        assert errors(new) <= errors(path.read_bytes()), path.name
    assert compared > 10
