"""What a browser tells of a page."""

from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Locator, Page

CUT = """root => {
  const shaded = e => e.scrollWidth > e.clientWidth && getComputedStyle(e).backgroundImage.includes("gradient");
  const beyond = (box, {left, right}) => box.left < left - 1 || box.right > right + 1;
  function isCut(box, parent) {
    for (let e = parent; e; e = e.parentElement) {
      if (shaded(e)) return false;
      if (getComputedStyle(e).overflowX !== "visible" && beyond(box, e.getBoundingClientRect())) return true;
    }
    return beyond(box, {left: 0, right: innerWidth});
  }
  const cut = [], texts = document.createTreeWalker(root, NodeFilter.SHOW_TEXT), range = document.createRange();
  while (texts.nextNode()) {
    const text = texts.currentNode, parent = text.parentElement;
    if (!text.data.trim() || !parent.checkVisibility()) continue;
    range.selectNodeContents(text);
    if ([...range.getClientRects()].some(box => isCut(box, parent))) cut.push(text.data);
  }
  return cut;
}"""


def widths_of_tables(page: Page) -> list[set[int]]:
    """Of each table of a page the numbers of cells, by columns, that its rows have: one number in a sound table."""
    script = """tables => tables.map(table => [...table.rows].map(
        row => [...row.cells].reduce((sum, cell) => sum + cell.colSpan, 0)))"""
    return [set(rows) for rows in page.locator("table").evaluate_all(script)]


def asked_for(browser: Browser, file: Path) -> list[str]:
    """The addresses beyond its own files that a page of plots asks for until a plot is drawn."""
    page, asked = browser.new_page(), list[str]()
    page.on("request", lambda request: asked.append(request.url))
    page.goto(file.as_uri())
    page.wait_for_selector("canvas, svg.marks")
    page.close()
    return [url for url in asked if not url.startswith(("file:", "data:"))]


def settled(page: Page) -> None:
    """The viewer has come to rest: what is seen of it stays the same for a tenth of a second."""
    before = b""
    for _ in range(50):
        page.wait_for_timeout(100)
        after = page.locator("#viewer").screenshot()
        if after == before:
            return
        before = after
    pytest.fail("the viewer does not come to rest")


def cut_texts(element: Locator) -> list[str]:
    """The texts below an element that end beyond the window, or in a box that hides them and shows no shade for it."""
    found: list[str] = element.evaluate(CUT)
    return found


def require_accessible(page: Page) -> None:
    """Fail with what axe finds to mend, and with ids that two elements have, of which axe no longer speaks."""
    ids = page.locator("[id]").evaluate_all("all => all.map(one => one.id)")
    assert [name for name in set(ids) if ids.count(name) > 1] == []
    found = Axe().run(page)
    assert len(found.response["passes"]) > 15
    assert found.violations_count == 0, found.generate_report()
