"""The chain of evidence of one thing, both ways: what it was made from, and what was made from it.

Read from dvc.lock, git, DVC's folder lists and the tables that the stages wrote; nothing is stored for it.
"""

import csv
from functools import cached_property
from pathlib import Path
from typing import Any

from stages.common.core.errors import UserError
from stages.common.data.run_id import VARIANTS
from tools.audit.dvc_cache import listing
from tools.audit.dvc_lock import Lock, Stage, commits_of, read_lock
from tools.audit.graph import Graph

Row = dict[str, str]
COUNTS = ("tp", "fp", "fn", "tn")
SCORES = "reports/evaluation"


class Project:
    """The tables of the workspace, each read once, and dvc.lock."""

    def __init__(self, root: Path) -> None:
        self.root = root.resolve()
        self.lock: Lock = read_lock(self.root)
        self.commits = commits_of(self.root, self.lock)

    @cached_property
    def films(self) -> dict[str, Row]:
        """Rows of the manifest by image id."""
        return {row["image_id"]: row for row in self.rows("data/raw/manifest.csv")}

    @cached_property
    def split(self) -> dict[str, Row]:
        return {row["image_id"]: row for row in self.rows("data/dataset/split.csv")}

    @cached_property
    def files(self) -> list[Row]:
        """Every source file: image_id, role, source, file, sha256, licence."""
        return self.rows("data/raw/files.csv")

    @cached_property
    def runs(self) -> list[str]:
        """variant/seed-n-fold-k of every evaluation that dvc.lock holds."""
        return sorted(out.removeprefix(f"{SCORES}/") for out in self.lock.hashes if out.startswith(f"{SCORES}/"))

    def rows(self, path: str) -> list[Row]:
        """
        Raises:
            UserError: there is no such table.
        """
        place = self.root / path
        if not place.is_file():
            raise UserError(f"{path}: expected a table of the pipeline, found none; run `dvc checkout` or `dvc repro`")
        with place.open(newline="") as file:
            return list(csv.DictReader(file))

    def md5(self, path: str) -> str:
        """md5 that dvc.lock, or its folder list in the cache, records for a path; blank where neither does."""
        out = self.lock.output_of(path)
        if out is None or path == out:
            return self.lock.hashes.get(path, "")
        files = listing(self.root, self.lock.hashes[out]) or {}
        return files.get(path.removeprefix(f"{out}/"), "")

    def made(self, path: str) -> dict[str, Any]:
        """Stage, command and commit that made the output in which a path lies."""
        out = self.lock.output_of(path)
        if out is None:
            return {}
        stage = self.lock.makers[out]
        command, commit = stage.command.removeprefix("exec "), self.commits[stage.name] or "not committed"
        return {"stage": stage.name, "command": command, "commit": commit}


def trace(project: Project, what: str) -> tuple[Graph, str]:
    """The graph round `what` and the name of its node.

    Args:
        what: a cell of the report (`adaptive/f1`), an image id, a model (`adaptive-1-1`), a path that DVC tracks,
            a source file by its sha256 or its name, or a patient's pseudonym.
    Raises:
        UserError: nothing is called so.
    """
    graph = Graph()
    row, _, column = what.partition("/")
    if cells := [found for found in project.rows("reports/comparison.csv") if found["row"] == row and column in found]:
        return graph, number(project, graph, cells[0], column)
    for image in images_of(project, what):
        film(project, graph, image)
    if graph.nodes:
        return graph, what
    path = model_of(what) or what.rstrip("/")
    if project.lock.output_of(path):
        return graph, artefact(project, graph, path)
    rows = ", ".join(found["row"] for found in project.rows("reports/comparison.csv")[:2])
    raise UserError(
        f"{what}: expected a cell of the report (one of {rows}, a slash, a column of reports/comparison.csv), an image "
        "id, a model such as adaptive-1-1, a path that DVC tracks, or a source file by name or sha256; found nothing so"
    )


def model_of(what: str) -> str:
    """models/adaptive/seed-2-fold-1 of adaptive-2-1; blank for anything else."""
    words = what.split("-")
    if len(words) == 3 and words[0] in VARIANTS and words[1].isdecimal() and words[2].isdecimal():
        return f"models/{words[0]}/seed-{words[1]}-fold-{words[2]}"
    return ""


def images_of(project: Project, what: str) -> list[str]:
    """The films that are called so, come from the file that is, or are of the patient who is."""
    if what in project.films:
        return [what]
    named = {row["image_id"] for row in project.files if what in (row["sha256"], row["file"], Path(row["file"]).name)}
    named |= {image for image, row in project.films.items() if what == row["patient_id"]}
    return sorted(named & set(project.films))


def number(project: Project, graph: Graph, cell: Row, column: str) -> str:
    """A cell of the comparison, down to the source of every film that it was counted on."""
    name = f"{cell['row']}/{column}"
    value, table = cell[column], artefact(project, graph, "reports/comparison.csv", deep=False)
    graph.add(name, "number", table, value=value, films=cell["images"].removesuffix(".0"))
    variants = [variant for variant in VARIANTS if variant in cell["row"]] or list(VARIANTS)
    for run in project.runs:
        if run.split("/")[0] in variants:
            graph.add(table, "file", counts(project, graph, run))
    if cell["row"] not in (*VARIANTS, "adaptive - baseline"):
        graph.add(table, "file", artefact(project, graph, "data/dataset"))
    return name


def counts(project: Project, graph: Graph, run: str) -> str:
    """The pixel counts of a run on its test films, and all that they follow from."""
    path = f"{SCORES}/{run}/per_image.csv"
    rows = project.rows(path)
    total = {key.upper(): sum(int(row[key]) for row in rows) for key in COUNTS}
    graph.add(path, "counts", artefact(project, graph, f"{SCORES}/{run}"), md5=project.md5(path), **total)
    return path


def artefact(project: Project, graph: Graph, path: str, deep: bool = True) -> str:
    """An output, or a file in one, and by what stage it was made; `deep` goes on to the sources."""
    if path in graph.nodes:
        return path
    out = project.lock.output_of(path)
    if out is None:
        return graph.add(path, "input")
    stage = project.lock.makers[out]
    graph.add(path, kind_of(path), md5=project.md5(path), **project.made(path))
    if path != out:
        graph.add(path, kind_of(path), artefact(project, graph, out, deep))
        return path
    graph.add(path, kind_of(path), settings(graph, stage), code(graph, stage))
    if deep:
        for dep, md5 in stage.data.items():
            inside = project.lock.output_of(dep)
            graph.add(
                path, kind_of(path), artefact(project, graph, inside) if inside else source(project, graph, dep, md5)
            )
    return path


def kind_of(path: str) -> str:
    kinds = {"models/": "model", "reports/evaluation/": "predictions", "data/": "data", "reports/": "file"}
    return next((kind for start, kind in kinds.items() if path.startswith(start)), "file")


def settings(graph: Graph, stage: Stage) -> str:
    """The params of a stage as a node."""
    return graph.add(f"params of {stage.name}", "params", **stage.params)


def code(graph: Graph, stage: Stage) -> str:
    """The code of a stage as a node: every file or folder of it with its md5."""
    return graph.add(f"code of {stage.name}", "code", **stage.code)


def source(project: Project, graph: Graph, dep: str, md5: str) -> str:
    """What lies before the pipeline: the inbox, and which sources were read from it, under which licence."""
    graph.add(dep, "inbox", md5=md5)
    if dep != "data/pins":
        for name in sorted({row["source"] for row in project.files}):
            rows = [row for row in project.files if row["source"] == name]
            licences = ", ".join(sorted({row["licence"] for row in rows}))
            graph.add(dep, "inbox", graph.add(f"source {name}", "source", files=len(rows), licence=licences))
    return dep


def film(project: Project, graph: Graph, image: str) -> None:
    """One film: from its source file, by every picture of it, to the counts and cells that it is part of."""
    row, side = project.films[image], project.split.get(image, {})
    sources = []
    for item in (item for item in project.files if item["image_id"] == image):
        facts = {"role": item["role"], "sha256": item["sha256"], "source": item["source"], "licence": item["licence"]}
        sources.append(graph.add(f"{item['source']}: {item['file']}", "source file", **facts))
    facts = {key: row[key] for key in ("patient_id", "modality", "licence", "key_id")}
    graph.add(image, "film", **facts, **{"in the split": side.get("split", "unused")})

    def picture(path: str, *origins: str, **more: Any) -> str:
        return graph.add(path, "picture", *origins, md5=project.md5(path), **project.made(path), **more)

    films = [name for name in sources if graph.nodes[name].facts["role"] != "labels"]
    labels = [name for name in sources if name not in films]
    raw = graph.add(image, "film", picture(f"data/raw/images/{image}.png", *films, sha256=row["file_sha256"]))
    prepared = picture(f"data/preprocessed/images/{image}.png", f"data/raw/images/{image}.png")
    levels = picture(f"data/levels/images/{image}.png", prepared)
    if side.get("split") not in ("train", "validation", "test"):
        return
    folder = "test" if side["split"] == "test" else "train"
    picture(f"data/dataset/{folder}/{image}.png", prepared)
    picture(f"data/dataset/{folder}_levels/{image}.png", levels)
    mask = picture(f"data/dataset/{folder}_mask/{image}.png", *labels, prepared)
    graph.add(f"data/dataset/{folder}/{image}.png", "picture", raw)
    for run in project.runs:
        used(project, graph, run, image, folder, mask)


def used(project: Project, graph: Graph, run: str, image: str, folder: str, mask: str) -> None:
    """What a run did with a film: learnt from it, chose its epoch by it, or was tested on it."""
    fold = run.rsplit("-", 1)[1]
    side = project.split[image]["split" if fold == "1" else f"fold_{fold}"]
    prepared, model = f"data/dataset/{folder}/{image}.png", f"models/{run}"
    if side in ("train", "validation"):
        graph.add(model, "model", prepared, mask, md5=project.md5(model), **project.made(model))
        graph.add(f"{SCORES}/{run}/per_image.csv", "counts", model)
    elif side == "test":
        graph.add(model, "model", md5=project.md5(model), **project.made(model))
        found = f"{SCORES}/{run}/mask/{image}.png"
        graph.add(found, "prediction", model, prepared, md5=project.md5(found), **project.made(found))
        graph.add(f"{SCORES}/{run}/probability/{image}.png", "prediction", model, prepared)
        path = f"{SCORES}/{run}/per_image.csv"
        (scores,) = (row for row in project.rows(path) if row["image_id"] == image)
        facts = {key.upper(): int(scores[key]) for key in COUNTS} | {"F1": scores["f1"]}
        line = graph.add(f"{path}: {image}", "counts of the film", found, mask, **facts)
        graph.add(path, "counts", line, md5=project.md5(path), **project.made(path))
    graph.add(
        "reports/comparison.csv", "file", f"{SCORES}/{run}/per_image.csv", **project.made("reports/comparison.csv")
    )
    graph.add(f"{run.split('/')[0]}/*", "numbers", "reports/comparison.csv")
