"""Models, scores and the report: each number that follows from other files, computed again from them."""

import json
import math
from collections.abc import Hashable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd

from stages.common.core.errors import UserError
from stages.common.data.layout import (
    CURVES,
    DATASET,
    DESCRIPTION,
    EVALUATION,
    HEADLINE,
    LAYERS,
    LAYERS_SUFFIX,
    METRICS,
    MODELS,
    ORIGINAL,
    PAGE_FILMS,
    PARAMS,
    RAW,
    REPORTS,
    TILES,
    VALIDATION,
    fold_column,
)
from stages.common.data.run_id import VARIANTS, Run
from stages.common.data.tables import (
    COMPARISON,
    HISTORY,
    MANIFEST,
    PER_IMAGE,
    PRECISION_RECALL,
    RELIABILITY,
    SPLIT,
    VALIDATION_SCORES,
)
from stages.common.model.metrics import COUNTS, metrics, summarise
from stages.common.model.metrics import METRICS as METRIC_NAMES
from tools.audit.check_data import SPLIT_CSV
from tools.audit.dvc_cache import files_below
from tools.audit.findings import Check
from tools.audit.tables import (
    compare_lists,
    compare_records,
    compare_tables,
    first_line,
    read_record,
    read_table,
    same,
)
from tools.audit.trace import REPORT, Project
from tools.audit.yaml_files import settings_of
from tools.doctor.packages import read_pins

NEARLY = 1e-6  # relative; the inverse of a matrix, whose last bits depend on the processor


def check_scores(project: Project, check: Check) -> None:
    """Each run's films are those of its side of the fold, each once, and its metrics follow from its counts."""
    split = read_table(project, check, DATASET, SPLIT)
    for run in project.runs:
        for folder, table, side in ((EVALUATION, PER_IMAGE, "test"), (MODELS, VALIDATION_SCORES, "validation")):
            scores = read_table(project, check, folder / run.folder, table)
            path, column = str(folder / run.folder / table.name), fold_column(run.fold)
            if scores is None or split is None or column not in split or not check.whole(SPLIT_CSV):
                continue
            ids = sorted(split["image_id"][split[column] == side])
            if compare_lists(check, path, list(scores["image_id"]), ids):
                expected = pd.DataFrame([metrics_of(row) for row in scores[list(COUNTS)].to_dict("records")])
                compare_tables(check, path, scores, pd.concat([scores["image_id"], expected], axis=1))
        check_epoch(project, check, run)
    check_terms(project, check)


def check_terms(project: Project, check: Check) -> None:
    """All histories have the same columns: every training has the same terms of the loss."""
    tables = {run: read_table(project, check, MODELS / run.folder, HISTORY) for run in project.runs}
    columns = [(run, [str(name) for name in table]) for run, table in tables.items() if table is not None]
    for run, names in columns:
        if names != columns[0][1]:
            message = f"it has other columns than that of {columns[0][0]}: {', '.join(names)}"
            check.add(f"{MODELS / run.folder / HISTORY.name}: columns", "mismatch", message)


def check_epoch(project: Project, check: Check, run: Run) -> None:
    """The kept epoch follows from the history, and what sweeps choose by follows from the validation films."""
    from stages.train.weighting import make_weighting

    history = read_table(project, check, MODELS / run.folder, HISTORY)
    scores = read_table(project, check, MODELS / run.folder, VALIDATION_SCORES)
    model = read_record(project, check, MODELS / run.folder / DESCRIPTION)
    said = read_record(project, check, VALIDATION / f"{run}.json")
    if history is None or scores is None or model is None or said is None or not check.whole(str(PARAMS)):
        return
    settings = settings_of(project.root, "train")
    loop, weights = settings.loop, getattr(settings, run.variant)
    path = str(MODELS / run.folder / HISTORY.name)
    if compare_lists(check, path, list(map(str, history["epoch"])), list(map(str, range(1, loop.epochs + 1)))):
        _, by_iteration = make_weighting(weights, loop.epochs, 1, run.seed)
        if not by_iteration:  # else it is the mean of ratios that differ within an epoch
            share = history["alpha"] / (history["alpha"] + history["beta"])
            compare_tables(check, path, history, pd.DataFrame({"epoch": history["epoch"], "ratio": share}))
        best = len(history) if loop.select == "last" else int(history["validation_dice"].argmax()) + 1
        if not same(model.get("epoch"), best):
            message = f"{model.get('epoch')} stands there, {path} chooses {best}"
            check.add(f"{MODELS / run.folder / DESCRIPTION}: epoch", "mismatch", message)
        compare_records(check, str(VALIDATION / f"{run}.json"), said, {"dice": scores["f1"].mean()})


def check_numbers(project: Project, check: Check) -> None:
    """The report's rows of both variants from the stored pixel counts, which needs none of the report's code."""
    by_variant: dict[str, dict[int, list[pd.DataFrame]]] = {variant: {} for variant in VARIANTS}
    for run in project.runs:
        scores = read_table(project, check, EVALUATION / run.folder, PER_IMAGE)
        if scores is None:
            return
        by_variant[run.variant].setdefault(run.seed, []).append(scores)
    table = read_table(project, check, REPORTS, COMPARISON)
    if table is None:
        return
    for variant, seeds in by_variant.items():
        if not seeds:  # a lock that was cut off lacks its stages, which are named
            if not project.lock.lacking:
                check.add(f"{REPORT}: {variant}", "mismatch", "dvc.lock has no evaluation from which it could follow")
            continue
        rows = table[table["row"] == variant]
        if len(rows) != 1:
            check.add(f"{REPORT}: {variant}", "mismatch", f"expected one row, found {len(rows)}")
            continue
        scored = pd.DataFrame([metrics_of(pd.concat(runs)[list(COUNTS)].sum()) for runs in seeds.values()])
        for name in METRIC_NAMES:
            printed, value = rows[name].iloc[0], scored[name].mean()
            if not same(printed, value):
                message = f"{printed} is printed, {value} follows from the pixel counts"
                check.add(f"{REPORT}: {variant}/{name}", "mismatch", message)


def metrics_of(counts: "pd.Series[Any] | dict[Hashable, Any]") -> dict[str, float]:
    """All metrics of one row of counts."""
    return metrics(**{name: int(counts[name]) for name in COUNTS})


def check_models(project: Project, check: Check) -> None:
    """What model.json says against params.yaml, the run, the films and the pinned libraries."""
    from stages.common.data.dataset import load_films
    from stages.common.model.out_of_distribution import fit_reference
    from stages.train.pretrained import origin

    if not check.whole(str(PARAMS), str(DATASET)):
        return
    settings = settings_of(project.root, "train")
    for run in project.runs:
        path = MODELS / run.folder / DESCRIPTION
        model = read_record(project, check, path)
        if model is None:
            continue
        kept = {name: getattr(settings, name) for name in ("network", "loss", "augment", "optimiser", "loop")}
        expected = {name: section.model_dump() for name, section in kept.items()}
        expected |= {"weights": getattr(settings, run.variant).model_dump(), "seed": run.seed, "fold": run.fold}
        expected |= {"pretrained": origin(settings.network)}
        expected |= {name: model.get(name) for name in ("epoch", "familiar")}  # by the history, and below
        expected["machine"] = expected_machine(project, settings, model.get("machine"))
        compare_records(check, str(path), model, json.loads(json.dumps(expected)))
        try:
            folder, what = project.root / DATASET, settings.network.input
            sides = [load_films(folder, side, what, run.fold) for side in ("train", "validation")]
            reference = fit_reference(*(films.inputs[:, 0] for films in sides))
        except (UserError, ValueError) as error:
            check.add(str(DATASET), "mismatch", f"its films cannot be loaded: {first_line(error)}")
            return
        familiar = model.get("familiar")
        if not isinstance(familiar, dict) or familiar.keys() != reference.keys():
            check.add(f"{path}: familiar", "mismatch", f"expected {', '.join(reference)}")
            continue
        for name, value in reference.items():
            if not alike(familiar[name], value):
                check.add(f"{path}: familiar.{name}", "mismatch", "it does not follow from the training films")


def alike(found: Any, expected: Any) -> bool:
    """Whether two decimal numbers, vectors or symmetric matrices of them are nearly one, number by number.

    Those of a matrix are held to the size of the two diagonal ones of their row and column.
    """
    if not all_decimal(found):
        return False
    try:
        one, other = np.asarray(found), np.asarray(expected)
    except ValueError:  # lists of different lengths
        return False
    size = np.abs(other) if other.ndim < 2 else np.sqrt(np.outer(other.diagonal(), other.diagonal()))
    return one.shape == other.shape and bool((np.abs(one - other) <= NEARLY * size).all())


def all_decimal(value: Any) -> bool:
    """Whether a value of a JSON record is a decimal number, or lists of nothing else."""
    return all(map(all_decimal, value)) if isinstance(value, list) else isinstance(value, float)


def expected_machine(project: Project, settings: Any, said: Any) -> dict[str, Any]:
    """What model.json can say of the machine: which GPU it was is open, and which CPU without portable arithmetic."""
    said = said if isinstance(said, dict) else {}
    portable = settings.loop.precision == "portable"
    processes = said.get("processes")  # of one machine or of several, each of which has as many devices
    is_shared = type(processes) is int and processes > 0 and processes % settings.loop.devices == 0
    return {
        "torch": read_pins(project.root / "stages/train/libraries.lock").get("torch", "").split("+")[0],
        "device": expected_device(said.get("device"), settings.loop.accelerator, portable),
        "precision": expected_precision(said.get("precision"), settings.loop.precision),
        "threads": settings.loop.threads,
        "processes": processes if is_shared else settings.loop.devices,
    }


def expected_precision(said: Any, setting: str) -> str:
    """What a record can say of the numbers that a training computed with: `auto` is bf16 where a GPU can."""
    possible = {"bf16": ("bf16",), "auto": ("fp32", "bf16")}.get(setting, ("fp32",))
    return str(said) if said in possible else possible[0]


def expected_device(said: Any, accelerator: str, portable: bool) -> Any:
    """What a record can say of the device that computed: what stands there, where that is possible.

    Args:
        said: what stands there; a GPU may have any name.
        accelerator: of params.yaml.
        portable: whether a CPU computes with no instruction beyond AVX2.
    """
    is_cpu = said in ("DEFAULT", "AVX2", "AVX512")
    is_possible = is_cpu or (accelerator == "auto" and isinstance(said, str) and said != "")
    return "AVX2" if not is_possible or (is_cpu and portable) else said


def check_metrics(project: Project, check: Check) -> None:
    """metrics.json of each run from its tables; what needs the network's own probabilities is left to a rerun."""
    from stages.evaluate.calibration_error import calibration_error
    from stages.evaluate.image_level import summarise_films

    if not check.whole(str(PARAMS)):
        return
    settings = settings_of(project.root, "evaluate")
    for run in project.runs:
        path = EVALUATION / run.folder / METRICS
        found, scores = (
            read_record(project, check, path),
            read_table(project, check, EVALUATION / run.folder, PER_IMAGE),
        )
        diagram = read_table(project, check, EVALUATION / run.folder, RELIABILITY)
        if found is None or scores is None or diagram is None:
            continue
        expected = {
            **summarise(scores),
            "auprc": found.get("auprc"),
            "boundary": {name: scores[name].mean() for name in ("nsd", "hd95_px", "hd95_mm")},
            "detection": {
                **{name: int(scores[name].sum()) for name in ("fractures", "found_iou", "found_centre")},
                "false_regions_per_image": scores["false_regions"].mean(),
                "pointing": scores["pointing"][scores["fractures"] > 0].mean(),
            },
            "calibration": {"ece": calibration_error(diagram), "brier": scores["brier"].mean()},
            "image_level": summarise_films(
                scores["probability_max"].to_numpy(), scores["fractures"].to_numpy() > 0, calibration_of(found)
            ),
            "mirror": settings.mirror,
            "device": expected_device(found.get("device"), settings.accelerator, portable=True),
            "threshold": choice(found.get("threshold"), settings.threshold, "params"),
            "temperature": choice(found.get("temperature"), settings.temperature, settings.temperature),
        }
        compare_records(check, str(path), found, expected)


def calibration_of(found: dict[str, Any]) -> Any:
    """The calibration that metrics.json has, which follows from the validation films' probabilities; None without."""
    summary = found.get("image_level")
    said = summary.get("calibration") if isinstance(summary, dict) else None
    numbers = said if isinstance(said, dict) and said.keys() == {"slope", "intercept"} else {}
    return said if numbers and all(isinstance(value, float) for value in numbers.values()) else None


def choice(said: Any, setting: Any, origin: str) -> dict[str, Any]:
    """What metrics.json must say of a threshold or temperature; one that validation films chose is left open.

    Args:
        said: what stands there.
        setting: of params.yaml: a number, `none` or `validation`.
        origin: what it is from where it is not from validation films.
    """
    if setting == "validation":
        value = said.get("value") if isinstance(said, dict) else None
        is_number = isinstance(value, float) and math.isfinite(value)
        return {"from": "validation", "value": value if is_number else "a decimal number"}
    return {"from": origin, "value": 1.0 if setting == "none" else setting}


def check_report(project: Project, check: Check) -> None:
    """Every table of the report, the headline and the printed comparison, made anew from the runs."""
    from stages.report.evaluations import read_runs, together
    from stages.report.main import compared, headline, printed
    from stages.report.results import RESULTS
    from stages.report.sides import sides_of
    from stages.report.tables import verdict

    before = (str(folder) for folder in (PARAMS, RAW, DATASET, MODELS, EVALUATION))
    if not check.whole(*before):
        return
    settings, seeds = settings_of(project.root, "report"), settings_of(project.root, "train").seeds
    folds = settings_of(project.root, "evaluate").folds
    try:
        runs = read_runs(project.root, seeds, folds)
        split = SPLIT.read(project.root / DATASET).set_index("image_id", drop=False)
        baseline, adaptive = (together(items) for items in runs.values())
        results = compared(settings, runs, baseline, adaptive, split, project.root)
        sentence = verdict(results["comparison"], results["statistics"], len(seeds))
        texts = printed(results, sentence, sides_of(split, folds).synthetic)
    except (UserError, ValueError, KeyError) as error:
        check.add(str(REPORTS), "mismatch", f"it cannot follow from {EVALUATION}: {first_line(error)}")
        return
    for table in RESULTS:
        found = read_table(project, check, REPORTS, table)
        if found is not None:
            expected = results[Path(table.name).stem]
            compare_tables(check, str(REPORTS / table.name), found, expected[list(table.columns)])
    said = read_record(project, check, HEADLINE)
    if said is not None:
        compare_records(check, str(HEADLINE), said, headline(results, runs))
    check_curves(project, check, runs)
    check_page_films(project, check, runs)
    for path, text in texts.items():
        if check.whole(str(path)) and (project.root / path).read_bytes() != text.encode():
            check.add(str(path), "mismatch", f"it does not print what follows from {EVALUATION}")


def check_page_films(project: Project, check: Check, runs: dict[str, list[Any]]) -> None:
    """The films that the page loads: all of a smaller project, each with its pictures, and nothing else.

    Args:
        project: whose files are listed.
        check: gets the findings.
        runs: of each variant, as the report reads them.
    """
    from stages.report.films import read_films

    split, manifest = (table.read(project.root / folder) for table, folder in ((SPLIT, DATASET), (MANIFEST, RAW)))
    films = read_films(project.root, runs, split.set_index("image_id"), manifest.set_index("image_id")).shown
    kinds = ((ORIGINAL, ".jpg"), (TILES, ".jpg"), (LAYERS, LAYERS_SUFFIX))
    expected = {f"{folder}/{film}{suffix}" for folder, suffix in kinds for film in films}
    if not check.whole(str(PAGE_FILMS)):
        return
    for name in sorted(expected ^ set(files_below(project.root, str(PAGE_FILMS)))):
        kind = "missing" if name in expected else "extra"
        check.add(f"{PAGE_FILMS}/{name}", kind, "the films that were tested say otherwise; run `dvc repro`")


def check_curves(project: Project, check: Check, runs: dict[str, list[Any]]) -> None:
    """The curves that DVC's plots draw: means of the histories and of the curves of all runs.

    Args:
        project: whose tables are read.
        check: gets the findings.
        runs: of each variant, as the report reads them.
    """
    from stages.report.main import write_curves

    names = [table.named(f"{name}_{table.name}") for name in VARIANTS for table in (HISTORY, PRECISION_RECALL)]
    with TemporaryDirectory() as folder:
        write_curves(Path(folder), runs)
        for table in names:
            found = read_table(project, check, CURVES, table)
            if found is not None:
                compare_tables(check, str(CURVES / table.name), found, table.read(Path(folder)), whole=True)
