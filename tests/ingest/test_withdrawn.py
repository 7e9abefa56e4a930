"""Of a patient who withdrew nothing is written, not even for a moment."""

from pathlib import Path

import pytest

from stages.common.core.errors import UserError
from stages.ingest.dicom.pseudonyms import PUBLIC, Key
from stages.ingest.file_access import Folder
from stages.ingest.params import Folder as FolderSource
from stages.ingest.params import Hospital, Params
from stages.ingest.process_film import process_film
from stages.ingest.types import SourceFilm
from stages.ingest.withdrawn import read_withdrawn
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
