"""Report: baseline and adaptive side by side, as tables, cards and an HTML page.

Run: python -m stages.report     (dvc repro report)
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from stages import read_params
from stages.common.analysis.formatting import label_in_words
from stages.common.analysis.image_level import image_level
from stages.common.analysis.statistics import compare_metrics, over_seeds, ranking
from stages.common.analysis.trivial_baselines import trivial_tables
from stages.common.core.busy import busy
from stages.common.core.files import new_folder, read_png, write_json, write_png, write_text
from stages.common.core.hashing import sha256
from stages.common.data.layout import (
    COMPARISON_MD,
    COMPARISON_TEX,
    CURVES,
    DATASET,
    HEADLINE,
    LIVE,
    MODELS,
    PAGE,
    PAGE_FILMS,
    PAGE_TO_MAIL,
    PARAMS,
    PICTURES,
    PREDICTION_SHEET,
    RAW,
    REPORTS,
    WEIGHTS,
    dataset_file,
)
from stages.common.data.tables import (
    ANNOTATIONS,
    COMPARISON,
    HISTORY,
    MANIFEST,
    PRECISION_RECALL,
    SPLIT,
    is_synthetic,
)
from stages.report.cards import write_cards
from stages.report.claims import claims
from stages.report.evaluations import Evaluated, methods_of, read_runs, remove_leftovers, together
from stages.report.films import read_films, write_films
from stages.report.montage import montage
from stages.report.page import contents, render
from stages.report.params import Params
from stages.report.published import audit
from stages.report.results import RESULTS
from stages.report.sides import sides_of
from stages.report.tables import (
    GAIN,
    PAIRED,
    by_patient,
    compare,
    latex,
    markdown,
    outcome,
    predictors,
    runs_table,
    subgroups,
    verdict,
)


def main(settings: Params, root: Path = Path()) -> str:
    params = read_params(root / PARAMS)
    seeds, folds = params["train"]["seeds"], params["evaluate"]["folds"]
    remove_leftovers(root, seeds, folds)
    runs = read_runs(root, seeds, folds)
    split = SPLIT.read(root / DATASET).set_index("image_id", drop=False)
    baseline, adaptive = (together(evaluated) for evaluated in runs.values())
    with busy("report: compares"):
        results = compared(settings, runs, baseline, adaptive, split, root)
    sentence = verdict(results["comparison"], results["statistics"], len(seeds))
    tested = read_films(root, runs, split, MANIFEST.read(root / RAW).set_index("image_id", drop=False))
    with busy("report: writes pictures of the films"), new_folder(root / PAGE_FILMS) as out:
        write_films(out, tested)
    with busy("report: draws the page"):
        page, page_to_mail = render(tested, contents(tested, runs, results, sentence, params))
    with new_folder(root / CURVES) as out:
        write_curves(out, runs)
    for history in (root / LIVE).glob("*.csv"):  # the curves hold all its epochs
        history.unlink()
    for table in RESULTS:
        table.write(root / REPORTS, results[Path(table.name).stem])
    write_json(root / HEADLINE, headline(results, runs))
    for path, text in printed(results, sentence, sides_of(split, folds).synthetic).items():
        write_text(root / path, text)
    write_cards(root, runs, results, sentence, params)
    write_png(root / PREDICTION_SHEET, montage(tested))
    write_text(root / PAGE, page)
    write_text(root / PAGE_TO_MAIL, page_to_mail)
    with busy("report: adds its results to MLflow's runs"):
        send_to_mlflow(root, runs, bool(is_synthetic(tested.manifest).all()))
    return f"{sentence} -> {PAGE}"


def printed(results: dict[str, pd.DataFrame], sentence: str, synthetic: str) -> dict[Path, str]:
    """The comparison as people read it, by its file: Markdown with the verdict, and LaTeX.

    Args:
        results: of `compared`.
        sentence: of `verdict`.
        synthetic: of `Sides`.
    """
    note = f"\n{synthetic}\n" if synthetic else ""
    return {
        COMPARISON_MD: f"{markdown(results['comparison'])}\n{sentence}\n{note}",
        COMPARISON_TEX: latex(results["comparison"]),
    }


def send_to_mlflow(root: Path, runs: dict[str, list[Evaluated]], synthetic: bool) -> None:
    """Add the comparison and the predictions to the runs of all networks, whose pages then show them.

    Pictures of patients' films stay in this project: a server gets them of the synthetic sample only.

    Args:
        root: the folder that holds models/ and reports/.
        runs: of each variant, by seed and fold.
        synthetic: whether all films are the embedded sample's.
    """
    from stages.common.model.tracking import chosen_uri, local_uri, log_report  # mlflow takes seconds to import

    weights = [sha256(root / MODELS / item.run.folder / WEIGHTS) for of_variant in runs.values() for item in of_variant]
    files = [COMPARISON_MD, REPORTS / COMPARISON.name]
    if synthetic or chosen_uri() == local_uri():
        files.append(PREDICTION_SHEET)
    log_report(weights, [root / file for file in files])


def compared(
    settings: Params,
    runs: dict[str, list[Evaluated]],
    baseline: pd.DataFrame,
    adaptive: pd.DataFrame,
    split: pd.DataFrame,
    root: Path,
) -> dict[str, pd.DataFrame]:
    """Every table of the report, by the name of its file.

    Args:
        settings: the section `report`.
        runs: of each variant, by seed and fold.
        baseline, adaptive: per_image.csv of all runs of a variant, with columns seed and fold.
        split: split.csv, by image_id.
        root: the folder that holds data/, models/ and reports/.
    """
    facts = split.loc[baseline["image_id"]].reset_index(drop=True)
    facts["label"] = facts["image_id"].map(labels(root)).fillna("none")
    names = list(baseline["image_id"].drop_duplicates())
    free = {
        name: table.assign(image_id=names, seed=0, fold=0)
        for name, table in trivial_tables(films(root, split, names)).items()
    }
    means = over_seeds(baseline), over_seeds(adaptive)
    paired = compare_metrics(means[0], means[1], split.loc[names, "group"], PAIRED)
    published = audit()
    comparison = compare(baseline, adaptive, facts["group"], free, published)
    held = claims(comparison, paired, published, outcome(comparison, paired), settings.tolerance, methods_of(runs))
    return {
        "comparison": comparison,
        "predictors": predictors(comparison),
        "image_level": image_level({"baseline": baseline, "adaptive": adaptive}, facts["group"], GAIN),
        "statistics": paired,
        "subgroups": subgroups(baseline, adaptive, facts, facts["group"]),
        "patients": by_patient(*means, split.loc[names, "group"]),
        "ranking": ranking({"baseline": baseline, "adaptive": adaptive} | free, split["group"]),
        "runs": runs_table(runs),
        "claims": held,
        "paper_audit": published,
    }


def labels(root: Path) -> pd.Series:
    """What was annotated on each film that has an annotation, by its image_id: its labels, each once."""
    by_film = ANNOTATIONS.read(root / RAW).groupby("image_id")["label"]
    return by_film.agg(lambda of_film: ", ".join(map(label_in_words, sorted(set(of_film)))))


def films(root: Path, split: pd.DataFrame, names: list[str]) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Image, levels and mask of each film, one at a time."""
    for name in names:
        side = str(split.loc[name, "split"])
        image, levels, mask = (read_png(dataset_file(root / DATASET, side, name, picture)) for picture in PICTURES)
        yield image, levels, mask > 0


def headline(results: dict[str, pd.DataFrame], runs: dict[str, list[Evaluated]]) -> dict[str, dict[str, float | None]]:
    """What `dvc metrics diff` and `dvc exp show` put side by side, of each variant and of their difference."""
    table = results["comparison"].set_index("row")
    shown = ["f1", "mean_f1", "precision", "recall", "iou", "mcc"]
    content = {}
    for name, of_variant in runs.items():
        per_film = [item.metrics["detection"]["false_regions_per_image"] for item in of_variant]
        boxes, centre = (
            sum(item.metrics["detection"][key] for item in of_variant) for key in ("fractures", "found_centre")
        )
        best = [float(item.history["validation_dice"].iloc[item.model["epoch"] - 1]) for item in of_variant]
        values = {
            "false_regions": np.mean(per_film),
            "boxes_found": centre / boxes if boxes else None,
            "validation_dice": np.mean(best),
        }
        content[name] = without_nan(table.loc[name, shown].to_dict() | values)
    gain = table.loc[GAIN]
    test = results["statistics"].set_index("metric").loc["f1"]
    content["difference"] = without_nan(
        {name: gain[name] for name in ("f1", "f1_low", "f1_high")} | {"permutation_p": test["permutation"]}
    )
    return content


def without_nan(values: Mapping[Any, Any]) -> dict[str, float | None]:
    """Numbers by their names, for JSON, which has no NaN: undefined becomes null."""
    return {name: None if value is None or np.isnan(value) else float(value) for name, value in values.items()}


def write_curves(out: Path, runs: dict[str, list[Evaluated]]) -> None:
    """What `dvc plots` draws: histories and precision-recall curves of each variant, means over its runs."""
    for name, of_variant in runs.items():
        histories = pd.concat([item.history for item in of_variant])
        HISTORY.named(f"{name}_{HISTORY.name}").write(out, histories.groupby("epoch", as_index=False).mean())
        curves = pd.concat([item.precision_recall for item in of_variant])
        mean_curve = curves.groupby("threshold", as_index=False).mean()
        PRECISION_RECALL.named(f"{name}_{PRECISION_RECALL.name}").write(out, mean_curve)
