"""A number of a hospital's export leads back to its file, also when files came since."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from stages.common.core.errors import UserError
from stages.common.core.hashing import sha256
from stages.common.data.tables import FILES, QUARANTINE
from tests.helpers.params import merge, write_yaml
from tools.audit.original import original
from tools.audit.trace import Project

HOSPITAL = {"source": "hospital", "annotations": "none", "licence": "none"}


def export(
    folder: Path, toy_params: dict[str, Any], entries: list[dict[str, Any]], number: int = 2, refused_number: int = 0
) -> Project:
    """Two files; files.csv has the second, by that number, and quarantine.csv the first, if it has a number."""
    inbox = folder / "data/incoming"
    inbox.mkdir(parents=True)
    for letter in "bd":
        (inbox / f"{letter}.dcm").write_text(letter)
    (folder / "data/raw").mkdir()
    for table in (FILES, QUARANTINE):
        (folder / "data/raw" / table.name).touch()
    write_yaml(folder / "params.yaml", merge(toy_params, {"ingest": {"sources": entries}}))
    row = {
        "source": "hospital",
        "file": f"file {number} of the export (sorted by path)",
        "sha256": sha256(inbox / "d.dcm"),
    }
    refused = {"source": "hospital", "file": f"file {refused_number} of the export (sorted by path)"}
    refused |= {"sha256": sha256(inbox / "b.dcm") if refused_number else ""}
    rows = {FILES.name: [row], QUARANTINE.name: [refused]}
    return cast("Project", SimpleNamespace(root=folder, rows=lambda _, table: rows[table.name]))


def test_a_number_leads_to_its_file(toy_params: dict[str, Any], tmp_path: Path) -> None:
    found = export(tmp_path, toy_params, [HOSPITAL])
    inbox = tmp_path / "data/incoming"
    (inbox / "e\nf.dcm").write_text("a name of two lines, which a shell's list of files counts twice")
    assert original(found, 1) == (
        inbox / "b.dcm",
        "no table of data/raw has its SHA-256: this is file 1 of the export as it is now",
    )
    assert original(found, 2) == (inbox / "d.dcm", "")
    assert original(found, 3)[0].name == "e\nf.dcm"


def test_a_file_that_came_since_moves_no_number_of_a_film_or_a_refused_file(
    toy_params: dict[str, Any], tmp_path: Path
) -> None:
    """And the file that has the number now is said, since an ingest that ended with an error called it so."""
    found = export(tmp_path, toy_params, [HOSPITAL], refused_number=1)
    inbox = tmp_path / "data/incoming"
    (inbox / "a.dcm").write_text("another patient's")
    for number, name, now in ((1, "b.dcm", "a.dcm"), (2, "d.dcm", "b.dcm")):
        path, doubt = original(found, number)
        assert path == inbox / name
        assert doubt == f"the export was changed since data/raw was made: file {number} is now {inbox / now}"
    (inbox / "d.dcm").unlink()
    with pytest.raises(UserError, match="the export was changed since"):
        original(found, 2)


def test_a_number_of_none_and_a_source_of_none_are_refused(toy_params: dict[str, Any], tmp_path: Path) -> None:
    found = export(tmp_path, toy_params, [HOSPITAL])
    with pytest.raises(UserError, match="3: expected the number of a file of the export, found 2 files"):
        original(found, 3)
    with pytest.raises(UserError, match=r"expected one hospital's export .* found clinic; name one of hospital"):
        original(found, 2, "clinic")
    write_yaml(tmp_path / "params.yaml", toy_params)
    with pytest.raises(UserError, match="found 0 of them; only their files have numbers"):
        original(found, 2)
