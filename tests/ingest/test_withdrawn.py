"""Of a patient who withdrew nothing is written, not even for a moment."""

from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from stages.common.core.errors import UserError
from stages.ingest.dicom.pseudonyms import PUBLIC, Key
from stages.ingest.file_access import Folder
from stages.ingest.params import Folder as FolderSource
from stages.ingest.params import Hospital, Params
from stages.ingest.process_film import process_film
from stages.ingest.types import FilmResult, SourceFilm
from stages.ingest.withdrawn import film_pseudonym, read_withdrawn
from tests.helpers.odd_films import sample_film

KEY = Key(b"k" * 32)
SETTINGS = Params()


@pytest.mark.parametrize("hospital", [True, False])
def test_nothing_of_a_withdrawn_patient_is_written(hospital: bool, tmp_path: Path) -> None:
    inbox, out = tmp_path / "in", tmp_path / "out"
    inbox.mkdir()
    (inbox / "a").write_bytes(sample_film() if hospital else b"no film, which nobody looks at")
    entry = Hospital(annotations="none", unlabelled="no_fracture") if hospital else FolderSource(annotations="none")
    film = SourceFilm("a", "s", entry, Folder(inbox, SETTINGS.limits), "a", "a", patient="7")
    taken = process_film(film, SETTINGS, KEY, tmp_path / "others")
    patient = taken.row["patient_id"] if taken.row else PUBLIC.name("patient", "s/7")
    result = process_film(film, SETTINGS, KEY, out, {patient})
    assert result.withdrawn
    assert not any((result.row, result.refusals, result.files))
    assert not out.exists()


def png(value: int, level: int = 6) -> bytes:
    """A picture of two grey levels."""
    buffer = BytesIO()
    Image.fromarray(np.pad(np.full((30, 30), value, np.uint8), 5)).save(buffer, "PNG", compress_level=level)
    return buffer.getvalue()


# Of a film: itself, the same pixels in other bytes, and another film.
FILMS = {
    "hospital": (sample_film(), sample_film(PatientName="B"), sample_film(PatientID="9", RescaleSlope="2")),
    "picture": (png(1), png(1, level=1), png(2)),
}


@pytest.mark.parametrize(("known", "place"), [("sha256", 0), ("pixel_sha256", 0), ("pixel_sha256", 1)])
@pytest.mark.parametrize("kind", FILMS)
def test_a_film_that_comes_back_under_another_name_and_patient_is_left_out(
    kind: str, known: str, place: int, tmp_path: Path
) -> None:
    of_hospital = kind == "hospital"
    entry = Hospital(annotations="none", unlabelled="no_fracture") if of_hospital else FolderSource(annotations="none")

    def read(name: str, content: bytes, withdrawn: set[str]) -> FilmResult:
        (tmp_path / name).write_bytes(content)
        film = SourceFilm(name, "s", entry, Folder(tmp_path, SETTINGS.limits), name, name, patient=f"of {name}")
        return process_film(film, SETTINGS, KEY, tmp_path / f"out-{name}", withdrawn)

    row = read("film", FILMS[kind][0], set()).row
    assert row
    withdrawn = {film_pseudonym(row[known])}  # type: ignore[literal-required]
    result = read("renamed", FILMS[kind][place], withdrawn)
    assert result.withdrawn
    assert not any((result.row, result.refusals, result.files))
    assert not (tmp_path / "out-renamed").exists()
    assert read("other", FILMS[kind][2], withdrawn).row


def test_without_a_table_nobody_withdrew(tmp_path: Path) -> None:
    assert read_withdrawn(tmp_path / "none.csv") == []


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ("4f4f64c971b7fe56,2026-99-99,\n", "expected rows such as 4f4f64c971b7fe56,2026-01-31"),
        ("4f4f64c971b7fe56,0000-00-00,\n", "expected rows such as"),
        ("4f4f64c971b7fe56,2026-01-31,8a1c\n", "expected rows such as"),
        ("4f4f64c971b7fe56,2026-01-31,\n4f4f64c971b7fe56,2026-02-01,\n", "expected each pseudonym once"),
    ],
)
def test_rows_that_no_withdrawal_writes_are_refused(rows: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "withdrawn.csv").write_text(f"patient_id,withdrawn,key_id\n{rows}")
    with pytest.raises(UserError, match=said):
        read_withdrawn(tmp_path / "withdrawn.csv")


@pytest.mark.parametrize("text", ["", "patient\np1\n", "patient_id,withdrawn\np1\n"])
def test_a_table_that_is_none_is_one_sentence(text: str, tmp_path: Path) -> None:
    place = tmp_path / "tombstones.csv"
    place.write_text(text)
    with pytest.raises(UserError, match=r"tombstones.csv: expected a table with the columns patient_id, withdrawn"):
        read_withdrawn(place)
