"""reports/lineage.html: from each number of the report, by clicks, to the pixels that it counts and to their source."""

import os
from pathlib import Path
from typing import Any

from stages.common.analysis.templates import page_templates
from stages.common.data.run_id import VARIANTS
from tools.audit.dvc_lock import git
from tools.audit.render import HASHES, SHORT
from tools.audit.trace import COUNTS, SCORES, Project, Row

SHOWN = ("accuracy", "precision", "recall", "f1", "iou")


def render(project: Project, target: Path) -> str:
    """The page as HTML; pictures are linked where they lie, so that the page belongs to this folder.

    Args:
        target: where the page will be, which its links count from.
    """
    page = page_templates(Path(__file__).parent)
    runs = [run_of(project, run) for run in project.runs]
    names = sorted({row["image_id"] for run in runs for row in run["rows"]})
    page.filters["link"] = lambda path: os.path.relpath(project.root / path, target.resolve().parent)
    return page.get_template("page.html").render(
        cells=[row for row in project.rows("reports/comparison.csv") if row["row"] in VARIANTS],
        shown=SHOWN,
        runs=runs,
        films=[film_of(project, name) for name in names],
        stages=[stage_of(project, name) for name in project.lock.stages],
        commit=git(project.root, "rev-parse", "HEAD").strip(),
    )


def run_of(project: Project, run: str) -> dict[str, Any]:
    """A run: what made it, its counts over all test films, and those of each."""
    rows = project.rows(f"{SCORES}/{run}/per_image.csv")
    total = {key.upper(): sum(int(row[key]) for row in rows) for key in COUNTS}
    made = {name: short(project.made(f"{kind}/{run}")) for name, kind in (("model", "models"), ("scores", SCORES))}
    names = {"name": run, "variant": run.split("/")[0], "anchor": run.replace("/", "-")}
    return names | {"rows": rows, "total": total} | made


def short(facts: dict[str, Any]) -> dict[str, Any]:
    return {key: str(value)[:SHORT] if key in HASHES else value for key, value in facts.items()}


def film_of(project: Project, image: str) -> dict[str, Any]:
    """A test film: where it is from, every picture of it, and what each run counted."""
    row = project.films[image]
    folder = "test" if project.split[image]["split"] == "test" else "train"
    pictures = {
        "raw": f"data/raw/{row['file']}",
        "prepared": f"data/preprocessed/images/{image}.png",
        "levels": f"data/levels/images/{image}.png",
        "label": f"data/dataset/{folder}_mask/{image}.png",
    }
    tested = [run for run in project.runs if (project.root / f"{SCORES}/{run}/mask/{image}.png").is_file()]
    pictures |= {run: f"{SCORES}/{run}/mask/{image}.png" for run in tested}
    known = {label: {"path": path, "md5": project.md5(path)} for label, path in pictures.items()}
    return {"id": image, "row": row, "pictures": known, "files": sources(project, image), "runs": tested}


def sources(project: Project, image: str) -> list[Row]:
    return [item for item in project.files if item["image_id"] == image]


def stage_of(project: Project, name: str) -> dict[str, Any]:
    stage = project.lock.stages[name]
    commit = project.commits[name][:SHORT] or "not committed"
    return {"name": name, "command": stage.command.removeprefix("exec "), "commit": commit, "outs": stage.outs}
