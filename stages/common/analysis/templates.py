"""Jinja environments of the HTML pages: undefined names are errors; head, parts and style are shared."""

from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

SHARED = Path(__file__).parent / "templates"


def page_templates(folder: Path) -> Environment:
    """Templates of HTML pages in a folder, which may include head.html, parts.html and style.css."""
    return Environment(loader=FileSystemLoader([folder, SHARED]), autoescape=True, undefined=StrictUndefined)
