"""The chain of evidence of one thing, both ways: what it was made from, and what was made from it.

Read from dvc.lock, git, DVC's folder lists and the tables that the stages wrote; nothing is stored for it.
"""

import csv
from functools import cached_property
from os.path import normpath
from pathlib import Path
from typing import Any

from stages.common.core.errors import UserError
from stages.common.data.layout import (
    CHANNELS,
    DATASET,
    DESCRIPTION,
    EVALUATION,
    LEVELS,
    MODELS,
    PINS,
    PREDICTED_MASK,
    PREPROCESSED,
    PROBABILITY,
    RAW,
    REPORTS,
    USED,
    dataset_file,
    fold_column,
    image_file,
    map_file,
)
from stages.common.data.run_id import VARIANTS, Run
from stages.common.data.tables import COMPARISON, FILES, MANIFEST, PER_IMAGE, SPLIT, Table
from stages.common.model.metrics import COUNTS
from stages.report.published import PUBLISHED
from tools.audit.dvc_cache import file_md5, files_of, joined_md5
from tools.audit.dvc_lock import Lock, Stage, commits_of, read_lock
from tools.audit.graph import Graph
from tools.audit.recipes import pretrained_of, put, recipe_of
from tools.audit.repository import git, in_repository
from tools.audit.yaml_files import lookup

csv.field_size_limit(2**31 - 1)  # of a cell, in this process: a table of any kind is read, and its fault is named
REPORT = str(REPORTS / COMPARISON.name)
GAIN = "adaptive - baseline"  # the row of the difference
Row = dict[str, str]  # cells as they are printed


class NothingCalledSo(UserError):
    """Nothing that is here has the name that a user gave."""


class Project:
    """The tables of the workspace, each read once, and dvc.lock."""

    def __init__(self, root: Path) -> None:
        self.root = root.resolve()
        self.lock: Lock = read_lock(self.root)
        self.commits = commits_of(self.root, self.lock)

    @cached_property
    def films(self) -> dict[str, Row]:
        """Rows of the manifest by image id."""
        return {row["image_id"]: row for row in self.rows(RAW, MANIFEST)}

    @cached_property
    def split(self) -> dict[str, Row]:
        return {row["image_id"]: row for row in self.rows(DATASET, SPLIT)}

    @cached_property
    def files(self) -> list[Row]:
        """Every source file of each film: image_id, role, source, file, sha256, licence."""
        return self.rows(RAW, FILES)

    @cached_property
    def files_by_film(self) -> dict[str, list[Row]]:
        rows: dict[str, list[Row]] = {}
        for row in self.files:
            rows.setdefault(row["image_id"], []).append(row)
        return rows

    @cached_property
    def sources(self) -> list[tuple[str, list[str], int]]:
        """Every source of films: name, licences, and number of files."""
        rows: dict[str, list[Row]] = {}
        for row in self.files:
            rows.setdefault(row["source"], []).append(row)
        return [
            (name, sorted({row["licence"] for row in own}), len({row["file"] for row in own}))
            for name, own in sorted(rows.items())
        ]

    @cached_property
    def runs(self) -> list[Run]:
        """Every evaluation that dvc.lock holds, sorted by its folder."""
        folders = (out for out in sorted(self.lock.hashes) if Path(out).parent.parent == EVALUATION)
        return [Run.of_folder(out) for out in folders]

    @cached_property
    def outdated(self) -> list[str]:
        """A sentence for each input of a stage that another one has written anew since: chains mix both versions."""
        found = []
        for stage in self.lock.stages.values():
            for path, md5 in stage.data.items():
                inside = {out: of for out, of in self.lock.hashes.items() if out.startswith(f"{path}/")}
                now = self.lock.hashes.get(path) or (inside and joined_md5(self.root, path, inside))
                if now and now != md5:
                    found.append(f"{stage.name} ran on {path} {md5}, which is {now} since; run `dvc repro`")
        return found

    @cached_property
    def altered(self) -> list[str]:
        """Files that were read or are shown, and are not as dvc.lock has them."""
        return []

    @property
    def doubts(self) -> list[str]:
        """Why a chain cannot be trusted, a sentence each: stages ran on other data, or tables were changed."""
        return self.outdated + [f"{path} is not as its stage wrote it: `wrist audit verify`" for path in self.altered]

    @property
    def lacking_history(self) -> list[str]:
        """A sentence where git has the last commits only, as a clone with `--depth`: what they have may be older."""
        cut = in_repository(self.root) and git(self.root, "rev-parse", "--is-shallow-repository").strip() == "true"
        return (
            ["this clone lacks earlier commits, which may be those of results; `git fetch --unshallow`"] if cut else []
        )

    def note(self, path: Path) -> None:
        """Enter a file that is read in `altered`, if it is of an output, and not as dvc.lock has it."""
        name = str(path)
        if self.lock.output_of(name) and name not in self.altered and file_md5(self.root / path) != self.md5(name):
            self.altered.append(name)

    def note_all(self, path: str) -> None:
        """Enter what is shown of an output in `altered`: a file, or what is here of a folder."""
        out = self.lock.output_of(path)
        if out is None:
            return
        if (self.root / path).is_file():
            self.note(Path(path))
        if not (self.root / path).is_dir():
            return
        listed = files_of(self.root, out, self.lock.hashes[out])
        if listed is None and out not in self.altered:
            self.altered.append(out)
        for name in sorted(f"{out}/{name}" for name in listed or {}):
            if name.startswith(f"{path}/") and (self.root / name).is_file():
                self.note(Path(name))

    def rows(self, folder: Path, table: Table[Any]) -> list[Row]:
        """The rows of a table in a folder, which counts from the root, with its cells as they are printed.

        Raises:
            UserError: there is no such table, or it lacks columns or has cells of other types.
        """
        path = folder / table.name
        if not (self.root / path).is_file():
            raise UserError(
                f"{path}: expected a table of the pipeline, found none; run `dvc repro`, or `dvc checkout` where no "
                "withdrawal removed it"
            )
        self.note(path)
        with (self.root / path).open(newline="", errors="replace") as file:
            try:
                table.parse(file)
            except UserError as error:
                raise UserError(f"{folder}/{error}") from None
            file.seek(0)
            return list(csv.DictReader(file, restval=""))

    def scores(self, run: Run) -> list[Row]:
        """The rows of the test films of a run."""
        return self.rows(EVALUATION / run.folder, PER_IMAGE)

    def side(self, image: str, run: Run) -> str:
        """On which side a film stands in the fold of a run.

        Raises:
            UserError: the table lacks the fold.
        """
        return cell(self.split, image, fold_column(run.fold), DATASET / SPLIT.name)

    def md5(self, path: str) -> str:
        """md5 that dvc.lock records for a path, or of a file of a folder that has its hash; blank where neither is."""
        out = self.lock.output_of(path)
        if out is None or path == out:
            return self.lock.hashes.get(path, "")
        files = files_of(self.root, out, self.lock.hashes[out]) or {}
        return files.get(path.removeprefix(f"{out}/"), "")

    def made(self, path: str) -> dict[str, str]:
        """Stage, command and commit that made the output in which a path lies."""
        out = self.lock.output_of(path)
        if out is None:
            return {}
        stage = self.lock.makers[out]
        command, commit = stage.command.removeprefix("exec "), self.commits[stage.name] or "not committed"
        return {"stage": stage.name, "command": command, "commit": commit}


def cell(rows: dict[str, Row], image: str, column: str, path: Path) -> str:
    """A cell of a film's row.

    Args:
        rows: of a table, by film.
        image: the film.
        column: of the cell.
        path: of the table, for the message.
    Raises:
        UserError: the table has no such cell, though another table has the film.
    """
    try:
        return rows[image][column]
    except KeyError:
        raise UserError(
            f"{path}: expected {column} of {image}, found none; `wrist audit verify` names what is not as it was run"
        ) from None


def trace(project: Project, what: str) -> tuple[Graph, str]:
    """The graph round `what` and the name of its node.

    Args:
        what: a cell of the report (`adaptive/f1`), an image id, a model (`adaptive-1-1`), a path that DVC tracks,
            a source file by its sha256 or its name, or a patient's pseudonym.
    Raises:
        NothingCalledSo: nothing is.
    """
    graph = Graph()
    row, _, column = what.partition("/")
    compared = project.rows(REPORTS, COMPARISON)
    if lines := [line for line in compared if line["row"] == row and column in line]:
        return graph, number(project, graph, lines[0], column)
    kinds = kinds_of(project, what)
    images = sorted(set().union(*kinds.values()))
    for image in images:
        film(project, graph, image)
    if images:
        model = model_of(what)
        graph.kinds = [*kinds, *([f"model ({model})"] if model and is_written(project, model) else [])]
        if images != [what] or len(graph.kinds) > 1:
            graph.films[what] = images
        if what not in graph.nodes:
            graph.add(what, graph.kinds[0])
        return graph, what
    path = model_of(what) or normpath(what)
    if is_written(project, path):
        project.note_all(path)
        return graph, artefact(project, graph, path)
    rows = ", ".join(line["row"] for line in compared[:2])
    raise NothingCalledSo(
        f"{what}: expected a cell of the report (one of {rows}, a slash, a column of {REPORT}), an image "
        "id, a model such as adaptive-1-1, a path that DVC tracks, or a source file by name or sha256; found nothing so"
    )


def is_written(project: Project, path: str) -> bool:
    """Whether a path is an output, or a file or folder in one, which a stage wrote; other files may lie there."""
    out = project.lock.output_of(path)
    if out is None or path == out:
        return out is not None
    files = files_of(project.root, out, project.lock.hashes[out]) or {}
    name = path.removeprefix(f"{out}/")
    return any(file == name or file.startswith(f"{name}/") for file in files)


def model_of(what: str) -> str:
    """models/adaptive/seed-2-fold-1 of adaptive-2-1; blank for anything else."""
    words = what.split("-")
    if len(words) == 3 and words[0] in VARIANTS and words[1].isdecimal() and words[2].isdecimal():
        run = Run(words[0], int(words[1]), int(words[2]))
        return str(MODELS / run.folder) if str(run) == what else ""  # `adaptive-05-1` is none
    return ""


def kinds_of(project: Project, what: str) -> dict[str, set[str]]:
    """The films that are called so, are of the patient who is, or come from the file that is, by what is called so."""
    of_file = {row["image_id"] for row in project.files if what in (row["sha256"], row["file"], Path(row["file"]).name)}
    found = {
        "film": {what} & project.films.keys(),
        "patient": {image for image, row in project.films.items() if what == row["patient_id"]},
        "source file": of_file & project.films.keys(),
    }
    return {kind: images for kind, images in found.items() if images}


def number(project: Project, graph: Graph, line: Row, column: str) -> str:
    """A cell of the comparison, down to the source of every film that it was counted on.

    Args:
        project: whose tables are read.
        graph: gets the nodes.
        line: a row of the comparison.
        column: of it.
    Returns:
        The name of the cell's node.
    """
    name = f"{line['row']}/{column}"
    value, table = line[column], artefact(project, graph, REPORT, deep=False)
    graph.add(name, "number", table, value=value, films=line["images"].removesuffix(".0"))
    row = line["row"]
    variants = VARIANTS if row == GAIN else (row,)
    for run in project.runs:
        if run.variant in variants:
            graph.add(table, "file", counts(project, graph, run))
    if row not in (*VARIANTS, GAIN, *PUBLISHED):  # predictors without a network; the published numbers are code
        graph.add(table, "file", artefact(project, graph, str(DATASET)))
    return name


def counts(project: Project, graph: Graph, run: Run) -> str:
    """The pixel counts of a run on its test films, and all that they follow from."""
    path = scores_of(run)
    rows = project.scores(run)
    total = {key.upper(): sum(int(row[key]) for row in rows) for key in COUNTS}
    graph.add(path, "counts", artefact(project, graph, str(EVALUATION / run.folder)), md5=project.md5(path), **total)
    return path


def scores_of(run: Run) -> str:
    """The path of a run's scores, film by film."""
    return str(EVALUATION / run.folder / PER_IMAGE.name)


def artefact(project: Project, graph: Graph, path: str, deep: bool = True) -> str:
    """An output, or a file in one, and by what stage it was made; `deep` goes on to the sources.

    Args:
        project: whose dvc.lock is read.
        graph: gets the nodes.
        path: from the root.
        deep: whether to go on to the stage's own inputs.
    Returns:
        The path, which is the node's name.
    """
    if path in graph.nodes:
        return path
    out = project.lock.output_of(path)
    if out is None:
        return graph.add(path, "input")
    stage = project.lock.makers[out]
    graph.add(path, kind_of(path), md5=project.md5(path), **project.made(path))
    if path != out:
        project.note_all(path)
        graph.add(path, kind_of(path), artefact(project, graph, out, deep))
        return path
    graph.add(path, kind_of(path), settings(graph, stage), code(graph, stage), **model_facts(project, path))
    if deep:
        for dep, md5 in stage.data.items():
            inside = project.lock.output_of(dep)
            graph.add(
                path, kind_of(path), artefact(project, graph, inside) if inside else source(project, graph, dep, md5)
            )
    return path


def model_facts(project: Project, path: str) -> dict[str, str]:
    """The recipe of a model and what its encoder started from; nothing for other outputs."""
    if kind_of(path) != "model":
        return {}
    facts = {"recipe": recipe_of(project.lock)}
    project.note(Path(path) / DESCRIPTION)
    if pretrained := pretrained_of(project.root / path):
        names = {"source": "encoder from", "licence": "its licence", "sha256": "its sha256"}
        facts |= {words: str(pretrained[key]) for key, words in names.items()}  # type: ignore[literal-required]
    return {name: value for name, value in facts.items() if value}


def kind_of(path: str) -> str:
    kinds = {MODELS: "model", EVALUATION: "predictions", RAW.parent: "data"}
    return next((kind for folder, kind in kinds.items() if path.startswith(f"{folder}/")), "file")


def settings(graph: Graph, stage: Stage) -> str:
    """The params of a stage as a node."""
    return graph.add(f"params of {stage.name}", "params", **stage.params)


def code(graph: Graph, stage: Stage) -> str:
    """The code of a stage as a node: every file or folder of it with its md5."""
    return graph.add(f"code of {stage.name}", "code", **stage.code)


def source(project: Project, graph: Graph, dep: str, md5: str) -> str:
    """What lies before the pipeline: pins, or the inbox, and which sources were read from it, under which licence.

    Args:
        project: whose files.csv is read.
        graph: gets the nodes.
        dep: a dependency that no stage wrote.
        md5: of it, in dvc.lock.
    Returns:
        `dep`, which is the node's name.
    """
    kind = "pins" if Path(dep).is_relative_to(PINS) else "inbox"
    graph.add(dep, kind, md5=md5)
    if kind == "inbox":
        for name, licences, files in project.sources:
            graph.add(dep, kind, graph.add(f"source {name}", "source", files=files, licence=", ".join(licences)))
    return dep


def film(project: Project, graph: Graph, image: str) -> None:
    """One film: from its source files, by every picture of it, to the counts and cells that it is part of."""
    row, split = project.films[image], project.split.get(image, {})
    roles: dict[str, list[str]] = {}
    for item in project.files_by_film.get(image, []):
        facts = {key: item[key] for key in ("sha256", "source", "licence")}
        name = graph.add(f"{item['source']}: {item['file']}", "source file", **facts)
        roles.setdefault(name, []).append(item["role"])  # a table of boxes may give patients, too
    sources = [graph.add(name, "source file", role=", ".join(own)) for name, own in roles.items()]
    facts = {key: row[key] for key in ("patient_id", "modality", "licence", "key_id")}
    graph.add(image, "film", **facts, **sides_of(project, image))

    def picture(file: Path, *origins: str, **more: Any) -> str:
        path = str(file)
        project.note_all(path)
        return graph.add(path, "picture", *origins, md5=project.md5(path), **project.made(path), **more)

    films = [name for name in sources if "film" in roles[name]]
    labels = [name for name in sources if not {"labels", "classes"}.isdisjoint(roles[name])]
    raw = picture(image_file(RAW, image), *films, sha256=row["file_sha256"])
    graph.add(image, "film", raw, *(name for name in sources if name not in films))
    prepared = picture(image_file(PREPROCESSED, image), raw)
    levels = picture(image_file(LEVELS, image), prepared)
    side = split.get("split", "unused")
    if side not in USED:
        return
    seen = {
        "image": picture(dataset_file(DATASET, side, image), prepared),
        "levels": picture(dataset_file(DATASET, side, image, "levels"), levels),
    }
    on_film = (levels,) if param_of(project, "annotate", "annotate.mask") == "box_levels" else ()
    mask = picture(dataset_file(DATASET, side, image, "mask"), *labels, prepared, *on_film)
    for path in (*seen.values(), mask):
        graph.add(path, "picture", image)
    for run in project.runs:
        used(project, graph, run, image, seen, mask)


def sides_of(project: Project, image: str) -> dict[str, str]:
    """On which side a film stands in the split, and in each further fold that is evaluated."""
    row = project.split.get(image, {})
    folds = sorted({run.fold for run in project.runs} - {1})
    return {"in the split": row.get("split", "unused")} | {
        f"in fold {fold}": cell(project.split, image, fold_column(fold), DATASET / SPLIT.name) for fold in folds if row
    }


def param_of(project: Project, stage: str, key: str) -> Any:
    """A parameter by its dotted key with which a stage ran; None where it has none of that name."""
    params: dict[str, Any] = {}
    for name, value in project.lock.stages[stage].params.items() if stage in project.lock.stages else ():
        put(params, name, value)
    return lookup(params, key)


def used(project: Project, graph: Graph, run: Run, image: str, seen: dict[str, str], mask: str) -> None:
    """What a run did with a film: learnt from it, chose its epoch by it, or was tested on it.

    Args:
        seen: the paths of the film in data/dataset, by what a network may see.
        mask: that of its mask.
    """
    side, model = project.side(image, run), str(MODELS / run.folder)
    what = param_of(project, f"train@{run}", "train.network.input")
    inputs = [seen[channel] for channel in CHANNELS.get(what, ("image",))]
    if side in ("train", "validation"):
        graph.add(model, "model", *inputs, mask, md5=project.md5(model), **project.made(model))
        graph.add(scores_of(run), "counts", model)
    elif side == "test":
        graph.add(model, "model", md5=project.md5(model), **project.made(model))
        predicted = str(map_file(EVALUATION / run.folder, PREDICTED_MASK, image))
        graph.add(predicted, "prediction", model, *inputs, md5=project.md5(predicted), **project.made(predicted))
        chances = str(map_file(EVALUATION / run.folder, PROBABILITY, image))
        graph.add(chances, "prediction", model, *inputs)
        path = scores_of(run)
        scores = {row["image_id"]: row for row in project.scores(run)}
        facts: dict[str, Any] = {key.upper(): int(cell(scores, image, key, Path(path))) for key in COUNTS}
        facts["F1"] = cell(scores, image, "f1", Path(path))
        line = graph.add(f"{path}: {image}", "counts of the film", predicted, mask, **facts)
        graph.add(path, "counts", line, md5=project.md5(path), **project.made(path))
    graph.add(REPORT, "file", scores_of(run), **project.made(REPORT))
    graph.add(f"{run.variant}/*", "numbers", REPORT)
