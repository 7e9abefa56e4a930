"""The grammar of forgeries: each field of each record changed, struck, doubled, swapped; every one is found.

The forger is thorough: each forgery of an output is recorded in the cache, in dvc.lock and in git, so that no hash
disagrees. Only what follows from other files, or a rerun, shows it.
"""

import json
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from stages import read_params, section_model
from stages.annotate import split
from stages.common.core.errors import UserError
from stages.common.data import dataset
from stages.common.data.layout import COMPARISON_MD, COMPARISON_TEX, CURVES, DATASET, HEADLINE, REPORTS
from stages.common.data.run_id import VARIANTS
from stages.common.data.shapes import read_points, write_points
from stages.common.data.tables import (
    ANNOTATIONS,
    FILES,
    HISTORY,
    IMAGE_LEVEL,
    PER_IMAGE,
    PRECISION_RECALL,
    SPLIT,
    Table,
)
from stages.common.model import out_of_distribution
from stages.report import evaluations
from stages.report import main as report
from stages.report.evaluations import read_runs, together
from tests.helpers.forgeries import as_json, forged_tables, forgeries, replace, with_cells
from tools.audit import (
    check_account,
    check_data,
    check_files,
    check_former,
    check_params,
    check_predictions,
    check_record,
    check_scores,
    check_sources,
    dvc_lock,
    yaml_files,
)
from tools.audit import tables as audit_tables
from tools.audit import verify as verifying
from tools.audit.findings import Check
from tools.audit.trace import Project

pytestmark = pytest.mark.slow
RUN = "seed-1-fold-1"
SCORES, MODEL = f"reports/evaluation/adaptive/{RUN}", f"models/adaptive/{RUN}"

Versions = list[tuple[Any, str, Any]]
# What follows from no other file, so that only running its stage again shows it.
ONLY_A_RERUN = {
    "data/raw/manifest.csv": {"split", "photometric_interpretation", "key_id"},
    "data/raw/annotations.csv": {"label", "line"},
    f"{SCORES}/per_image.csv": {"auprc"},
    f"{SCORES}/metrics.json": {"auprc changed", "device changed"},  # the report's tables hold the first, too
    f"{MODEL}/history.csv": {
        "learning_rate", "gradient_norm", "train_loss", "train_dice_loss", "train_bce_loss", "validation_loss",
        "validation_dice_loss", "validation_bce_loss",
    },
    f"{MODEL}/model.json": {"machine/device changed", "machine/processes changed"},  # a GPU of any name, any cluster
}  # fmt: skip
TABLES = (
    "data/raw/manifest.csv",
    "data/raw/annotations.csv",
    "data/dataset/split.csv",
    f"{SCORES}/per_image.csv",
    f"{MODEL}/validation.csv",
    f"{MODEL}/history.csv",
    *(str(REPORTS / table.name) for table in report.RESULTS),
)
RECORDS = (
    f"{MODEL}/model.json",
    f"{SCORES}/metrics.json",
    "reports/validation/adaptive-1-1.json",
    "reports/metrics.json",
)
# The checks that look at the files of a folder; the last are all.
OF_SCORES = (  # what takes longest comes last
    check_scores.check_models, check_scores.check_metrics, check_scores.check_scores, check_account.check_account,
    check_predictions.check_counts,
)  # fmt: skip
LOOKS = {
    "data/": (
        check_data.check_films,
        check_sources.check_licences,
        check_account.check_account,
        check_data.check_raw,
        check_data.check_dataset,
    ),
    "models/": OF_SCORES,
    "reports/evaluation/": OF_SCORES,
    "reports/validation/": OF_SCORES,
    "reports/": (check_scores.check_numbers, check_scores.check_report),
    "": (*verifying.TABLES, *verifying.PICTURES),
}


def quick_versions() -> Versions:
    """Module, name and quick version of each function whose answer does not change with the forged file."""
    slow = (
        (check_record, "pipeline"),
        (out_of_distribution, "fit_reference"),
        (dataset, "load_films"),
        (report, "compared"),
        (report, "printed"),
        (report, "write_curves"),
        (evaluations, "read_runs"),
        (split, "assign"),
        (yaml_files, "read_params"),
        (check_predictions, "read_picture"),
    )
    versions: Versions = [(module, name, remembered(getattr(module, name))) for module, name in slow]
    return [*versions, (check_predictions, "of_mask", scored_once(check_predictions.of_mask))]


def make_quick(patch: pytest.MonkeyPatch, versions: Versions, curves: Path) -> None:
    """Use quick versions; `curves` is a folder for what `write_curves` writes once."""
    for version in versions:
        patch.setattr(*version)
    patch.setattr(Table, "parse", parsed_once(Table.parse))
    patch.setattr(audit_tables, "as_table", cache(audit_tables.as_table))
    patch.setattr(check_scores, "TemporaryDirectory", lambda: nullcontext(curves))


@pytest.fixture(scope="module")
def untouched(audited: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Versions, Path, list[str]]:
    """Quick versions that remember the untouched project, their folder of curves, and what was found there."""
    versions, curves = quick_versions(), tmp_path_factory.mktemp("curves")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(audited)
        make_quick(patch, versions, curves)
        return versions, curves, findings(Project(audited))


@pytest.fixture
def quick(untouched: tuple[Versions, Path, list[str]], audited: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What does not change with the forged file is computed once for all tests."""
    make_quick(monkeypatch, *untouched[:2])
    monkeypatch.setattr(check_scores, "read_table", read_if_forged(check_scores.read_table, audited))


def remembered(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function that answers the second call as the first one of the same paths and numbers."""
    answers: dict[str, Any] = {}

    def answer(*words: Any, **more: Any) -> Any:
        key = str([word for word in words if isinstance(word, Path | str | int)])
        if key not in answers:
            answers[key] = function(*words, **more)
        return answers[key]

    return answer


def read_if_forged(read_table: Callable[..., Any], project: Path) -> Callable[..., Any]:
    """`read_table`, which leaves out a table of the report that is as in the untouched project.

    What it is compared with follows from the runs, and was found to agree there.
    """
    before = {path: path.read_bytes() for path in (project / REPORTS).rglob("*.csv")}

    def answer(found: Project, check: Check, folder: Path, table: Table[Any]) -> pd.DataFrame | None:
        path = found.root / folder / table.name
        if folder in (REPORTS, CURVES) and path.read_bytes() == before[path]:
            return None
        frame: pd.DataFrame | None = read_table(found, check, folder, table)
        return frame

    return answer


def parsed_once(parse: Callable[..., pd.DataFrame]) -> Callable[..., pd.DataFrame]:
    """`Table.parse`, which takes files of the same bytes apart once: that is half of the time of a check."""
    answers: dict[Any, pd.DataFrame] = {}

    def answer(table: Table[Any], source: Any) -> pd.DataFrame:
        key = (table.row, source.read_bytes())
        if key not in answers:
            answers[key] = parse(table, source)
        return answers[key].copy(deep=False)  # pandas copies what a check writes to

    return answer


def scored_once(of_mask: Callable[..., Any]) -> Callable[..., Any]:
    """`of_mask`, which scores one mask of a film once."""
    answers: dict[Any, Any] = {}

    def answer(tolerance: float, pred: np.ndarray, ref: np.ndarray, film: dict[str, Any]) -> Any:
        key = (tolerance, pred.tobytes(), ref.tobytes(), str(film))
        if key not in answers:
            answers[key] = of_mask(tolerance, pred, ref, film)
        return answers[key]

    return answer


def findings(project: Project, path: str = "") -> list[str]:
    """What the checks of tables and pictures find first that look at a file, all hashes being as they should."""
    for look in next(looks for start, looks in LOOKS.items() if path.startswith(start)):
        check = Check()
        look(project, check)
        if check.findings:
            return [finding.name for finding in check.findings]
    return []


def undetected(project: Path, path: str, forged: Iterator[tuple[str, str]]) -> set[str]:
    """The names of the forgeries of a file that are called good; each finding must be about the file or one with it."""
    text, missed, found = (project / path).read_text(), set(), Project(project)
    try:
        for name, content in forged:
            assert content != text, name
            replace(project / path, content.encode())
            if not findings(found, path):
                missed.add(name)
    finally:
        replace(project / path, text.encode())
    return missed


def test_an_untouched_project_is_good(untouched: tuple[Versions, Path, list[str]]) -> None:
    assert untouched[2] == []


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("path", TABLES)
def test_each_cell_of_a_table_follows_from_other_files(path: str, project: Path) -> None:
    text = (project / path).read_text()
    assert undetected(project, path, with_cells(text, row=0)) == ONLY_A_RERUN.get(path, set())


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("path", ["data/raw/manifest.csv", "data/dataset/split.csv"])
def test_each_cell_of_the_last_film_which_is_a_picture_follows_from_other_files(path: str, project: Path) -> None:
    """Its row has a file name, no key and no spacing."""
    text = (project / path).read_text()
    last = len(text.splitlines()) - 2
    expected = ONLY_A_RERUN.get(path, set()) - {"key_id"}
    assert undetected(project, path, with_cells(text, row=last)) == expected


def test_a_shape_has_a_kind_that_there_is_and_a_file_of_its_film() -> None:
    row = {"image_id": "a", "label": "f", "kind": "box", "points": "", "file": "a.xml", "line": 1}
    ward = row | {"image_id": "h"}
    other = [row | {"kind": "boxx"}, row | {"file": "b.xml"}, row | {"line": -7}, row | {"file": ""}, ward]
    shapes = ANNOTATIONS.frame([row, ward | {"file": ""}, *other])  # type: ignore[list-item]
    facts = {"source": "s", "sha256": "", "licence": ""}
    files = [{"image_id": film, "role": "labels", "file": f"{film}.xml", **facts} for film in "ab"]
    check_data.check_annotations(check := Check(), shapes, FILES.frame(files), {"h"})  # type: ignore[arg-type]
    rows = "data/raw/annotations.csv: row"
    assert [finding.name for finding in check.findings] == [
        f"{rows} 3 (a)/kind", f"{rows} 4 (a)/file", f"{rows} 5 (a)/line", f"{rows} 6 (a)/file", f"{rows} 7 (h)/file"
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0.26209 0.26209", "0.26209 0.26209"),
        ("188 348 284.5 396;1 2 3 4 5 6", "188 348 284.5 396;1 2 3 4 5 6"),
        ("", ""),
        ("0.262090 0.26209", "0.26209 0.26209"),
        ("1_0  2.0", "10 2"),
        ("1 nan", ""),
        ("1 x", ""),
    ],
)
def test_numbers_in_a_text_have_one_spelling(text: str, expected: str) -> None:
    assert audit_tables.spelled(text) == expected
    if text == expected:
        assert write_points(read_points(text)) == text


def test_a_source_file_has_one_hash_and_is_one_film() -> None:
    facts = {"source": "s", "licence": ""}
    one, two = "a" * 64, "b" * 64
    rows = [
        ("a", "film", "a.png", one), ("a", "table", "t.csv", one), ("b", "film", "b.png", two),
        ("b", "table", "t.csv", one),
    ]  # fmt: skip

    def named(changed: list[tuple[str, str, str, str]]) -> list[str]:
        keys = ("image_id", "role", "file", "sha256")
        table = FILES.frame([dict(zip(keys, row, strict=True)) | facts for row in changed])  # type: ignore[misc]
        check_data.check_files_table(check := Check(), table, ["a", "b"])
        return [finding.name for finding in check.findings]

    path = "data/raw/files.csv"
    assert named(rows) == []
    assert named([*rows[:3], ("b", "table", "t.csv", two)]) == [f"{path}: s: t.csv"]
    assert named([*rows[:2], ("b", "film", "a.png", one), rows[3]]) == [f"{path}: s: a.png"]
    assert named([*rows[:2], ("b", "film", "b.png", "NOT-A-SHA256"), rows[3]]) == [f"{path}: b/sha256"]


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("path", [*TABLES, "data/preprocessed/index.csv", "data/levels/index.csv"])
def test_each_row_and_column_is_expected_once_and_in_order(path: str, project: Path) -> None:
    assert undetected(project, path, forged_tables((project / path).read_text())) == set()


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("path", [f"{SCORES}/precision_recall.csv", f"{SCORES}/froc.csv", "data/raw/quarantine.csv"])
def test_each_column_of_a_table_that_only_a_rerun_decides_is_expected_once_and_in_order(
    path: str, project: Path
) -> None:
    columns = (item for item in forged_tables((project / path).read_text()) if item[0].startswith("column"))
    assert undetected(project, path, columns) == set()


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize(
    ("path", "last", "further"),
    [
        ("data/dataset/split.csv", "fold_3", "fold_4"),
        ("reports/curves/adaptive_history.csv", "train_bce_loss", "train_focal_loss"),
    ],
)
def test_a_column_of_a_kind_of_which_there_can_be_any_number_is_named_where_nothing_asks_for_it(
    path: str, last: str, further: str, project: Path
) -> None:
    forged = pd.read_csv(project / path, dtype=str, keep_default_na=False)
    forged.insert(forged.columns.get_loc(last) + 1, further, forged[last])
    assert undetected(project, path, iter([(further, forged.to_csv(index=False))])) == set()


@pytest.mark.usefixtures("quick")
def test_the_legend_follows_from_the_number_of_levels(project: Path) -> None:
    path = "data/levels/legend.csv"
    text = (project / path).read_text()
    assert undetected(project, path, with_cells(text, row=1)) == set()
    assert undetected(project, path, forged_tables(text)) == set()


@pytest.mark.usefixtures("quick")
def test_each_source_file_stands_once_in_the_list_the_film_before_its_labels(project: Path) -> None:
    path = "data/raw/files.csv"
    text = (project / path).read_text()
    last = len(text.splitlines()) - 1
    assert undetected(project, path, forged_tables(text)) == {f"row {last} struck"}  # labels, which a film may lack
    labels = max(number for number, line in enumerate(text.splitlines()[1:]) if ",labels," in line)
    # Without the inbox the hash of a film's own labels follows from nothing, and the name of a table from no other one.
    for row, free in ((0, {"file"}), (labels, {"file", "sha256"}), (-1, {"file"})):
        assert undetected(project, path, with_cells(text, row=row)) == free


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("table", [HISTORY, PRECISION_RECALL], ids=lambda table: table.name)
@pytest.mark.parametrize("variant", VARIANTS)
def test_each_point_of_a_curve_of_the_report_follows_from_the_runs(
    variant: str, table: Table[Any], project: Path
) -> None:
    """The first point and the last one; a point that is struck, doubled or moved."""
    path = str(CURVES / f"{variant}_{table.name}")
    text = (project / path).read_text()
    points = ((f"{row} {name}", forged) for row in (0, -1) for name, forged in with_cells(text, row))
    assert undetected(project, path, points) == set()
    same = {f"column {side}_dice_loss swapped" for side in ("train", "validation")}  # with its name: no point changes
    assert undetected(project, path, forged_tables(text)) == (same if table is HISTORY else set())
    replace(project / path, next(with_cells(text, row=1))[1].encode())
    found = findings(Project(project), path)
    replace(project / path, text.encode())
    assert all(name.startswith(f"{path}: ") for name in found)


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("path", RECORDS)
def test_each_field_of_a_json_file_follows_from_other_files(path: str, project: Path) -> None:
    document = json.loads((project / path).read_text())
    forged = ((name, as_json(content)) for name, content in forgeries(document) if not repeats(name))
    assert undetected(project, path, forged) == ONLY_A_RERUN.get(path, set())


def test_each_cell_about_whole_films_follows_from_the_scores(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All test films of the toy project have a fracture: here every second one has none."""
    make_quick(monkeypatch, quick_versions(), tmp_path)
    scores = [folder / PER_IMAGE.name for folder in (project / "reports/evaluation").glob(f"*/{RUN}")]
    tables = [project / REPORTS / table.name for table in report.RESULTS]
    before = {path: path.read_bytes() for path in (*scores, *tables, project / HEADLINE)}
    try:
        for path in scores:
            table = PER_IMAGE.read(path.parent)
            table.loc[::2, "fractures"] = 0
            path.unlink()
            PER_IMAGE.write(path.parent, table)
        params = read_params(project / "params.yaml")
        runs = read_runs(project, params["train"]["seeds"], params["evaluate"]["folds"])
        films = SPLIT.read(project / DATASET).set_index("image_id", drop=False)
        settings = section_model("report").model_validate(params["report"])
        results = report.compared(settings, runs, *(together(items) for items in runs.values()), films, project)
        for path, table in zip(tables, report.RESULTS, strict=True):
            path.unlink()
            table.write(path.parent, results[path.stem])
        replace(project / HEADLINE, as_json(report.headline(results, runs)).encode())
        path = str(REPORTS / IMAGE_LEVEL.name)
        text = (project / path).read_text()
        assert findings(Project(project), path) == []
        assert len(text.splitlines()) == 4
        assert undetected(project, path, with_cells(text, row=1)) == set()
        assert undetected(project, path, forged_tables(text)) == set()
    finally:
        for path, content in before.items():
            replace(path, content)


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("path", [COMPARISON_MD, COMPARISON_TEX], ids=str)
def test_what_is_printed_of_the_comparison_follows_from_the_scores(path: Path, project: Path) -> None:
    lines = (project / path).read_text().splitlines()
    assert findings(Project(project), str(path)) == []
    spots = (0, 3, len(lines) - 1)
    forged = ((lines[spot], "\n".join([*lines[:spot], f"{lines[spot]} ", *lines[spot + 1 :]])) for spot in spots)
    assert undetected(project, str(path), forged) == set()


def repeats(name: str) -> bool:
    """Whether a forgery is of a number of many in an array, of which the first speaks for all."""
    return any(word.isdecimal() and word != "0" for word in name.split()[0].split("/"))


@pytest.mark.usefixtures("quick")
def test_each_field_of_dvc_lock_is_held_to_dvc_yaml_params_and_files(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entries = dvc_lock.read_entries((project / "dvc.lock").read_text())
    found, called_good, refused = Project(project), set(), set()
    monkeypatch.setattr(dvc_lock, "read_entries", lambda entries: entries)
    for module, name in (
        (check_files, "hash_files"),
        (check_record, "check_lock_form"),
        (check_record, "extent"),
        (check_params, "git"),
        (check_params, "params_here"),
        (check_former, "read_yaml"),
    ):
        monkeypatch.setattr(module, name, remembered(getattr(module, name)))
    few = {name: entries[name] for name in ("ingest", "train@adaptive-1-1")}
    for name, forged in [("untouched", few), *forgeries(few)]:
        check = Check()
        try:
            found.lock = dvc_lock.Lock(entries | forged, {key: set[str]() for key in entries})
            looks = (check_former.check_former, check_record.check_record, check_params.check_params)
            for look in (*looks, check_files.check_files):
                if not check.findings:
                    look(found, check)
        except UserError as error:
            refused.add(str(error))
            continue
        if not check.findings and few.keys() <= forged.keys():  # a stage that lacks is named by `verify` itself
            called_good.add(name)
    assert refused == {dvc_lock.DAMAGED}
    assert called_good == {"untouched"}
