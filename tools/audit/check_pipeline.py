"""dvc.yaml against the code: whoever loosens it makes DVC, and all that compares hashes, overlook a change.

Each stage names all code that it imports, every file and folder of the pipeline that it works on, and all its
parameters; it is called as itself; and nothing tells DVC to take a stage or an output for unchanged.
"""

import ast
from collections.abc import Iterator
from os.path import normpath
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from stages import STAGES
from stages.common.data import layout
from stages.common.data.layout import PARAMS
from stages.common.data.run_id import VARIANTS, Run
from stages.common.data.tables import WEIGHT_PINS
from stages.report.results import RESULTS
from tools.audit.check_record import PIPELINE, covered, list_differences, overlap, paths, pipeline
from tools.audit.findings import Check
from tools.audit.imports import compiles, import_closure, nodes, parsed
from tools.audit.trace import Project
from tools.audit.yaml_files import inbox_of, lookup, params_here, read_yaml

RUNS = ("train", "evaluate")  # once for each variant, seed and fold
# What a stage reads or writes that decides no output of DVC, or that another file pins by its SHA-256.
NO_FILE_OF_DVC = ("PARAMS", "INBOX", "ENCODERS", "LIVE", "DATA_DOCS")
OF_A_RUN = ("MODELS", "EVALUATION")  # with a folder for each run
IN_PARTS = ("REPORTS",)  # of which a stage has some files

OF_A_STAGE = {
    "ingest": [layout.RAW, layout.QUALITY],
    "preprocess": [layout.PREPROCESSED],
    "threshold": [layout.LEVELS],
    "annotate": [layout.DATASET, layout.LABEL_SHEET],
}
OF_THE_REPORT = [  # beside its tables
    layout.PAGE,
    layout.PAGE_FILMS,
    layout.PAGE_TO_MAIL,
    layout.PREDICTION_SHEET,
    layout.COMPARISON_MD,
    layout.COMPARISON_TEX,
    layout.HEADLINE,
    layout.CURVES,
    layout.MODEL_CARD,
    layout.DATASHEET,
]


class PipelineStage(BaseModel):
    """What a stage of dvc.yaml may say; `frozen`, `persist`, `cache: false` and the like are no part of it."""

    model_config = ConfigDict(extra="forbid", strict=True)
    desc: str = ""
    matrix: dict[str, Any] = {}
    cmd: str
    deps: list[str] = []
    params: list[str] = []
    outs: list[str]
    metrics: list[str] = []


class PipelineFile(BaseModel):
    """What dvc.yaml may say. metrics, plots: what DVC shows, files or plots by name with the files of their axes."""

    model_config = ConfigDict(extra="forbid", strict=True)
    stages: dict[str, PipelineStage]
    metrics: list[str] = []
    plots: list[str | dict[str, dict[str, Any] | None]] = []

    @property
    def shown(self) -> Iterator[str]:
        """The files and folders whose content `dvc metrics` and `dvc plots` show."""
        yield from self.metrics
        for item in self.plots:
            for name, facts in ({item: None} if isinstance(item, str) else item).items():
                x, y = ((facts or {}).get(axis) for axis in "xy")
                yield from y if isinstance(y, dict) else [name]
                yield from x if isinstance(x, dict) else []


def check_pipeline(project: Project, check: Check) -> None:
    """Name each freedom that dvc.yaml takes, and each input, output or parameter that a stage has beside it."""
    try:
        whole = PipelineFile.model_validate(read_yaml(PIPELINE, (project.root / PIPELINE).read_text()))
    except ValidationError as error:
        for problem in error.errors():
            key = ".".join(str(part) for part in problem["loc"])
            check.add(f"{PIPELINE}: {key}", "mismatch", f"{problem['msg']}; the audit knows no such key, remove it")
        return
    content = params_here(project.root)
    stages = {name: stage for name, stage in pipeline(project.root).items() if stage.path_in_repo == PIPELINE}
    check_shown(project, check, whole, [out for stage in stages.values() for out in paths(stage.outs)])
    runs = stage_runs(content)
    for name, message in list_differences(sorted(stages), sorted(runs), PIPELINE, "the pipeline"):
        check.add(f"{PIPELINE}: {name}", "mismatch", message)
    for room in STAGES:
        entries = [(runs[name], stage) for name, stage in stages.items() if name in runs and stage_of(name) == room]
        modules = stage_code(project.root, room)
        code = sorted(str(path.relative_to(project.root)) for path in modules | beside(modules, project.root))
        for path in code:
            if path.endswith(".py") and not compiles((project.root / path).read_bytes()):
                check.add(path, "mismatch", "no Python code: no stage can have run it; restore the committed file")
        used = pipeline_paths(project.root, room)
        if room == "ingest":
            used["INBOX"] = Path(inbox_of(content))
        for run, stage in entries:
            for what, message in problems(room, run, stage, code, used, content):
                check.add(f"{PIPELINE}: {room}: {what}", "mismatch", message)


def check_shown(project: Project, check: Check, whole: PipelineFile, outs: list[str]) -> None:
    """Name what DVC shows as metrics and plots though no stage made it.

    Args:
        project: whose files are looked for.
        check: gets the discrepancies.
        whole: of dvc.yaml.
        outs: of all stages.
    """
    for path in map(normpath, whole.shown):
        if path != str(layout.LIVE) and not covered(path, outs):
            check.add(f"{PIPELINE}: {path}", "extra", "a metric or plot that no stage makes; remove it")
    live = project.root / layout.LIVE
    for file in sorted(live.rglob("*")):
        if (file.is_symlink() or not file.is_dir()) and file != live / "README.md":
            path = str(file.relative_to(project.root))
            check.add(path, "extra", "DVC shows it as a plot of a training that goes on; remove it where none does")


def stage_of(name: str) -> str:
    """The stage's folder; train of train@adaptive-1-1."""
    return name.partition("@")[0]


def stage_runs(params: Any) -> dict[str, Run | None]:
    """Every stage that the pipeline has with these params, by its name, and the run of each training and evaluation."""
    runs = [
        Run(variant, seed, fold)
        for variant in VARIANTS
        for seed in lookup(params, "train.seeds") or []
        for fold in lookup(params, "evaluate.folds") or []
    ]
    single: dict[str, Run | None] = {stage: None for stage in STAGES if stage not in RUNS}
    return single | {f"{stage}@{run}": run for stage in RUNS for run in runs}


def problems(
    room: str, run: Run | None, stage: Any, code: list[str], used: dict[str, Path], params: Any
) -> Iterator[tuple[str, str]]:
    """What is wrong with an entry of dvc.yaml, each with a sentence.

    Args:
        room: the stage.
        run: of a training or evaluation.
        stage: DVC's own.
        code: modules that it imports, and what lies beside them.
        used: files and folders of the pipeline in its code, by the name in `layout`.
        params: the content of params.yaml.
    """
    command = command_of(room, run)
    if stage.cmd != command:
        yield "cmd", f"expected {command!r}, found {stage.cmd!r}"
    deps, named = paths(stage.deps), [*paths(stage.deps), *paths(stage.outs)]
    for path in code:
        if not covered(path, deps):
            yield path, "code of the stage, or beside it, that no dependency holds: a change would go unnoticed; add it"
    for name, folder in used.items():
        for place in places(name, folder, run):
            in_parts = name in IN_PARTS and any(item.startswith(f"{place}/") for item in named)
            if not covered(place, named) and not in_parts:
                yield place, "the stage works on it, and neither deps nor outs hold it; add it"
    read = [*code, *(place for name, folder in used.items() for place in places(name, folder, run))]
    for path in deps:
        if not any(overlap(path, place) for place in read):
            yield path, "the stage does not read it, and its lineage would say so; remove it"
    yield from list_differences(paths(stage.outs), stage_outs(room, run), PIPELINE, "the pipeline")
    asked = {dep.def_path: sorted(dep.params) for dep in stage.deps if hasattr(dep, "params")}
    found = [key if file == str(PARAMS) else f"{file}: {key}" for file in sorted(asked) for key in asked[file]]
    for key, message in list_differences(found, stage_params(room, run, params), PIPELINE, "the pipeline"):
        yield f"params: {key}", message


def command_of(room: str, run: Run | None) -> str:
    """The command of a stage, or of one of its runs."""
    words = f" {run.variant} {run.seed} {run.fold}" if run else ""
    return f"exec python -m stages.{room}{words}"


def places(name: str, path: Path, run: Run | None) -> list[str]:
    """The paths that a stage works on for a name of `layout`: those of its run, or of all runs."""
    if name == "PINS" and run:  # of a training, which reads those of weights
        return [str(path / WEIGHT_PINS.name)]
    if name in OF_A_RUN:
        return [str(path / run.folder)] if run else [str(path / variant) for variant in VARIANTS]
    return [str(path / f"{run}.json" if name == "VALIDATION" and run else path)]


def stage_outs(room: str, run: Run | None) -> list[str]:
    """What a stage writes, sorted: nothing else is a result, though dvc.yaml and dvc.lock agree on it."""
    if run and room == "train":
        outs = [layout.MODELS / run.folder, layout.VALIDATION / f"{run}.json"]
    elif run:
        outs = [layout.EVALUATION / run.folder]
    elif room == "report":
        outs = [*OF_THE_REPORT, *(layout.REPORTS / table.name for table in RESULTS)]
    else:
        outs = OF_A_STAGE[room]
    return sorted(map(str, outs))


def stage_params(room: str, run: Run | None, params: Any) -> list[str]:
    """The keys of params.yaml by which a stage depends on it, sorted.

    The report prints all of them. Seeds and folds name the runs, and each training has the loss of one variant.
    Folds that cannot be evaluated are refused by annotate.
    """
    if room == "report":
        return sorted(STAGES)
    if run is None:
        return [room, "evaluate.folds"] if room == "annotate" else [room]
    kept = set(params[room]) - {"seeds", "folds", *VARIANTS} | ({run.variant} if room == "train" else set())
    return sorted(f"{room}.{key}" for key in kept)


def stage_code(root: Path, room: str) -> set[Path]:
    """The modules whose code a stage runs; an `__init__.py` with nothing but a docstring runs none."""
    return {path for path in import_closure(root, root / "stages" / room) if not runs_nothing(path)}


def beside(modules: set[Path], root: Path) -> set[Path]:
    """Files beside modules that are no modules, such as the templates of pages; at the root all kinds of files lie."""
    found = {path for folder in {module.parent for module in modules} - {root} for path in folder.iterdir()}
    return {path for path in found if path.suffix != ".py" and not path.is_dir()}


def runs_nothing(path: Path) -> bool:
    """Whether a package's `__init__.py` is a docstring alone."""
    if path.name != "__init__.py":
        return False
    tree = parsed(path.read_bytes())
    return tree is not None and all(
        isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) for node in tree.body
    )


def pipeline_paths(root: Path, room: str) -> dict[str, Path]:
    """The files and folders of the pipeline that a stage's own code names, by their name in `layout`."""
    names = {name for module in (root / "stages" / room).rglob("*.py") for name in names_of_layout(module.read_bytes())}
    found = {name: getattr(layout, name, None) for name in sorted(names.difference(NO_FILE_OF_DVC))}
    return {name: path for name, path in found.items() if isinstance(path, Path)}


def names_of_layout(code: bytes) -> Iterator[str]:
    """What a module takes from `layout`: `from stages.common.data.layout import RAW`, or `layout.RAW` by any name."""
    last = layout.__name__.rpartition(".")[2]
    called, attributes = {last}, list[ast.Attribute]()
    for node in nodes(code):
        if isinstance(node, ast.ImportFrom) and str(node.module).rpartition(".")[2] == last:
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom | ast.Import):
            called |= {alias.asname for alias in node.names if alias.asname and alias.name in (last, layout.__name__)}
        elif isinstance(node, ast.Attribute):
            attributes.append(node)
    for node in attributes:
        of = node.value
        if (isinstance(of, ast.Name) and of.id in called) or (isinstance(of, ast.Attribute) and of.attr == last):
            yield node.attr
