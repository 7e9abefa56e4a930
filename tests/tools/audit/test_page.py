"""The page in a real browser: from a number by clicks to a picture."""

from collections.abc import Callable
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page

from tests.helpers.commands import wrist

pytestmark = pytest.mark.slow


def test_clicks_lead_from_a_number_to_the_pixels(visit: Callable[..., Page], project: Path) -> None:
    assert wrist("audit", "page") == 0
    page = visit(project / "reports/lineage.html", 1000)
    assert page.locator("#numbers + div thead th").all_inner_texts()[:2] == ["variant", "F1"]
    page.locator("#numbers + div tr:has-text('adaptive') a").nth(3).click()
    assert page.url.endswith("#runs-adaptive")
    section = page.locator("#runs-adaptive")
    section.locator("summary").first.click()
    link = section.locator("tbody a").first
    film = link.text_content()
    link.click()
    assert page.url.endswith(f"#film-{film}")
    pictures = page.locator(f"[id='film-{film}'] img")
    assert pictures.count() == 6
    for number in range(6):
        pictures.nth(number).scroll_into_view_if_needed()
        picture = pictures.nth(number).element_handle()
        page.wait_for_function("image => image.complete && image.naturalWidth > 0", arg=picture)
    label = page.locator(f"[id='film-{film}'] a[href$='test_mask/{film}.png']")
    assert label.get_attribute("href") == f"../data/dataset/test_mask/{film}.png"
    results = Axe().run(page)
    assert results.violations_count == 0, results.generate_report()
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    page.set_viewport_size({"width": 360, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
