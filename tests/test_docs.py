"""README and docs: links lead somewhere, badges and citation are true, pages are listed, lines have one width."""

import re
import shlex
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer
from typer.core import TyperGroup

from stages.common.data import tables
from tests.helpers.params import read_yaml
from tests.helpers.paths import ROOT
from tools.command_line import app

TRACKED = subprocess.run(["git", "ls-files", "*.md"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
PAGES = [ROOT / name for name in TRACKED.split() if not name.startswith("stages/")]  # stages/ has templates
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
WIDTH = 120


def prose(page: Path) -> list[str]:
    """The lines of a page outside code blocks and what `make readme` writes."""
    text = re.sub(r"<!-- comparison\.md -->.*?<!-- end -->", "", page.read_text(), flags=re.DOTALL)
    return re.sub(r"^```.*?^```$", "", text, flags=re.DOTALL | re.MULTILINE).splitlines()


def anchors(page: Path) -> set[str]:
    """The anchors that GitHub makes of a page's headings."""
    headings = [re.sub(r"[`*]", "", line.lstrip("#").strip()) for line in prose(page) if re.match(r"#+ ", line)]
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def commands() -> Iterator[tuple[str, list[str]]]:
    """Page and words of every command of `wrist` in a block of shell commands."""
    for page in PAGES:
        for block in re.findall(r"^```bash\n(.*?)^```", page.read_text(), flags=re.DOTALL | re.MULTILINE):
            for line in block.replace("\\\n", " ").splitlines():
                words = shlex.split(
                    re.sub(r"\$\w+", "1", line), comments=True
                )  # a variable of the shell, such as a number
                while words and re.fullmatch(r"[A-Z_]+=.*", words[0]):
                    words.pop(0)
                if words and words[0] == "wrist":
                    words = words[:-1] if words[-1] == "&" else words
                    yield str(page.relative_to(ROOT)), words


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_to_a_file_and_a_heading(page: Path) -> None:
    links = re.findall(r"\]\(([^)\s]+)\)|src=\"([^\"]+)\"", "\n".join(prose(page)))
    for link in (first or second for first, second in links):
        if link.startswith(("https://", "http://")):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_prose_wraps_at_one_width(page: Path) -> None:
    long = [line for line in prose(page) if len(line) > WIDTH and not line.lstrip().startswith(("|", "[![", "<img"))]
    assert long == []


def test_every_page_is_in_the_table_of_contents() -> None:
    contents = (ROOT / "docs/README.md").read_text()
    pages = [page.relative_to(ROOT / "docs") for page in PAGES if page.is_relative_to(ROOT / "docs")]
    assert [str(page) for page in pages if page.name != "README.md" and f"({page})" not in contents] == []


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) < 150


def test_badges_say_what_the_project_says() -> None:
    badges = dict(re.findall(r"img\.shields\.io/badge/(\w+)-([\w.]+)-", (ROOT / "README.md").read_text()))
    assert badges == {"licence": PROJECT["license"], "Python": PROJECT["requires-python"].removeprefix(">=")}


def test_the_citation_is_valid_and_of_this_version() -> None:
    words = ["check-jsonschema", "--builtin-schema", "vendor.citation-file-format", "CITATION.cff"]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    citation = read_yaml(ROOT / "CITATION.cff")
    assert citation["version"] == PROJECT["version"]
    assert citation["license"] == PROJECT["license"]
    assert f"## [{PROJECT['version']}] - {citation['date-released']}" in (ROOT / "CHANGELOG.md").read_text()


COMMANDS = [pytest.param(words[1:], id=f"{page}: {shlex.join(words)}") for page, words in commands()]


@pytest.mark.parametrize("words", COMMANDS)
def test_wrist_accepts_every_command_of_the_docs(words: list[str]) -> None:
    command = typer.main.get_command(app)
    context = command.make_context("wrist", list(words))
    while isinstance(command, TyperGroup):
        name, command, rest = command.resolve_command(context, [*context._protected_args, *context.args])
        assert command is not None
        context = command.make_context(name, rest, parent=context)


def test_every_table_and_column_is_in_the_reference() -> None:
    quoted = re.findall(r"`([^`]+)`", (ROOT / "docs/reference/files.md").read_text())
    words = {text.rpartition("/")[2] for text in quoted}
    named = [table for table in vars(tables).values() if isinstance(table, tables.Table)]
    assert len(named) > 10
    assert {name for table in named for name in (table.name, *table.columns)} - words == set()
