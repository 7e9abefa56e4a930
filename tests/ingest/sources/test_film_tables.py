"""Tables of patients as people have them: each must give its patients, or be refused."""

from datetime import date
from io import BytesIO
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZipFile

import pandas as pd
import pytest
from openpyxl import load_workbook
from openpyxl.worksheet.cell_range import CellRange

from stages.ingest.problems import Unreadable
from stages.ingest.sources.film_tables import LARGEST, FilmTables, patient_id, read_tables, table_rows
from tests.helpers.files import MemoryFiles

FILMS = ["a/p_01.png", "a/p_02.png"]
PATIENTS = {"a/p_01.png": "7", "a/p_02.png": "8"}


def tables(**content: str) -> FilmTables:
    return read_tables(MemoryFiles({name.replace("_dot_", "."): text for name, text in content.items()}), FILMS)  # type: ignore[arg-type]


def patients(found: FilmTables) -> dict[str, str]:
    assert not found.problems
    return {film: row["patient_id"] for film, row in found.rows.items()}


@pytest.mark.parametrize(
    "text",
    [
        "image_id,patient_id\np_01,7\np_02,8\n",
        "image_id;patient_id\np_01;7\np_02;8\n",
        "image_id\tpatient_id\np_01\t7\np_02\t8\n",
        "sep=;\r\nimage_id;patient_id\r\np_01;7\r\np_02;8\r\n",
        "file_name, PatientID\np_01.png, 7\np_02.png, 8\n",
        "FileName,Subject_ID\nP_01.PNG,7\nP_02.PNG,8\n",
        "Image Name,patient id\na/p_01.png,007\na/p_02.png,8.0\n",
        "image,group\nC:\\films\\a\\p_01.jpg,7\nC:\\films\\a\\p_02.jpg,8\n",
        "image_id,patient_id,xmin,ymin,xmax,ymax\np_01,7,1,1,9,9\np_01,7,2,2,5,5\np_02,8,1,1,9,9\n",
        "\ufeffimage_id,patient_id\np_01,7\np_02,8\n",
    ],
)
def test_every_table_gives_its_patients(text: str) -> None:
    found = tables(table_dot_csv=text)
    assert patients(found) == PATIENTS
    assert found.notes == ["table.csv gives patients of 2 of 2 films"]


def test_tables_are_merged_by_column_and_may_not_contradict() -> None:
    one, other = "image_id,patient_id\np_01,7\np_02,8\n", "image_id,split\np_01,train\np_02,test\n"
    found = tables(a_dot_csv=one, b_dot_tsv=other)
    assert patients(found) == PATIENTS
    assert [row["split"] for row in found.rows.values()] == ["train", "test"]
    found = tables(a_dot_csv=one, b_dot_csv="image_id,patient_id\np_01,07\np_02,9\n")
    ((film, problem),) = found.problems
    assert film == "a/p_02.png"
    assert problem.sentence(film) == (
        "a/p_02.png: expected one patient_id in all tables, found a.csv and b.csv, which differ; correct one of them"
    )


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("image_id,patient_id\nx_01,7\nx_02,8\n", "names of films of this source"),
        ("image_id,patient_id\np_01,\np_02,n/a\n", "patients of films"),
        ("picture,patient_id\np_01,7\n", "a column with the names of the images"),
        ("image_id,patient_id\np_01,7\np_01,7\n", "one row per image"),
        ("image_id,patient_id,xmin,ymin,xmax,ymax\np_01,7,1,1,9,9\np_01,8,2,2,5,5\n", "one row per image"),
    ],
)
def test_a_table_of_patients_that_gives_none_is_refused(text: str, why: str) -> None:
    ((file, problem),) = tables(table_dot_csv=text).problems
    assert file == "table.csv"
    assert why in problem.expected


def test_what_a_table_leaves_blank_is_not_counted() -> None:
    found = tables(table_dot_csv="image_id,patient_id,split\np_01,7,test\np_02,,train\n")
    assert found.notes == ["table.csv gives patients of 1 of 2 films and sides of the split of 2 of 2 films"]


def workbook(sheets: dict[str, list[list[object]]]) -> bytes:
    """An XLSX file as pandas writes it."""
    buffer = BytesIO()
    with pd.ExcelWriter(buffer) as writer:
        for name, rows in sheets.items():
            pd.DataFrame(rows).to_excel(writer, sheet_name=name, header=False, index=False)
    return buffer.getvalue()


def in_workbook(content: bytes) -> FilmTables:
    return read_tables(MemoryFiles({"t.xlsx": content}), FILMS)  # type: ignore[arg-type]


@pytest.mark.parametrize("cells", [(7, 8), (7.0, 8.0), ("007", "8"), (" 7", "8 ")])
def test_a_workbook_gives_its_patients(cells: tuple[object, object]) -> None:
    rows = [
        ["File Name", "Patient ID", "born"],
        ["p_01.png", cells[0], date(1960, 3, 12)],
        ["p_02.png", cells[1], None],
    ]
    found = in_workbook(workbook({"notes": [["a", "b"], [1, 2]], "films": rows, "empty": []}))
    assert patients(found) == PATIENTS
    assert found.notes == ["t.xlsx gives patients of 2 of 2 films"]


def test_a_cell_that_is_merged_over_films_is_the_patient_of_all(tmp_path: Path) -> None:
    book = load_workbook(BytesIO(workbook({"a": [["patient", "image"], [7, "p_01"], [None, "p_02"]]})))
    book["a"].merge_cells("A2:A3")
    book.save(tmp_path / "t.xlsx")
    assert patients(in_workbook((tmp_path / "t.xlsx").read_bytes())) == dict.fromkeys(FILMS, "7")


@pytest.mark.parametrize(("cell", "area"), [("A1048576", ""), ("XFD200", ""), ("", "D4:CV1048576")])
def test_a_sheet_whose_cells_would_fill_the_memory_is_refused(cell: str, area: str, tmp_path: Path) -> None:
    """A cell with a format alone, or a merged area, makes a library write out all empty ones before it."""
    book = load_workbook(BytesIO(workbook({"a": [["patient", "image"], [7, "p_01"]]})))
    if cell:
        book["a"][cell] = " "
    else:  # as a file has it, without the cells that openpyxl would make of it
        book["a"].merged_cells.ranges.add(CellRange(area))
    book.save(tmp_path / "t.xlsx")
    [(_, problem)] = in_workbook((tmp_path / "t.xlsx").read_bytes()).problems
    assert problem.expected == "a sheet of at most 2000000 cells"


@pytest.mark.parametrize("cell", ["12", "012", "12.0", "12.png", "x/12"])
def test_an_image_cell_that_lost_its_zeros_is_the_film_of_that_number(cell: str) -> None:
    films = ["x/0012.png", "x/0013.png"]
    found = read_tables(MemoryFiles({"t.csv": f"image,patient\n{cell},7\n13,8\n"}), films)  # type: ignore[arg-type]
    assert not found.problems
    assert {film: row["patient_id"] for film, row in found.rows.items()} == {"x/0012.png": "7", "x/0013.png": "8"}


def test_a_number_is_the_closest_film_and_its_folder_counts() -> None:
    films = ["12.png", "0012.png", "x/0013.png"]
    text = "image,patient\n12,7\n0012,8\ny/13,9\n"
    found = read_tables(MemoryFiles({"t.csv": text}), films)  # type: ignore[arg-type]
    assert {film: row["patient_id"] for film, row in found.rows.items()} == {"12.png": "7", "0012.png": "8"}
    assert found.notes == ["t.csv gives patients of 2 of 3 films", "t.csv: 1 of its 3 rows name no film of this source"]


@pytest.mark.parametrize(
    ("films", "cell"),
    [(["p1/a.png", "p2/a.png"], "a.png"), (["0012.png", "012.png"], "12"), (["a.png", "a.jpg"], "A")],
)
def test_a_row_that_may_mean_several_films_refuses_them(films: list[str], cell: str) -> None:
    text = f"image,patient\n{cell},7\nb,8\n"
    found = read_tables(MemoryFiles({"t.csv": text}), [*films, "b.png"])  # type: ignore[arg-type]
    assert found.rows == {"b.png": {"image": "b", "patient": "8", "patient_id": "8"}}
    assert [file for file, _ in found.problems] == films
    for file, problem in found.problems:
        assert problem.sentence(file) == (
            f"{file}: expected a name of one film in t.csv, found '{cell}', which 2 have; write its folder or its "
            "whole name into the table"
        )
        assert cell not in problem.redacted().actual


def test_a_row_without_patient_that_may_mean_several_films_is_told() -> None:
    text = "image,age\na,7\nb,8\n"
    found = read_tables(MemoryFiles({"t.csv": text}), ["p/a.png", "q/a.png", "b.png"])  # type: ignore[arg-type]
    assert not found.problems
    assert found.notes == ["t.csv: 1 of its 2 rows name several films, and are not used"]


def test_a_stray_workbook_is_passed_over_and_a_table_that_meets_no_film_is_not() -> None:
    found = in_workbook(workbook({"rain": [["day", "rain"], [1, 2]]}))
    assert (found.problems, found.used, found.rows) == ([], set(), {})
    ((_, problem),) = in_workbook(workbook({"a": [["image", "patient"], ["x", 1]]})).problems
    assert problem.actual == "1 others"


def test_workbooks_that_cannot_be_read_are_refused_by_name() -> None:
    found = tables(list_dot_xls="", weather_dot_csv="day,rain\n1,2\n")
    ((file, problem),) = found.problems
    assert problem.sentence(file) == (
        "list.xls: expected tables as CSV, TSV or XLSX, found a workbook; save it as one of them, or exclude it"
    )
    for content in (b"", b"PK\3\4", workbook({"a": [["image"]]})[:-60], b"\xd0\xcf\x11\xe0 encrypted"):
        ((_, problem),) = in_workbook(content).problems
        assert problem.actual == "a damaged or locked one"
    sheet = [["image", "patient"], ["p_01", 7]]
    ((_, problem),) = in_workbook(workbook({"a": sheet, "b": sheet})).problems
    assert problem.actual == "'p_01' on 'b', too"
    bomb = BytesIO()
    with ZipFile(bomb, "w", ZIP_DEFLATED) as archive:
        archive.writestr("xl/sharedStrings.xml", bytes(LARGEST + 1))
    ((_, problem),) = in_workbook(bomb.getvalue()).problems
    assert problem.actual == "100 MB"


def test_a_table_of_originals_speaks_for_their_augmented_copies() -> None:
    films = ["a_png.rf.1a2b.jpg", "a_png.rf.3C4d.jpg", "b_jpg.rf.ff.jpg"]
    text = "filename,patient_id\na.png,7\nb.jpg,8\n"
    found = read_tables(MemoryFiles({"t.csv": text}), films)  # type: ignore[arg-type]
    assert [found.rows[film]["patient_id"] for film in films] == ["7", "7", "8"]


@pytest.mark.parametrize(
    ("text", "actual"),
    [
        ("filename,name,patient\na.png,Doe, Jane,7\n", "a row with more"),  # whose patient would be ` Jane`
        ("filename,patient,patient\na.png,7,8\n", "'patient' twice"),
    ],
)
def test_a_table_whose_cells_may_be_in_other_columns_is_refused(text: str, actual: str) -> None:
    with pytest.raises(Unreadable) as refused:
        table_rows(text.encode())
    assert refused.value.problem.actual == actual


@pytest.mark.parametrize("cell", ["12", "12.0", "012", " 12", "12 "])
def test_one_patient_has_one_number(cell: str) -> None:
    assert patient_id(cell) == "12"


@pytest.mark.parametrize("cell", ["", "nan", "NaN", "None", "NULL", "n/a", " - "])
def test_an_unknown_patient_is_nobody_elses(cell: str) -> None:
    assert patient_id(cell) == ""
    with pytest.raises(Unreadable):
        table_rows(b"x,patient_id\n1,2\n")
