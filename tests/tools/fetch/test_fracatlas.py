"""One command from a folder, or from nothing, to the report: what it changes, fetches and runs."""

import shutil
from pathlib import Path

import pytest

from stages import read_params
from stages.common.core.errors import UserError
from stages.common.data.layout import PARAMS
from stages.ingest.params import Folder, Params, Url
from stages.ingest.sources.presets import READY
from stages.recipes import recipe_name
from tests.helpers.commands import wrist
from tests.helpers.file_server import serving, write_certificate
from tests.helpers.fracatlas_archive import archive_of, drawn_members
from tests.helpers.paths import ROOT
from tools.fetch.fracatlas import compare_on_fracatlas


@pytest.fixture
def ran(here: Path, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, ...]]:
    """The targets of each `dvc repro`, of which none is run."""
    shutil.copy(ROOT / PARAMS, here)
    calls: list[tuple[str, ...]] = []

    def note(*targets: str) -> int:
        calls.append(targets)
        return 7 if Path("broken").exists() else 0

    monkeypatch.setattr("tools.fetch.fracatlas.repro", note)
    monkeypatch.setattr("tools.fetch.fracatlas.trainings_left", lambda params: ["train@adaptive-1-1"])
    monkeypatch.setattr("tools.fetch.fracatlas.cost_of_rest", lambda params, left: f"{left} left, {len(calls)} run")
    return calls


def test_a_folder_of_films_is_the_only_source(ran: list[tuple[str, ...]], capsys: pytest.CaptureFixture[str]) -> None:
    Path("my films").mkdir()
    compare_on_fracatlas(Path("my films"), "strong")
    params = read_params(PARAMS)
    assert recipe_name(params) == "strong"
    (entry,) = Params.model_validate(params["ingest"]).sources
    assert isinstance(entry, Folder)
    assert (entry.annotations, entry.classes, entry.subset) == ("coco", ["fractured"], "fracatlas_wrist")
    assert "Abedeen" in entry.licence
    assert params["ingest"]["inbox"] == str(Path("my films").resolve())
    assert params["annotate"]["split"]["by"] == "given"
    assert ran == [("annotate",), ()]
    said = capsys.readouterr().out
    assert "params.yaml, recipe strong:" in said
    assert "annotate.split -> {'by': 'given'" in said
    assert said.endswith("1 left, 1 run\n"), "expected to be told before the first training"
    assert "# what is larger is refused" in PARAMS.read_text().lower(), "comments stay"


def test_without_a_folder_the_archive_is_fetched_and_pinned(
    ran: list[tuple[str, ...]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    certificate = write_certificate(tmp_path)
    for name, value in {"REQUESTS_CA_BUNDLE": certificate, "WRIST_DOWNLOADS": "cache", "no_proxy": "127.0.0.1"}.items():
        monkeypatch.setenv(name, str(value))
    with serving({"FracAtlas.zip": archive_of(drawn_members(["a.jpg"], []))}, certificate) as server:
        files: list[dict[str, str | int]] = [{"name": "FracAtlas.zip", "address": server.address("FracAtlas.zip")}]
        monkeypatch.setitem(READY["fracatlas"], "files", files)
        compare_on_fracatlas(None, "paper")
    (entry,) = Params.model_validate(read_params(PARAMS)["ingest"]).sources
    assert isinstance(entry, Url)
    assert Path("cache/fracatlas/v7/FracAtlas.zip").is_file()
    assert Path("data/pins/fracatlas--v7.csv").is_file()
    assert ran == [("annotate",), ()]


def test_a_recipe_that_is_not_there_changes_nothing(ran: list[tuple[str, ...]]) -> None:
    before = PARAMS.read_text()
    Path("films").mkdir()
    with pytest.raises(UserError, match="recipe: expected paper, strong, fast, found weak"):
        compare_on_fracatlas(Path("films"), "weak")
    assert PARAMS.read_text() == before
    assert ran == []


def test_a_folder_that_is_not_there_changes_nothing(ran: list[tuple[str, ...]]) -> None:
    before = PARAMS.read_text()
    with pytest.raises(UserError, match="--films: expected a folder of films, found none at nowhere"):
        compare_on_fracatlas(Path("nowhere"), "strong")
    assert PARAMS.read_text() == before
    assert ran == []


def test_a_stage_that_fails_ends_the_command(ran: list[tuple[str, ...]], capsys: pytest.CaptureFixture[str]) -> None:
    Path("broken").touch()
    Path("films").mkdir()
    assert wrist("fracatlas", "--films", "films", "--recipe", "fast") == 7
    assert ran == [("annotate",)]
    assert "page:" not in capsys.readouterr().out
