"""Jinja environments of the HTML pages: undefined names are errors; head, parts, style and viewer are shared."""

from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from stages.common.analysis.colours import NAMES

SHARED = Path(__file__).parent / "templates"
VIEWER_LIBRARY = SHARED / "openseadragon.min.js"


def page_templates(folder: Path) -> Environment:
    """Templates of HTML pages in a folder, which may include what lies in SHARED, and quote files of it as they are."""
    page = Environment(loader=FileSystemLoader([folder, SHARED]), autoescape=True, undefined=StrictUndefined)
    page.globals["colours"] = NAMES
    page.globals["quote"] = lambda name: (SHARED / name).read_text()
    return page
