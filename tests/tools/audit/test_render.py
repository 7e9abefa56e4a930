"""Hashes are cut in text, and nothing else."""

from pathlib import Path
from typing import Any

import pytest

from tools.audit import actions, verify
from tools.audit.findings import Check
from tools.audit.graph import Graph
from tools.audit.render import brief, shortened, text

MD5 = "0123456789abcdef0123456789abcdef"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (MD5, "0123456789ab"),
        (f"{MD5}.dir", "0123456789ab.dir"),
        (2 * MD5, "0123456789ab"),
        ("not committed", "not committed"),
        ("uncommitted-changes-of-a-stage", "uncommitted-changes-of-a-stage"),
        ("", ""),
    ],
)
def test_only_hashes_are_shortened(text: str, shown: str) -> None:
    assert shortened(text) == brief("md5", text) == shown


def test_a_film_that_is_called_as_a_patient_hides_none_of_the_patients_films() -> None:
    graph = Graph()
    for film in ("a", "b", "81844ecde966440c"):
        graph.add(film, "film", f"{film}.png")
    graph.films["81844ecde966440c"] = ["81844ecde966440c", "a", "b"]
    graph.kinds = ["film", "patient"]
    head, *films = text(graph, "81844ecde966440c").split("\n\n")
    assert head.endswith(": film and patient of that name, films 81844ecde966440c, a, b")
    assert [film.splitlines()[0] for film in films] == ["81844ecde966440c: film", "a: film", "b: film"]


EVIL = "a\x1b[8m\x9b8m\r\u2028\u202e\ud800\nverify: 9 files, no discrepancy.png"
ESCAPED = r"a\x1b[8m\x9b8m\r\u2028\u202e\ud800\nverify: 9 files, no discrepancy.png"


def test_a_name_hides_no_line_and_makes_none(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A forged file may be called as what ends the audit well, or as what tells a terminal to show nothing more."""

    def found(*_: Any) -> Check:
        check = Check()
        check.add(f"data/raw/{EVIL}", "extra", f"no stage wrote {EVIL}")
        return check

    class Project:
        def __init__(self, root: Path) -> None:
            self.lock = type("Lock", (), {"stages": {}})

    monkeypatch.setattr(verify, "verify", found)
    monkeypatch.setattr("tools.audit.trace.Project", Project)
    assert actions.verify_project(False, "", "text", None, None) == 1
    assert capsys.readouterr().out.splitlines()[:-1] == [f"extra     data/raw/{ESCAPED}: no stage wrote {ESCAPED}"]
    graph = Graph()
    graph.add(EVIL, "film", EVIL + "b", source=EVIL)
    assert text(graph, EVIL).splitlines() == [f"{ESCAPED}: film, source {ESCAPED}", f"<- {ESCAPED}b: input"]
