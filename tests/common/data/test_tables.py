"""The contract of the pipeline's tables."""

from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypedDict

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pandas._libs.parsers import STR_NA_VALUES

from stages.common.core.errors import UserError
from stages.common.data.rows import SAMPLE_SOURCES
from stages.common.data.tables import SPLIT, Table, is_synthetic, require_films
from stages.ingest.params import Sample


class Row(TypedDict):
    image_id: str
    count: int
    size: float
    marked: bool


TABLE = Table("t.csv", Row)
ROWS: list[Row] = [
    {"image_id": "007", "count": 3, "size": 0.1 + 0.2, "marked": True},
    {"image_id": "", "count": 0, "size": float("nan"), "marked": False},
]


def test_rows_are_read_back_with_their_types(tmp_path: Path) -> None:
    TABLE.write(tmp_path, TABLE.frame(ROWS))
    assert (tmp_path / "t.csv").read_text() == "image_id,count,size,marked\n007,3,0.30000000000000004,True\n,0,,False\n"
    first, second = TABLE.rows(TABLE.read(tmp_path))
    assert first == ROWS[0]
    assert [type(value) for value in first.values()] == [str, int, float, bool]
    assert second["image_id"] == ""
    assert second["size"] != second["size"]


@given(st.lists(st.one_of(st.sampled_from(sorted(STR_NA_VALUES)), st.text()), min_size=1))
def test_no_text_is_read_back_as_another_or_as_none(names: list[str]) -> None:
    """Names of films and labels that pandas takes for missing values, such as NA and null, among them."""
    rows: list[Row] = [{"image_id": name, "count": 1, "size": 0.5, "marked": True} for name in names]
    with TemporaryDirectory() as folder:
        TABLE.write(Path(folder), TABLE.frame(rows))
        assert TABLE.rows(TABLE.read(Path(folder))) == rows


def test_columns_are_written_in_the_order_of_the_table(tmp_path: Path) -> None:
    TABLE.write(tmp_path, TABLE.frame(ROWS)[["marked", "size", "image_id", "count"]])
    assert (tmp_path / "t.csv").read_text().startswith("image_id,count,size,marked\n")


@pytest.mark.parametrize("table", [TABLE.frame(ROWS).drop(columns="size"), TABLE.frame(ROWS).assign(more=1)])
def test_a_table_of_other_columns_is_not_written(table: pd.DataFrame, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"t\.csv: expected the columns"):
        TABLE.write(tmp_path, table)
    assert list(tmp_path.iterdir()) == []


def test_a_table_without_rows_has_its_head(tmp_path: Path) -> None:
    TABLE.write(tmp_path, TABLE.frame([]))
    assert (tmp_path / "t.csv").read_text() == "image_id,count,size,marked\n"
    assert TABLE.rows(TABLE.read(tmp_path)) == []


def test_further_folds_stand_behind_the_first(tmp_path: Path) -> None:
    folds = {"fold_2": ["train"], "fold_3": ["test"]}
    table = pd.DataFrame({name: ["x"] for name in SPLIT.columns} | folds)
    SPLIT.write(tmp_path, table)
    head = (tmp_path / "split.csv").read_text().splitlines()[0].split(",")
    assert head[:5] == ["image_id", "split", "fold_2", "fold_3", "patient_id"]
    assert len(head) == len(SPLIT.columns) + 2


def test_an_open_file_is_read_as_one_of_that_name() -> None:
    assert TABLE.parse(StringIO("image_id,count,size,marked\n007,3,1,True\n"))["image_id"].tolist() == ["007"]


@pytest.mark.parametrize(
    ("text", "actual"),
    [
        ("image_id,count\n007,3\n", "the columns size, marked, found none of these names"),
        ("image_id,count,size,marked\n007,few,1,True\n", "cells of the pipeline's types, found another"),
        ("image_id,count,size,marked\n007,,1,True\n", "cells of the pipeline's types, found another"),
        (f"image_id,count,size,marked\n007,{'3' * 400},1,True\n", "cells of the pipeline's types, found another"),
        ("image_id,count,size,marked\n007,3,1,True,5\n", "cells of the pipeline's types, found another"),
        ("", "cells of the pipeline's types, found another"),
    ],
)
def test_another_table_is_one_sentence_without_its_cells(text: str, actual: str) -> None:
    with pytest.raises(UserError, match=actual) as fault:
        TABLE.parse(StringIO(text))
    assert "few" not in str(fault.value)


def test_a_missing_table_says_how_to_make_it(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"t\.csv.*dvc repro"):
        TABLE.read(tmp_path)


@pytest.mark.parametrize("table", [TABLE.frame(ROWS), TABLE.frame(ROWS).assign(fold_2="test")])
def test_a_table_with_line_ends_of_windows_is_named_as_such(table: pd.DataFrame, tmp_path: Path) -> None:
    """Also where the last column is one of those of which there can be any number."""
    (tmp_path / "t.csv").write_text(table.to_csv(index=False, lineterminator="\r\n"), newline="")
    with pytest.raises(UserError, match=r"t\.csv: expected lines that end as on Unix, found the ends of Windows"):
        TABLE.read(tmp_path)


@pytest.mark.parametrize("listed", [["a"], ["a", "b", "c"], ["a", "a", "b"], ["a", "c"]])
def test_rows_must_be_those_of_the_films(listed: list[str]) -> None:
    require_films(Path("t.csv"), ["b", "a"], ["a", "b"])
    with pytest.raises(UserError, match=rf"^t\.csv: expected one row for each of 2 films, found {len(listed)}; they "):
        require_films(Path("t.csv"), listed, ["a", "b"])


def test_synthetic_films_are_those_of_the_samples_two_sources() -> None:
    """A data set that somebody called sample is none."""
    films = pd.DataFrame({"source": ["sample-hospital", "folder", "sample-kaggle", "sample-ward v1", "sample"]})
    assert list(is_synthetic(films)) == [True, False, True, False, False]
    assert Sample().names == SAMPLE_SOURCES
