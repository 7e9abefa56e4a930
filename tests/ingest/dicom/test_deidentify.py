"""Nothing of a patient gets through: markers in every text-like element of many headers, searched in every byte."""

import os
import re
import sys
from io import BytesIO
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom import Dataset, dcmread
from pydicom.datadict import DicomDictionary, dictionary_VR, keyword_for_tag
from pydicom.sequence import Sequence
from pydicom.tag import Tag

from stages.ingest.dicom.deidentify import CODES, EMPTY, EMPTY_OF, LUTS, STORED, UIDS, deidentified, to_bytes
from stages.ingest.dicom.grey_scale import display_pixels
from stages.ingest.dicom.pseudonyms import Key
from stages.ingest.dicom.read import mask_corners, read_header, stored_values
from stages.ingest.dicom.values import PLAUSIBLE
from stages.ingest.params import CtWindow, Sample
from stages.ingest.sources.sample import SampleFilm, dicom_file, draw, voc_file
from tests.helpers.params import merge
from tests.helpers.processes import run
from tests.helpers.projects import make_project

NUMBERS = (*STORED, *PLAUSIBLE)

KEY = Key(b"k" * 32)
SAMPLE = Sample(seed=3, films=16, width=96)
TEXT = (
    "LO",
    "LT",
    "PN",
    "SH",
    "ST",
    "UC",
    "UT",
    "UR",
    "CS",
    "AE",
    "OB",
    "UN",
    "DA",
    "TM",
    "DT",
    "AS",
    "UI",
    "DS",
    "IS",
)
# Without these a file is no film any more, or is refused before anything is written.
NEEDED = {
    *("SOPClassUID", "Modality", "PhotometricInterpretation", "Rows", "Columns", "PixelData", "NumberOfFrames"),
    *("PresentationLUTShape", "PresentationIntentType", "ConversionType", "ImageType", "BurnedInAnnotation"),
    *("VOILUTFunction", "WindowCenter", "WindowWidth", "RescaleSlope", "RescaleIntercept", "PixelPaddingValue"),
    *("ImagerPixelSpacing", "PixelSpacing", "SpecificCharacterSet", "SamplesPerPixel", "ImageOrientationPatient"),
    *("ImagePositionPatient", "SliceThickness", "DataSetTrailingPadding"),
}


def film(number: int = 1, patient: int = 2, kind: str = "DX") -> bytes:
    plan = SampleFilm(number, patient, "hospital", kind)
    return dicom_file(plan, draw(plan, SAMPLE), 3)


class Markers:
    """Unique strings that look like what they stand for, and a list of all that were planted."""

    def __init__(self) -> None:
        self.numbers, self.planted = count(10_000), []
        self.words = {"DOE", "JANE"}

    def make(self, vr: str) -> Any:
        n = next(self.numbers)
        value = {
            "DA": f"19{n % 90 + 10}0{n % 9 + 1}{n % 18 + 10}", "TM": f"{n % 10 + 10}3456.7{n}", "AS": f"{n % 900:03d}Y",
            "DT": f"1970010112{n}.99", "UI": f"1.2.999.{n}.888", "DS": f"7.77{n}", "IS": f"777{n}",
            "CS": f"QZ{n}MARK", "AE": f"QZ{n}MARK", "SH": f"QZ{n}MARK",
        }.get(vr, f"QZ{n}MARK^JANE")  # fmt: skip
        # Dates and ages are too short to be unique in megabytes of pixels; they are looked for in the header instead.
        if vr not in ("AS",):
            self.planted.append(value)
            self.words.add(value.removesuffix("^JANE"))
        return value.encode() if vr in ("OB", "UN") else value

    def plant(self, data: Dataset, vrs: tuple[str, ...] = TEXT) -> None:
        """A marker into every element of the DICOM dictionary that can hold text, and nested and private ones."""
        for tag, (vr, *_) in DicomDictionary.items():
            keyword = keyword_for_tag(tag)
            if vr in vrs and keyword and keyword not in NEEDED and Tag(tag).group not in (0, 2, 4):
                data.add_new(tag, vr, self.make(vr))
            elif vr == "SQ" and keyword not in LUTS:
                data.add_new(tag, "SQ", Sequence([self.nested(2)]))
        for group in (0x0009, 0x0011, 0x6000, 0x5000):
            data.add_new((group, 0x0010), "LO", self.make("LO"))
            data.add_new((group, 0x1001), "LT", self.make("LT"))
            data.add_new((group, 0x1002), "SQ", Sequence([self.nested(1)]))

    def nested(self, deep: int) -> Dataset:
        item = Dataset()
        item.PatientName, item.InstitutionName = self.make("PN"), self.make("LO")
        item.CodeMeaning, item.ReferencedSOPInstanceUID = self.make("LO"), self.make("UI")
        if deep:
            item.ContentSequence = Sequence([self.nested(deep - 1)])
        return item


def bomb(content: bytes, markers: Markers) -> bytes:
    data = dcmread(BytesIO(content))
    markers.plant(data)
    data.preamble = (markers.make("LO").encode() * 20)[:128]
    item = Dataset()
    item.LUTDescriptor, item.LUTExplanation = [2, 0, 8], markers.make("LO")
    item.add_new("LUTData", "US", [0, 255])
    other = Dataset()  # a second table, which is text
    text = (markers.make("LO") * 40).encode().ljust(512, b"-")[:512]
    other.LUTDescriptor, other.LUTExplanation = [256, 0, 16], markers.make("LO")
    other.add_new("LUTData", "OW", text)
    data.VOILUTSequence = Sequence([item, other])
    buffer = BytesIO()
    data.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue() + markers.make("LO").encode()


def found_in(markers: Markers, content: bytes) -> list[str]:
    """Markers in some bytes: any text that looks like one, and numbers and dates that stand by themselves."""
    words = {word.decode() for word in re.findall(rb"QZ\d+MARK|[0-9.]{5,}|DOE|JANE", content)}
    return sorted(words & markers.words)


@pytest.mark.filterwarnings("ignore")
def test_no_marker_is_in_the_new_file() -> None:
    markers = Markers()
    original = bomb(film(), markers)
    assert len(markers.planted) > 4000
    header = read_header(BytesIO(original))
    written = to_bytes(deidentified(header, stored_values(header), KEY, False))
    unique = [m for m in markers.planted if len(m) > 8]
    assert [m for m in unique if m.encode() in original] == unique, "the test plants what it looks for"
    assert found_in(markers, written) == []
    data = dcmread(BytesIO(written))
    known = set(UIDS) | set(EMPTY) | set(EMPTY_OF["DX"]) | set(NUMBERS) | set(CODES) | set(LUTS)
    assert {element.keyword for element in data} <= known | {
        *("SOPClassUID", "StudyDate", "PatientID", "PatientName", "ImageType", "BitsAllocated", "HighBit", "PixelData"),
        *("PatientIdentityRemoved", "BurnedInAnnotation", "DeidentificationMethod"),
        *("LongitudinalTemporalInformationModified", "DeidentificationMethodCodeSequence"),
    }


@pytest.mark.filterwarnings("ignore")
@pytest.mark.slow
def test_no_marker_is_in_any_byte_that_the_pipeline_wrote(toy_params: dict[str, Any], tmp_path: Path) -> None:
    """The stage through DVC on an export of hostile headers and names, with good and with refused files."""
    markers = Markers()
    inbox = tmp_path / "inbox"
    (inbox / "DOE^JANE_19700101").mkdir(parents=True)
    for number, kind in enumerate(("CR", "DX", "CT", "CR", "DX", "CR"), start=1):
        plan = SampleFilm(number, number, "hospital", kind)
        content = bomb(film(number, number, kind), markers)
        label = voc_file(plan, draw(plan, SAMPLE)).replace(b"<filename>", b"<filename>" + markers.make("PN").encode())
        if number == 4:
            content = content[:3000]
        if number == 5:
            label = label.replace(b"<xmax>", b"<xmax>" + markers.make("PN").encode())
        if number == 6:
            label = label.replace(b"<name>fracture", b"<name>" + markers.make("PN").encode())
        (inbox / f"DOE^JANE_19700101/IM{number}").write_bytes(content)
        (inbox / f"DOE^JANE_19700101/IM{number}.xml").write_bytes(label)
    hospital = {"source": "hospital", "annotations": "voc", "classes": ["fracture"]}
    project = make_project(
        tmp_path / "project",
        merge(
            toy_params,
            {"ingest": {"sources": [hospital], "inbox": str(inbox), "on_error": "quarantine"}},
        ),
    )
    (tmp_path / "key").write_bytes(b"k" * 32)
    before = {path: path.read_bytes() for path in project.rglob("*") if path.is_file()}
    os.environ["PSEUDONYM_KEY_FILE"] = str(tmp_path / "key")
    try:
        said = run(project, "dvc", "repro", "ingest", "-v")
    finally:
        del os.environ["PSEUDONYM_KEY_FILE"]
    assert "3 films of 3 patients" in said
    leaks = {"the terminal": found_in(markers, said.encode())}
    for path in project.rglob("*"):
        # DVC's own list of dependency paths lies in a private folder outside git (see README, Your own films).
        if path.is_file() and ".dvc/site-cache" not in str(path) and before.get(path) != path.read_bytes():
            leaks[str(path.relative_to(project))] = found_in(markers, path.read_bytes() + path.name.encode())
    assert {place: found for place, found in leaks.items() if found} == {}
    assert len(leaks) > 10


def test_the_standards_table_keeps_nothing_that_is_kept_here() -> None:
    """dicom-anonymizer's copy of PS3.15 Table E.1-1 is the oracle: what we keep of it is made anew or checked."""
    from dicomanonymizer.dicom_anonymization_databases import dicomfields_2026c as table

    remade = set(UIDS) | set(EMPTY) | {"PatientID", "PatientName", "StudyDate"}
    tags = [tag for name in dir(table) if name.isupper() for tag in getattr(table, name) if isinstance(tag, tuple)]
    listed = {keyword_for_tag(Tag(*tag)) for tag in tags if len(tag) == 2}
    assert len(listed) > 500
    kept = (set(NUMBERS) | set(CODES) | set(LUTS)) & listed
    assert kept == set(), "numbers and code strings of the allow-list stand outside the table"
    assert {"PatientID", "PatientName", "StudyDate", "StudyInstanceUID"} <= remade & listed


def test_the_new_file_says_what_it_is() -> None:
    header = read_header(BytesIO(film(1, 1, "CR")))
    data = deidentified(header, stored_values(header), KEY, masked=False)
    assert data.PatientIdentityRemoved == "YES"
    assert data.BurnedInAnnotation == "NO"
    assert data.LongitudinalTemporalInformationModified == "MODIFIED"
    assert all(len(text) <= 64 for text in data.DeidentificationMethod)
    codes = [(item.CodeValue, item.CodingSchemeDesignator) for item in data.DeidentificationMethodCodeSequence]
    assert codes == [("113100", "DCM"), ("113107", "DCM")]
    assert all(len(item.CodeMeaning) <= 64 for item in data.DeidentificationMethodCodeSequence)
    assert data.preamble == bytes(128)


@pytest.mark.parametrize("representation", [0, 1])
@pytest.mark.parametrize("name", LUTS)
def test_of_a_look_up_table_goes_what_the_display_needs_and_no_text(name: str, representation: int) -> None:
    header = read_header(BytesIO(film()))
    header.PixelRepresentation = representation
    stored = stored_values(header)
    stored[:, :] = np.clip(stored, 300, 500)
    stored[stored == 400] = 401
    text = b"SURNAME^GIVEN 12 Maret 1960 ".ljust(4096 * 2, b"-")
    entries = np.frombuffer(text, "<u2").copy()
    for value in np.unique(stored):
        entries[value] = 2 * value
    item = Dataset()
    item.LUTDescriptor = [4096, 0, 16]
    item.add_new("LUTData", "OW", entries.tobytes())
    item.LUTExplanation = "SURNAME"
    setattr(header, name, Sequence([item, item]))
    data = deidentified(header, stored, KEY, False)
    (kept,) = data[name].value
    assert not [word for word in (b"SURNAME", b"Maret", b"--") if word in to_bytes(data)]
    assert list(kept.LUTDescriptor) == [stored.max() - stored.min() + 1, stored.min(), 16]
    again = read_header(BytesIO(to_bytes(data)))
    window = CtWindow()
    np.testing.assert_array_equal(display_pixels(again, stored, window), display_pixels(header, stored, window))


def test_uids_and_patients_are_replaced_consistently() -> None:
    one, other = (read_header(BytesIO(film(number, 4, "CR"))) for number in (1, 2))
    other.StudyInstanceUID = one.StudyInstanceUID
    first, second = (deidentified(header, stored_values(header), KEY, False) for header in (one, other))
    assert first.PatientID == second.PatientID == first.PatientName
    assert first.StudyInstanceUID == second.StudyInstanceUID != one.StudyInstanceUID
    assert first.SOPInstanceUID != second.SOPInstanceUID
    assert first.SOPInstanceUID == first.file_meta.MediaStorageSOPInstanceUID
    again = deidentified(one, stored_values(one), Key(b"l" * 32), False)
    assert again.PatientID != first.PatientID


@pytest.mark.parametrize(("stated", "said"), [("YES", "YES"), ("YES ", "YES"), ("UNKNOWN", None)])
def test_a_film_with_masked_corners_is_not_called_clean(stated: str, said: str | None) -> None:
    """Text may stand elsewhere than in the corners; no Clean Pixel Data Option (113101) is claimed."""
    header = read_header(BytesIO(film()))
    header.BurnedInAnnotation = stated
    data = deidentified(header, stored_values(header), KEY, masked=True)
    assert data.get("BurnedInAnnotation") == said
    assert data.DeidentificationMethod[-1] == "Corners of the pixels blackened"
    assert list(data.ImageType) == ["DERIVED", "PRIMARY"]
    assert "113101" not in {item.CodeValue for item in data.DeidentificationMethodCodeSequence}


def test_unknown_burned_in_text_is_not_called_clean() -> None:
    header = read_header(BytesIO(film()))
    del header.BurnedInAnnotation
    assert "BurnedInAnnotation" not in deidentified(header, stored_values(header), KEY, False)


@given(st.dates(), st.dates(), st.text(min_size=1, max_size=20))
def test_intervals_within_a_patient_survive_and_days_do_not(one: Any, other: Any, patient: str) -> None:
    from datetime import date, timedelta

    days = [day.strftime("%Y%m%d").rjust(8, "0") for day in (one, other)]
    shifted = [KEY.shifted(patient, day) for day in days]
    if min(one, other) > date(11, 1, 1):
        moved = [date(int(d[:-4]), int(d[-4:-2]), int(d[-2:])) for d in shifted]
        assert moved[0] - moved[1] == one - other
        assert timedelta(days=1) <= one - moved[0] <= timedelta(days=3650)
    assert KEY.shifted(patient, "not a day") == ""


def test_masked_corners_are_four_and_nothing_else() -> None:
    masked = mask_corners(np.ones((20, 40), np.int32), 0.1, 7)
    assert (masked == 7).sum() == 4 * 2 * 4
    assert masked[0, 0] == masked[0, -1] == masked[-1, 0] == masked[-1, -1] == 7
    assert masked[10, 20] == 1


def test_every_kept_keyword_is_in_the_dictionary_and_none_is_free_text() -> None:
    text = {
        name for name in (*NUMBERS, *CODES) if dictionary_VR(name) not in ("US", "SS", "US or SS", "DS", "IS", "CS")
    }
    assert text == {"RescaleType"}  # an LO; it passes by its list of values only, as all code strings do


def test_a_key_does_not_show_itself() -> None:
    assert "kkk" not in repr(KEY)
    assert len(KEY.id) == 8
    assert KEY.id != Key(b"l" * 32).id


@pytest.mark.filterwarnings("ignore")
def test_the_stage_prints_no_warning_of_a_library(tmp_path: Path) -> None:
    script = (
        "from stages.ingest.sources.hospital import look; from stages.ingest.dicom.pseudonyms import Key; "
        "from pathlib import Path; from stages.ingest.file_access import Folder; "
        "from stages.ingest.params import Limits; "
        f"print(look(Folder(Path({str(tmp_path)!r}), Limits()), Key(b'k' * 32), 'x'))"
    )
    data = dcmread(BytesIO(film()))
    data.StudyDate, data.PatientName = "not a date of JANE", "x" * 500  # pydicom warns of both, and quotes them
    buffer = BytesIO()
    data.save_as(buffer)
    (tmp_path / "x").write_bytes(buffer.getvalue())
    said = run(Path(__file__).parents[2], sys.executable, "-c", script)
    assert "JANE" not in said
