"""The audit's page: from each number of the report, by clicks, to the pixels that it counts and to their source."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from stages.common.analysis.templates import page_templates
from stages.common.core.printed import one_line
from stages.common.data.layout import (
    DATASET,
    EVALUATION,
    LEVELS,
    MODELS,
    PREDICTED_MASK,
    PREPROCESSED,
    RAW,
    REPORTS,
    dataset_file,
    image_file,
    map_file,
)
from stages.common.data.run_id import VARIANTS, Run
from stages.common.data.tables import COMPARISON, MANIFEST, SPLIT
from stages.common.model.metrics import COUNTS
from tools.audit.render import HASHES, shortened
from tools.audit.repository import git
from tools.audit.trace import Project, Row, cell

TITLE = "Lineage: from the number to the pixels"
SHOWN = {"f1": "F1", "precision": "precision", "recall": "recall", "iou": "IoU", "accuracy": "accuracy"}


@dataclass(frozen=True)
class RunEntry:
    """A run on the page. total: its counts over all test films. model, scores: stage, command and commit of each."""

    name: str
    variant: str
    anchor: str
    rows: list[Row]
    total: dict[str, int]
    model: dict[str, str]
    scores: dict[str, str]


@dataclass(frozen=True)
class Picture:
    """A picture of a film, by its path from the root."""

    path: str
    md5: str


@dataclass(frozen=True)
class FilmEntry:
    """A test film on the page. row: of the manifest. files: its source files. runs: that were tested on it."""

    id: str
    row: Row
    pictures: dict[str, Picture]
    files: list[Row]
    runs: list[str]


@dataclass(frozen=True)
class StageEntry:
    """A stage on the page. outs: md5 by path."""

    name: str
    command: str
    commit: str
    outs: dict[str, str]


def render(project: Project, target: Path, altered: Sequence[str] = ()) -> str:
    """The page as HTML; pictures are linked where they lie, so that the page belongs to this folder.

    Args:
        target: where the page will be, which its links count from.
        altered: files that are not as dvc.lock has them.
    """
    page = page_templates(Path(__file__).parent)
    runs = [run_of(project, run) for run in project.runs]
    names = sorted({row["image_id"] for run in runs for row in run.rows})
    page.filters["shortened"], page.filters["plain"] = shortened, one_line
    page.filters["link"] = lambda path: quote(os.path.relpath(project.root / path, target.resolve().parent))
    return page.get_template("page.html").render(
        title=TITLE,
        cells=[row for row in project.rows(REPORTS, COMPARISON) if row["row"] in VARIANTS],
        shown=SHOWN,
        runs=runs,
        films=[film_of(project, name) for name in names],
        stages=[stage_of(project, name) for name in project.lock.stages],
        commit=git(project.root, "rev-parse", "HEAD").strip(),
        doubts=[
            *project.doubts,  # read by now
            *(f"{name} is not as its stage wrote it" for name in altered),
            *project.lacking_history,
        ],
    )


def is_page(content: bytes) -> bool:
    """Whether a file is a page of lineage, by its title."""
    return f"<title>{TITLE}</title>".encode() in content


def run_of(project: Project, run: Run) -> RunEntry:
    """A run: what made it, its counts over all test films, and those of each."""
    rows, name = project.scores(run), str(run.folder)
    total = {key.upper(): sum(int(row[key]) for row in rows) for key in COUNTS}
    model, scores = (short(project.made(str(folder / run.folder))) for folder in (MODELS, EVALUATION))
    return RunEntry(name, run.variant, name.replace("/", "-"), rows, total, model, scores)


def short(facts: dict[str, str]) -> dict[str, str]:
    return {key: shortened(value) if key in HASHES else value for key, value in facts.items()}


def film_of(project: Project, image: str) -> FilmEntry:
    """A test film: where it is from, every picture of it, and what each run counted."""
    raw, side = (
        cell(rows, image, column, path)
        for rows, column, path in (
            (project.films, "file", RAW / MANIFEST.name), (project.split, "split", DATASET / SPLIT.name)
        )
    )  # fmt: skip
    row = project.films[image]
    pictures = {
        "raw": RAW / raw,
        "prepared": image_file(PREPROCESSED, image),
        "levels": image_file(LEVELS, image),
        "label": dataset_file(DATASET, side, image, "mask"),
    }
    masks = {str(run.folder): map_file(EVALUATION / run.folder, PREDICTED_MASK, image) for run in project.runs}
    tested = {run: mask for run, mask in masks.items() if (project.root / mask).is_file()}
    files = {name: Picture(str(path), project.md5(str(path))) for name, path in (pictures | tested).items()}
    return FilmEntry(image, row, files, project.files_by_film.get(image, []), list(tested))


def stage_of(project: Project, name: str) -> StageEntry:
    stage = project.lock.stages[name]
    commit = shortened(project.commits[name]) or "not committed"
    return StageEntry(name, stage.command.removeprefix("exec "), commit, stage.outs)
