"""Names of others in Markdown, as a reader of Markdown shows them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from stages.common.core.markdown import plain, without_escapes

EVIL = (
    "<script>alert(1)</script>", "<img src=x onerror=alert(1)>", "a | b", "[a](javascript:x)", "![a](http://x/y.png)",
    "a\n# heading", "a\r\n\r\n<b>", "&lt;b&gt;", "[a]: http://x", "[a][b]", "<!-- ", "x\u2028<i>",
)  # fmt: skip


def kinds(text: str) -> set[str]:
    """What a reader makes of a finding of a list and of a cell of a table."""
    page = f"- {text}\n\n| a | b |\n|---|---|\n| {text} | end |\n"
    tokens = MarkdownIt("commonmark", {"html": True}).enable("table").parse(page)
    assert sum(token.type == "td_open" for token in tokens) == 2
    inside = [child for token in tokens for child in token.children or []]
    return {token.type for token in [*tokens, *inside]}


@pytest.mark.parametrize("text", EVIL)
def test_text_of_others_is_no_markdown_and_no_html(text: str) -> None:
    assert not kinds(plain(text)) & {"html_block", "html_inline", "link_open", "image", "heading_open"}


@given(st.text("<>|[]()!&#;:ab\n\r \\`*x/", max_size=30))
def test_any_text_stays_in_its_cell(text: str) -> None:
    assert not kinds(f"x{plain(text)}x") & {"html_block", "html_inline", "link_open", "image", "heading_open"}


@given(st.text("<>|[]()!&#;:ab \\`*x/ltamp", max_size=30))
def test_the_page_shows_such_a_text_as_it_was(text: str) -> None:
    assert without_escapes(plain(text)) == text
