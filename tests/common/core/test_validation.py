import contextlib
import re
from collections.abc import Callable
from pathlib import Path
from urllib.parse import unquote

import pandas as pd
import pytest
from playwright.sync_api import Page

from stages.common.core.errors import UserError
from stages.common.core.validation import OFFLINE_STYLE, Expectation, keep_docs_offline, validate

DOCS = Path("docs")
SUITE: list[Expectation] = [
    ("ids are unique", "ExpectColumnValuesToBeUnique", {"column": "image_id"}),
    ("widths are positive", "ExpectColumnValuesToBeBetween", {"column": "width", "min_value": 1}),
]


def test_a_sound_table_passes_with_a_record_that_holds_no_times(here: Path) -> None:
    table = pd.DataFrame({"image_id": ["a", "b"], "width": [3, 4]})
    first, second = (validate("sound", table, SUITE, "image_id", DOCS) for _ in range(2))
    assert first == second
    assert [record["expectation"] for record in first] == ["ids are unique", "widths are positive"]
    pages = list((here / DOCS / "sound").rglob("*.html"))
    assert pages
    assert not any('src="http' in page.read_text() or "cdn" in page.read_text() for page in pages)


def test_the_index_lists_every_page_without_a_script(here: Path) -> None:
    index = here / DOCS / "a_table/index.html"
    for width, outcome in ((4, "succeeded"), (0, "failed")):
        with contextlib.suppress(UserError):
            validate("a table", pd.DataFrame({"image_id": ["a"], "width": [width]}), SUITE, "image_id", DOCS)
        assert "<script" not in index.read_text()
        links = re.findall(r'<a href="([^"]+)">([^<]+)</a>', index.read_text())
        pages = {page for page in index.parent.rglob("*.html") if page != index}
        assert {index.parent / unquote(link) for link, _ in links} == pages
        assert [text.rpartition(": ")[2] for _, text in links] == [outcome, "expectations of a table"]


@pytest.mark.slow
def test_the_index_and_what_it_leads_to_show_their_rows_without_a_network(
    here: Path, visit: Callable[..., Page]
) -> None:
    validate("a table", pd.DataFrame({"image_id": ["a"], "width": [4]}), SUITE, "image_id", DOCS)
    index = here / DOCS / "a_table/index.html"
    links = visit(index, 1024).locator("li a").all()
    assert [link.is_visible() for link in links] == [True, True]
    names = [unquote(str(link.get_attribute("href"))) for link in links]
    for name, rows in zip(names, ("td:has-text('must be unique')", "li:has-text('ids are unique')"), strict=True):
        page = visit(index.parent / name, 1024)
        assert page.locator(rows).first.is_visible()
        assert not page.locator("text=Failed Only").is_visible()  # a button of a script that is gone


def test_violations_name_rule_and_rows(here: Path) -> None:
    table = pd.DataFrame({"image_id": ["a", "b", "b"], "width": [3, 0, 4]})
    with pytest.raises(UserError) as fault:
        validate("broken", table, SUITE, "image_id", DOCS)
    assert "ids are unique; failed rows: b, b" in str(fault.value)
    assert "widths are positive; failed rows: b" in str(fault.value)


def test_a_missing_column_is_a_violation_too(here: Path) -> None:
    with pytest.raises(UserError, match="widths are positive"):
        validate("lacking", pd.DataFrame({"image_id": ["a"]}), SUITE, "image_id", DOCS)


def test_docs_lose_what_calls_other_hosts(tmp_path: Path) -> None:
    page = tmp_path / "x.html"
    remote = '<script src="https://a.example/x.js"></script><link href="https://b.example/y.css">'
    page.write_text(f"<head>{remote}</head><p>kept</p>")
    keep_docs_offline(tmp_path)
    assert page.read_text() == f"<head>{OFFLINE_STYLE}</head><p>kept</p>"
