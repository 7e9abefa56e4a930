"""Films that come when ingest has ended and DVC has not hashed the inbox yet: dvc.lock has them, nobody read them."""

from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from stages.common.data.layout import PARAMS, QUALITY
from stages.ingest.main import main
from stages.ingest.params import Params
from tests.helpers.hospital import bring, settings
from tests.helpers.params import merge, read_yaml, write_yaml
from tests.helpers.paths import ROOT
from tools.audit.check_inbox import check_inbox
from tools.audit.findings import Check
from tools.audit.trace import Project


@pytest.fixture
def inbox(here: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An export of two films that ingest has read."""
    (here / "key").write_bytes(b"k" * 32)
    monkeypatch.setenv("PSEUDONYM_KEY", "k" * 32)
    for number in (1, 2):
        bring(here / "in", f"DOE/IM{number}", number, number)
    read(settings())
    return here / "in"


def read(chosen: Params) -> None:
    main(chosen)
    section = chosen.model_dump(mode="json", exclude_unset=True)
    write_yaml(PARAMS, merge(read_yaml(ROOT / PARAMS), {"ingest": section}))


def named(check: Check | None = None) -> list[str]:
    check = check or Check()
    check_inbox(cast("Project", SimpleNamespace(root=Path())), check)
    return [finding.message for finding in check.findings if finding.name == "in"]


def test_an_inbox_that_ingest_read_whole_is_good(inbox: Path) -> None:
    assert "\nThe inbox had 4 files of " in QUALITY.read_text()
    assert named() == []


@pytest.mark.parametrize("change", ["came", "went", "grew"])
def test_files_that_came_or_went_since_are_named(change: str, inbox: Path) -> None:
    film = inbox / "DOE/IM1"
    if change == "came":
        bring(inbox, "DOE/IM3", 3, 3)
    elif change == "went":
        film.unlink()
        film.with_suffix(".xml").unlink()
    else:
        film.write_bytes(film.read_bytes() + b"x")
    assert named() == ["files came or went when ingest had read it; `dvc repro --force ingest`, then `dvc repro`"]
    read(settings())
    assert named() == []


def test_what_is_named_already_or_cannot_be_told_is_not_named_again(inbox: Path) -> None:
    bring(inbox, "DOE/IM3", 3, 3, label=False)
    for name, kind, expected in (
        ("in", "mismatch", ["said"]), ("in", "unchecked", ["said"]), (str(QUALITY), "mismatch", []),
    ):  # fmt: skip
        check = Check()
        check.add(name, kind, "said")
        assert named(check) == expected
    (inbox / "linked").symlink_to("DOE")
    (message,) = named()
    assert "found a link to one" in message


def test_an_inbox_that_no_source_reads_may_hold_anything(inbox: Path) -> None:
    sample = {"ingest": {"sources": [{"source": "sample", "seed": 1, "films": 16, "width": 96}]}}
    write_yaml(PARAMS, merge(read_yaml(PARAMS), sample))
    assert named() == []
