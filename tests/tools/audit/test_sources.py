"""Licence and SHA-256 of source files, changed in each table that has them, so that the tables agree."""

import re
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast
from zipfile import ZipFile

import pytest

from stages.common.core.hashing import sha256
from stages.common.data.tables import FILES
from stages.ingest.dicom.pseudonyms import Key
from tests.helpers.params import merge, write_yaml
from tools.audit import check_sources
from tools.audit.findings import Check
from tools.audit.rerun import may_ingest
from tools.audit.trace import Project

FOLDER = {"source": "folder", "annotations": "none", "licence": "CC BY 4.0"}
HOSPITAL = {"source": "hospital", "annotations": "none", "licence": "none"}
URL: dict[str, Any] = {"source": "url", "name": "set", "version": 1, "annotations": "none", "licence": "CC0"}
URL |= {"files": [{"name": "a.zip", "address": "https://example.org/a.zip"}]}
KAGGLE = {"source": "kaggle", "handle": "a/b", "version": 3, "annotations": "none", "licence": "CC0"}


def project(folder: Path, toy_params: dict[str, Any], entry: dict[str, Any], name: str, **change: str) -> Project:
    """Two source files, and the table of one of them."""
    inbox = folder / "data/incoming"
    (folder / "data/raw").mkdir(parents=True)
    (folder / "data/pins").mkdir()
    inbox.mkdir()
    for letter in "ab":
        (inbox / f"{letter}.png").write_text(letter)
    digest = sha256(inbox / "b.png")
    (folder / "data/pins/a--b--v3.sha256").write_text(f"{digest}  b.png\n")
    write_yaml(folder / "params.yaml", merge(toy_params, {"ingest": {"sources": [entry]}}))
    source = {"kaggle": "kaggle a/b v3"}.get(entry["source"], entry["source"])
    row = {"image_id": "b", "role": "film", "source": source, "file": name, "sha256": digest}
    FILES.write(folder / "data/raw", FILES.frame([row | {"licence": entry["licence"]} | change]))  # type: ignore[list-item]
    return cast("Project", SimpleNamespace(root=folder))


def test_files_below_a_folder_of_the_inbox_are_known_from_it(toy_params: dict[str, Any], tmp_path: Path) -> None:
    found = project(tmp_path, toy_params, FOLDER | {"below": "films"}, "b.png")
    assert named(found) == ["data/raw/files.csv: b/sha256"]
    (tmp_path / "data/incoming/films").mkdir()
    (tmp_path / "data/incoming/b.png").rename(tmp_path / "data/incoming/films/b.png")
    assert named(found) == []


def named(found: Project) -> list[str]:
    check = Check()
    check_sources.check_licences(found, check)
    check_sources.check_sources(found, check)
    return [finding.name for finding in check.findings]


ENTRIES = [(FOLDER, "b.png"), (HOSPITAL, "file 2 of the export (sorted by path)"), (KAGGLE, "a/b/v3/b.png")]


@pytest.mark.parametrize(("entry", "file"), ENTRIES)
@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, []),
        ({"licence": "public domain"}, ["data/raw/files.csv: b/licence"]),
        ({"sha256": "0" * 64}, ["data/raw/files.csv: b/sha256"]),
        ({"file": "c.png"}, ["data/raw/files.csv: b/sha256"]),
        ({"source": "elsewhere"}, ["data/raw/files.csv: b/source"]),
    ],
)
def test_licence_and_hash_are_those_of_params_inbox_and_pins(
    entry: dict[str, Any], file: str, change: dict[str, str], expected: list[str],
    toy_params: dict[str, Any], tmp_path: Path,
) -> None:  # fmt: skip
    assert named(project(tmp_path, toy_params, entry, file, **change)) == expected


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, []),
        ({"sha256": "0" * 64}, ["data/raw/files.csv: b/sha256"]),
        ({"file": "set/v1/a/c.png"}, ["data/raw/files.csv: b/sha256"]),
        ({"source": "folder"}, ["data/raw/files.csv: b/source"]),
    ],
)
def test_files_in_an_archive_that_was_fetched_are_known_from_it(
    change: dict[str, str], expected: list[str], toy_params: dict[str, Any], tmp_path: Path
) -> None:
    archive = tmp_path / "data/incoming/set/a.zip"
    found = project(
        tmp_path, toy_params, URL | {"downloaded": "set"}, "set/v1/a/b.png", **{"source": "url set v1"} | change
    )
    archive.parent.mkdir()
    with ZipFile(archive, "w") as file:
        file.writestr("b.png", "b")
        file.writestr("d.png", "d")
    pins = tmp_path / "data/pins/set--v1.csv"
    facts = f"{archive.stat().st_size},{sha256(archive)},https://example.org/a.zip"
    pins.write_text(f"file,bytes,sha256,address\na.zip,{facts}\n")
    assert named(found) == expected
    if change:
        return
    pins.write_text(pins.read_text().replace(f",{archive.stat().st_size},", f",{archive.stat().st_size + 1},"))
    assert "url set v1: a.zip" in named(found)
    pins.write_text(f"file,bytes,sha256,address\na.zip,{facts}\n")
    archive.write_bytes(archive.read_bytes() + b"x")
    assert "url set v1: a.zip" in named(found)
    archive.unlink()
    check_sources.check_sources(found, check := Check())
    assert [(finding.kind, finding.name) for finding in check.findings] == [("unchecked", "url set v1: a.zip")]


@pytest.mark.parametrize(("entry", "file"), ENTRIES)
@pytest.mark.parametrize("digest", ["", "0" * 64])
def test_without_the_inbox_pins_decide_on_the_files_that_they_name(
    entry: dict[str, Any], file: str, digest: str, toy_params: dict[str, Any], tmp_path: Path
) -> None:
    found = project(tmp_path, toy_params, entry, file, **({"sha256": digest} if digest else {}))
    shutil.rmtree(tmp_path / "data/incoming")
    check = Check()
    check.add("data/incoming", "unchecked", "it is not here")
    check_sources.check_sources(found, check)
    said = [finding.message.split(", ", 1)[1] for finding in check.wrong]
    pin = (tmp_path / "data/pins/a--b--v3.sha256").read_text().split()[0]
    assert said == [f"{pin} is pinned"] * (entry == KAGGLE and bool(digest))


def test_two_sources_may_have_a_file_of_the_same_bytes(toy_params: dict[str, Any], tmp_path: Path) -> None:
    """As empty labels are; the export does not use its own."""
    both = [FOLDER | {"below": "films"}, HOSPITAL | {"below": "export"}]
    found = project(tmp_path, toy_params, FOLDER, "b.png")
    write_yaml(tmp_path / "params.yaml", merge(toy_params, {"ingest": {"sources": both}}))
    for folder in ("films", "export"):
        (tmp_path / "data/incoming" / folder).mkdir()
        (tmp_path / "data/incoming" / folder / "b.png").write_text("b")
    check_sources.check_sources(found, check := Check())
    assert not check.findings


@pytest.mark.parametrize(
    ("entry", "key", "made_with", "said"),
    [
        (FOLDER, "", "", ""),
        (HOSPITAL, "one", "one", ""),
        (HOSPITAL, "", "one", "PSEUDONYM_KEY_FILE: expected the path of a secret key"),
        (HOSPITAL, "two", "one", "set the key of that time"),
    ],
)
def test_ingest_runs_again_with_the_key_of_that_time_alone(
    entry: dict[str, Any], key: str, made_with: str, said: str,
    toy_params: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """With another one it writes other bytes of an honest project."""
    keys = {name: Key(name.encode() * 16) for name in ("one", "two")}
    found = project(tmp_path / "project", toy_params, entry, "x")
    source = cast("str", entry["source"])
    found.films = {"b": {"source": source, "key_id": keys[made_with].id if made_with else ""}}
    monkeypatch.delenv("PSEUDONYM_KEY", raising=False)
    monkeypatch.delenv("PSEUDONYM_KEY_FILE", raising=False)
    if key:
        (tmp_path / "key").write_bytes(keys[key].secret)
        monkeypatch.setenv("PSEUDONYM_KEY_FILE", str(tmp_path / "key"))
    check = Check()
    assert may_ingest(found, found.root, check) == (not said)
    assert [(finding.kind, finding.name) for finding in check.findings] == [("unchecked", "rerun ingest")] * bool(said)
    assert said in "".join(finding.message for finding in check.findings)


@pytest.mark.parametrize("entry", [KAGGLE, URL])
def test_ingest_that_would_download_does_not_run_again(
    entry: dict[str, Any], toy_params: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a network an honest project would be called forged."""
    for name in ("KAGGLEHUB_CACHE", "WRIST_DOWNLOADS"):
        monkeypatch.setenv(name, str(tmp_path / "empty"))
    monkeypatch.setattr("kagglehub.cache.get_cached_archive_path", lambda handle: str(tmp_path / "empty/archive"))
    found = project(tmp_path / "project", toy_params, entry, "x")
    check = Check()
    assert not may_ingest(found, found.root, check)
    (finding,) = check.findings
    assert (finding.kind, finding.name) == ("unchecked", "rerun ingest")
    assert re.fullmatch(r"what it downloads is not here \(.+\); `wrist fetch` brings it", finding.message)


def test_a_film_that_is_told_as_one_of_another_source_is_named(toy_params: dict[str, Any], tmp_path: Path) -> None:
    """A film of the inbox would be a synthetic one, of another licence."""
    found = project(tmp_path, toy_params, FOLDER, "x.png", source="sample-kaggle")
    write_yaml(tmp_path / "params.yaml", merge(toy_params, {"ingest": {"sources": ["sample", FOLDER]}}))
    check_sources.check_sources(found, check := Check())
    assert [finding.name for finding in check.findings] == ["data/raw/files.csv: b/source"]


def test_more_films_of_the_sample_than_it_has_are_named(toy_params: dict[str, Any], tmp_path: Path) -> None:
    found = project(tmp_path, toy_params, FOLDER, "x.png")
    facts = {"role": "film", "source": "sample-kaggle", "licence": "MIT", "sha256": "0" * 64}
    rows = [facts | {"image_id": f"{number}", "file": f"{number}.png"} for number in range(17)]
    FILES.write(tmp_path / "data/raw", FILES.frame(rows))  # type: ignore[arg-type]
    sample = {"source": "sample", "seed": 7, "films": 16, "width": 96}
    write_yaml(tmp_path / "params.yaml", merge(toy_params, {"ingest": {"sources": [sample]}}))
    check_sources.check_sources(found, check := Check())
    assert [finding.name for finding in check.findings] == ["data/raw/files.csv: source"]
