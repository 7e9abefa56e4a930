"""What a browser tells of a page."""

from pathlib import Path

from playwright.sync_api import Browser, Page


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
