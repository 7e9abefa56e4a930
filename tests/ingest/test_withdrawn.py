"""Withdrawn patients stay out, with all of their files."""

from pathlib import Path

import pytest

from stages.common.core.errors import UserError
from stages.ingest.types import FilmResult
from stages.ingest.withdrawn import leave_out


def outcome(image: str, patient: str, out: Path) -> FilmResult:
    for folder, suffix in (("images", "png"), ("dicom", "dcm")):
        (out / folder).mkdir(exist_ok=True)
        (out / folder / f"{image}.{suffix}").write_text("x")
    found = FilmResult(image_id=image, source="s", public_name=image)
    found.row = {"image_id": image, "patient_id": patient}
    return found


def test_a_withdrawn_patient_is_left_out_with_all_files(tmp_path: Path) -> None:
    outcomes = [
        outcome("a", "p1", tmp_path),
        outcome("b", "p2", tmp_path),
        outcome("ab", "p2", tmp_path),
        outcome("a.2", "p2", tmp_path),
    ]
    place = tmp_path / "withdrawn.list"
    place.write_text("patient_id,withdrawn\np1,2026-11-25\n")
    kept = leave_out(outcomes, tmp_path, place)
    assert [found.image_id for found in kept] == ["b", "ab", "a.2"]
    names = sorted(path.name for path in tmp_path.glob("*/*"))
    assert names == ["a.2.dcm", "a.2.png", "ab.dcm", "ab.png", "b.dcm", "b.png"]
    assert (tmp_path / "withdrawn.csv").read_text() == place.read_text()


def test_without_tombstones_nothing_is_written(tmp_path: Path) -> None:
    outcomes = [outcome("a", "p1", tmp_path)]
    assert leave_out(outcomes, tmp_path, tmp_path / "none.csv") == outcomes
    assert not (tmp_path / "withdrawn.csv").exists()


@pytest.mark.parametrize("text", ["", "patient\np1\n", "patient_id,withdrawn\np1\n"])
def test_a_table_that_is_none_is_one_sentence(text: str, tmp_path: Path) -> None:
    place = tmp_path / "tombstones.csv"
    place.write_text(text)
    with pytest.raises(UserError, match=r"tombstones.csv: expected a table with the columns patient_id, withdrawn"):
        leave_out([], tmp_path, place)
