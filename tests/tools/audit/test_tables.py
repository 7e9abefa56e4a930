"""Records as an audit reads them, and lists of the cache that would lead it astray."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any, TypedDict, cast

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages.common.core.errors import UserError
from stages.common.core.files import write_json
from stages.common.data.tables import Table
from stages.ingest.annotations.film_names import without_suffix
from stages.ingest.file_access import printable
from stages.ingest.types import image_id
from tools.audit import check_data
from tools.audit.check_scores import alike, check_report
from tools.audit.dvc_cache import listing, object_path, object_paths
from tools.audit.findings import Check
from tools.audit.tables import compare_records, compare_tables, read_record, read_table, same
from tools.audit.trace import Project


@pytest.mark.parametrize(
    "text", ['{"f1": 0.99, "f1": 0.4}', '{"a": {"f1": 0.99, "f1": 0.4}}', "[1]", "{", "", '{"f1": NaN}']
)
def test_a_record_that_says_something_twice_or_nothing_is_named(text: str, tmp_path: Path) -> None:
    """Programs take the last of two values, and a reader the first."""
    (tmp_path / "metrics.json").write_text(text)
    check = Check()
    assert read_record(cast("Project", SimpleNamespace(root=tmp_path)), check, Path("metrics.json")) is None
    assert [finding.name for finding in check.findings] == ["metrics.json"]


@pytest.mark.parametrize(
    "text",
    ['{\n "f1": 0.50\n}\n', '{\n "f1": 0.5\n}', '{\n "\\u00661": 0.5\n}\n', '{"f1": 0.5}\n', '{\n "f1": 5e-1\n}\n'],
)
def test_a_record_that_the_pipeline_writes_in_another_form_is_named(text: str, tmp_path: Path) -> None:
    project, path = cast("Project", SimpleNamespace(root=tmp_path)), Path("metrics.json")
    write_json(tmp_path / path, {"f1": 0.5})
    assert read_record(project, Check(), path) == {"f1": 0.5}
    (tmp_path / path).write_text(text)
    check = Check()
    assert read_record(project, check, path) is None
    assert [finding.name.partition(": line ")[0] for finding in check.findings] == [str(path)]


def test_a_blank_is_no_text_in_a_record() -> None:
    """In a table both are nothing; in JSON the pipeline writes `null`."""
    check = Check()
    compare_records(check, "metrics.json", {"hd95_mm": ""}, {"hd95_mm": None})
    assert [finding.name for finding in check.findings] == ["metrics.json: hd95_mm"]
    compare_records(check := Check(), "metrics.json", {"hd95_mm": None}, {"hd95_mm": float("nan")})
    assert not check.findings


def test_rows_that_share_their_first_cell_are_told_apart_by_the_next_ones() -> None:
    """As trainings of a variant, by seed and fold."""
    runs = pd.DataFrame({"variant": ["a", "a", "b"], "seed": [1, 2, 1], "f1": [0.5, 0.6, 0.7]})
    compare_tables(check := Check(), "runs.csv", runs, runs)
    assert not check.findings
    for change, names in (
        (runs.assign(f1=[0.5, 0.9, 0.7]), ["runs.csv: a 2/f1"]),
        (runs.iloc[[0, 2]], ["runs.csv: a 2"]),
        (runs.iloc[[0, 0, 1, 2]], ["runs.csv: a 1"]),
        (runs.iloc[[1, 0, 2]], ["runs.csv: order"]),
    ):
        compare_tables(check := Check(), "runs.csv", change, runs)
        assert [finding.name for finding in check.findings] == names


def test_the_films_of_the_page_are_those_that_were_tested(project: Path) -> None:
    films = project / "reports/films"
    gone = sorted(films.glob("layers/*"))[0]
    content = gone.read_bytes()
    gone.unlink()
    (films / "summary.html").write_text("forged")
    try:
        check_report(Project(project), check := Check())
    finally:
        gone.write_bytes(content)
        (films / "summary.html").unlink()
    found = [(finding.kind, finding.name) for finding in check.findings]
    assert found == [("missing", str(gone.relative_to(project))), ("extra", "reports/films/summary.html")]


@pytest.mark.slow
def test_a_report_of_several_seeds_follows_from_its_runs(two_seeds: Path) -> None:
    check_report(cast("Project", SimpleNamespace(root=two_seeds)), check := Check())
    assert not check.findings


def test_a_whole_number_beyond_all_decimal_ones_is_named() -> None:
    """JSON has them of any length."""
    compare_records(check := Check(), "model.json", {"epoch": 10**400}, {"epoch": 2})
    assert [finding.name for finding in check.findings] == ["model.json: epoch"]
    assert not alike(10**400, 0.5)
    assert not alike([10**400], [0.5])


class Example(TypedDict):
    film: str
    count: int
    score: float
    found: bool


@pytest.mark.parametrize(
    ("row", "form"),
    [
        ("a,1,0.5,True", "a,1,0.50,True"),
        ("a,1,0.5,True", "a,1,5e-1,True"),
        ("a,1,0.5,True", "a,1,0.50000000000000000001,True"),
        ("a,1,,True", "a,1,NaN,True"),
        ("a,1,0.5,True", "a,01,0.5,True"),
        ("a,1,0.5,True", "a,1.0,0.5,True"),
        ("a,1,0.5,True", "a,1,0.5,TRUE"),
        ("a,1,0.5,True", '"a",1,0.5,True'),
        ("a,1,0.5,True", "a,1,0.5 ,True"),
        ("a,1,0.0,True", "a,1,-0.00,True"),
        ("a,1,0.5,True", "a,1,0.5,True\r"),
        ("a,1,0.5,True", "a,1,0.5,True\0"),
        ("a,1,0.5,True", f"a,{10**400},0.5,True"),
    ],
)
def test_a_table_that_the_pipeline_writes_in_another_form_is_named(row: str, form: str, tmp_path: Path) -> None:
    """All of them are read as the same table, and show a reader other cells."""
    project, table, path = cast("Project", SimpleNamespace(root=tmp_path)), Table("x.csv", Example), tmp_path / "x.csv"
    path.write_text(f"film,count,score,found\n{row}\n")
    assert read_table(project, Check(), Path(), table) is not None
    for text in (f"film,count,score,found\n{form}\n", f"film,count,score,found\n{row}"):
        path.write_bytes(text.encode())
        check = Check()
        assert read_table(project, check, Path(), table) is None
        assert [finding.name for finding in check.findings] in (["x.csv: line 2"], ["x.csv: line 3"], ["x.csv"])


def test_no_record_leads_out_of_the_cache(tmp_path: Path) -> None:
    """What a list names as a patient's, withdraw removes."""
    (tmp_path / ".dvc").mkdir()
    good, folder = "0" * 32, "1" * 32 + ".dir"
    path = object_path(tmp_path, folder)
    path.parent.mkdir(parents=True)
    for name, md5 in (("a.png", f"../{tmp_path}/victim"), ("../a.png", good), ("/a.png", good), ("a.png", "")):
        path.write_text(json.dumps([{"relpath": name, "md5": md5}]))
        listing.cache_clear()
        assert listing(tmp_path, folder) is None
    path.write_text(json.dumps([{"relpath": "a/..b.png", "md5": good}]))
    listing.cache_clear()
    assert listing(tmp_path, folder) == {"a/..b.png": good}
    for md5 in (f"../{tmp_path}/victim", "", "..victim", f"{good}/../x"):
        with pytest.raises(UserError, match=r"dvc\.lock: expected the MD5"):
            object_paths(tmp_path, md5)


@pytest.mark.parametrize(("found", "expected"), [(True, 1), (False, 0.0), (1, True), (0.0, np.False_), ([True], [1])])
def test_a_yes_is_no_number(found: Any, expected: Any) -> None:
    assert not same(found, expected)
    assert same(found, found)
    assert same(expected, expected)


def test_a_whole_number_is_written_as_the_pipeline_writes_it() -> None:
    assert not same(15, 15.0)
    assert not same(15.0, 15)


@pytest.mark.parametrize(("column", "is_named"), [("false_claim", True), ("difference", False)])
def test_a_small_probability_is_no_noise(column: str, is_named: bool) -> None:
    expected = pd.DataFrame({"metric": ["f1"], column: [5.27e-15]})
    compare_tables(check := Check(), "statistics.csv", expected.assign(**{column: 1.2e-13}), expected)
    assert bool(check.findings) == is_named


def test_numpys_yes_is_pythons() -> None:
    assert same(np.True_, True)
    assert not same(np.True_, False)


@pytest.mark.parametrize(
    ("name", "ids"),
    [
        ("x=1.png", {"x_1"}),
        ("y\\x01z.png", {"y_x01z", "y_z"}),
        ("y\\x01\\u2028z.png", {"y_x01_u2028z", "y_z", "y_u2028z", "y_x01_z"}),
        ("a\\b.png", {"a_b"}),
        ("\\n" * 50 + "a.png", {"n" + "_n" * 49 + "a", "a"}),
    ],
)
def test_a_film_may_be_called_as_its_file_with_and_without_escapes(name: str, ids: set[str]) -> None:
    assert check_data.ids_of(name) == ids


@given(st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="/"), min_size=1, max_size=12))
def test_the_id_of_a_film_is_among_those_that_its_printed_name_allows(name: str) -> None:
    assert image_id(without_suffix(name)) in check_data.ids_of(printable(name))
