"""Tables about films: their patients, their sides of a split, and what else a source states about them."""

import csv
import re
import warnings
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from io import BytesIO, StringIO
from pathlib import PurePosixPath
from zipfile import ZipFile

from stages.ingest.annotations.csv_table import BROKEN, CORNERS, IMAGE_COLUMNS, refuse_repeated
from stages.ingest.annotations.film_names import (
    films_named,
    films_numbered,
    folded,
    index_films,
    index_numbers,
    original_of,
    plain_number,
)
from stages.ingest.annotations.text_file import text_of
from stages.ingest.file_access import FileAccess, printable
from stages.ingest.problems import Problem, Unreadable

# Headers as people write them, but for case, blanks, hyphens and underscores; the first of several is taken.
IMAGE = (*IMAGE_COLUMNS, "image name", "image path", "file", "file path")
PATIENT = ("patient id", "patient", "subject id", "subject", "group")
# Attributes of DICOM headers by which a table of a hospital may name films, and how it may call them.
ATTRIBUTES = {
    "SOPInstanceUID": ("SOPInstanceUID", "SOP UID"),
    "AccessionNumber": ("AccessionNumber", "accession no", "accession"),
    "StudyInstanceUID": ("StudyInstanceUID", "study UID"),
}
SPLIT = ("split",)
GIVEN = {"patient_id": "patients", "split": "sides of the split"}
DELIMITERS = ",;\t|"
UNKNOWN = {"", "nan", "none", "null", "na", "n/a", "-"}
WORKBOOKS = (".xls", ".ods", ".numbers")  # which nothing here reads
LARGEST = 100 * 2**20  # bytes that a workbook may unpack to
MOST_CELLS = 2_000_000  # of a sheet
# Where a cell or a merged area of an XLSX sheet begins and ends.
CELLS = re.compile(rb"<(?:\w+:)?(?:c|mergeCell)\b[^>]*?\br(?:ef)?=[\"']([A-Z]+\d+)(?::([A-Z]+\d+))?[\"']")


Rows = dict[tuple[str, str], dict[str, str]]
"""Rows of a table by the attribute (blank for a file) and its value that name an image."""


@dataclass
class FilmTables:
    """What the tables of a source say of each film, by the film's name in the source.

    rows: columns as the tables call them, with `patient_id` and `split` under these names; `patient_id` is blank where
    it is unknown. problems: (file, problem). notes: how many films each table gave patients or sides. of_film: the
    tables that have a row of each film.
    """

    rows: dict[str, dict[str, str]] = field(default_factory=dict)
    problems: list[tuple[str, Problem]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    of_film: dict[str, list[str]] = field(default_factory=dict)

    @property
    def used(self) -> set[str]:
        """The tables that have a row of some film."""
        return {table for tables in self.of_film.values() for table in tables}


@dataclass(frozen=True)
class Header:
    """Films of a hospital, whose tables may name them by attributes of their headers, and give patients only.

    films: their names by attribute, one of ATTRIBUTES, and its value as `patient_id` spells it. public: what messages
    call a table, whose name may hold a patient's.
    """

    films: dict[tuple[str, str], list[str]]
    public: dict[str, str]


def read_tables(files: FileAccess, films: list[str], header: Header | None = None) -> FilmTables:
    """Merge all tables of a source column by column; a table that gives no film its patient is refused.

    Args:
        files: of the source.
        films: their names in `files`.
        header: of a hospital's films; None for pictures.
    """
    tables, names = FilmTables(), FilmNames(films)
    said_by: dict[tuple[str, str], str] = {}
    for name in files.names():
        if name.lower().endswith(WORKBOOKS) and header is None:  # an export holds documents of all kinds
            problem = Problem("tables as CSV, TSV or XLSX", "a workbook", "save it as one of them, or exclude it")
            tables.problems.append((name, problem))
        if not name.lower().endswith((".csv", ".tsv", ".xlsx")):
            continue
        called = header.public[name] if header else printable(PurePosixPath(name).name)
        try:
            content = files.read(name)
            rows = (workbook_rows if name.lower().endswith(".xlsx") else table_rows)(content, header is not None)
        except Unreadable as error:
            tables.problems.append((name, error.problem))
            continue
        met, missed, given = 0, Counter[str](), Counter[str]()
        for (attribute, key), row in rows.items():
            several: list[str] = []
            if header and attribute:
                named = header.films.get((attribute, patient_id(key)), [])
            else:
                named, several = names.meant_by(key, name)
                tables.problems += [(film, in_doubt(key, len(several), called)) for film in several if gives_any(row)]
                missed["several films, and are not used"] += bool(several) and not gives_any(row)
            missed["no film of this source"] += not named and not several
            for film in named:
                met += 1
                given.update(column for column in GIVEN if row.get(column))
                of_film = tables.of_film.setdefault(film, [])
                of_film += [] if name in of_film else [name]
                merge_row(tables, said_by, film, called, row)
        gives = [column for column in GIVEN if any(column in row for row in rows.values())]
        if gives and not met:
            others = f"{len(rows)} others"
            problem = Problem("names of films of this source", others, "correct its column of images", 1, others)
            tables.problems.append((name, problem))
        elif gives and not given:  # as where formulas were never calculated
            what = " and ".join(GIVEN[column] for column in gives)
            blank = "blank cells only"
            problem = Problem(f"{what} of films", blank, "fill them in, or remove the column", 1, blank)
            tables.problems.append((name, problem))
        elif gives:
            what = " and ".join(f"{GIVEN[column]} of {given[column]} of {len(films)} films" for column in gives)
            tables.notes.append(f"{called} gives {what}")
        if met:
            of_all = f"of its {len(rows)} rows name"
            tables.notes += [f"{called}: {count} {of_all} {what}" for what, count in missed.items() if count]
    return tables


class FilmNames:
    """The films of a source by what tables call them."""

    def __init__(self, films: list[str]) -> None:
        self.index = index_films(films)
        self.copies: dict[str, list[str]] = defaultdict(list)
        self.numbered = index_numbers(films)
        for film in films:
            if original := original_of(film):
                self.copies[folded(original)].append(film)

    def meant_by(self, cell: str, table: str) -> tuple[list[str], list[str]]:
        """The films of a cell, and those of which it means one that cannot be told.

        One film, but for originals: they stand for all of their augmented copies. A number that no film has as it
        stands is the film that has it with zeros, which spreadsheets take away.

        Args:
            cell: the film's name, with folders or without.
            table: the file that it stands in.
        """
        stated = PurePosixPath(cell.replace("\\", "/"))
        named = films_named(cell, table, self.index)
        if len(named) != 1 and (copies := self.copies.get(folded(stated.name))):
            return copies, []
        named = named or films_numbered(cell, self.numbered)
        return (named, []) if len(named) == 1 else ([], named)


def gives_any(row: dict[str, str]) -> bool:
    return any(row.get(column) for column in GIVEN)


def in_doubt(cell: str, count: int, table: str) -> Problem:
    """Why a film is refused that a row may mean: its patient, or its side of the split, is not known."""
    public, fix = f"one that {count} have", "write its folder or its whole name into the table"
    return Problem(f"a name of one film in {table}", f"{cell[-80:]!r}, which {count} have", fix, public=public)


def merge_row(
    tables: FilmTables, said_by: dict[tuple[str, str], str], film: str, table: str, row: dict[str, str]
) -> None:
    """Add what a table says of a film to what others say.

    Args:
        tables: receives the row, or a problem where two tables contradict each other.
        said_by: the table that a film's patient or side comes from.
        film: its name in the source.
        table: what messages call it.
        row: of that film.
    """
    merged = tables.rows.setdefault(film, {})
    for column, value in row.items():
        before = merged.get(column, "")
        if column in ("patient_id", "split") and value and before and value != before:
            actual = f"{said_by[film, column]} and {table}, which differ"
            problem = Problem(f"one {column} in all tables", actual, "correct one of them", public=actual)
            tables.problems.append((film, problem))
        elif not before:
            merged[column] = value
            said_by[film, column] = table


def table_rows(content: bytes, of_hospital: bool = False) -> Rows:
    """Rows of a table by the image that they name.

    A table of boxes gives patients and sides only. No rows come from a table without patients, sides or images.

    Args:
        content: of the file.
        of_hospital: whether it gives patients only, and may name films by ATTRIBUTES.
    Raises:
        Unreadable: no UTF-8, an image that stands twice with another patient or side, or patients without images.
    """
    text = text_of(content)
    start = re.match(r"sep=(.)\r?\n", text)
    text = text[start.end() :] if start else text
    delimiter = start[1] if start else delimiter_of(text)
    reader = csv.DictReader(StringIO(text), delimiter=delimiter, skipinitialspace=True)
    try:
        return rows_by_image(reader, of_hospital)
    except csv.Error:
        raise Unreadable("comma-separated values", BROKEN, "export the table again", reader.line_num) from None


def workbook_rows(content: bytes, of_hospital: bool = False) -> Rows:
    """Rows of the sheets of an XLSX workbook by the image that they name, of cells as they were calculated last.

    Args:
        content: of the file.
        of_hospital: as for `table_rows`.
    Raises:
        Unreadable: no workbook, a sheet that `table_rows` refuses, or an image on two sheets.
    """
    rows: Rows = {}
    for name, text in sheets_of(content).items():
        here = rows_by_image(csv.DictReader(StringIO(text)), of_hospital)
        if twice := rows.keys() & here.keys():
            _, image = min(twice)
            raise Unreadable("an image on one sheet", f"{image!r:.80} on {name!r:.40}, too", "remove one of them")
        rows |= here
    return rows


def sheets_of(content: bytes) -> dict[str, str]:
    """The sheets of an XLSX workbook as comma-separated values, by name; merged cells have one value all.

    Raises:
        Unreadable: it is none, unpacks to more than LARGEST, or has a sheet of more than MOST_CELLS.
    """
    from openpyxl import load_workbook  # half a second, of which a source without a workbook has no need

    try:
        with ZipFile(BytesIO(content)) as archive:
            unpacked = sum(member.file_size for member in archive.infolist())
            cells_most = count_cells(archive) if unpacked <= LARGEST else 0
        sheets = {}
        with warnings.catch_warnings(action="ignore"):  # of what openpyxl leaves out, such as colours
            fits = unpacked <= LARGEST and cells_most <= MOST_CELLS
            book = load_workbook(BytesIO(content), data_only=True) if fits else None
        for sheet in book.worksheets if book else ():
            cells = [list(row) for row in sheet.iter_rows(values_only=True)]
            for area in sheet.merged_cells.ranges:  # a patient's number beside all of its films
                value = cells[area.min_row - 1][area.min_col - 1]
                for row in cells[area.min_row - 1 : area.max_row]:
                    row[area.min_col - 1 : area.max_col] = [value] * (area.max_col - area.min_col + 1)
            text = StringIO()
            csv.writer(text).writerows(cells)
            sheets[sheet.title] = text.getvalue()
    except Exception:  # openpyxl raises a dozen types on files that are no workbook, or a damaged one
        raise Unreadable("an XLSX workbook", "a damaged or locked one", "save it as CSV, or remove it") from None
    if cells_most > MOST_CELLS:
        fix = "delete cells and merged areas far below or beside the table, or save it as CSV"
        raise Unreadable(f"a sheet of at most {MOST_CELLS} cells", f"one of {cells_most}", fix)
    if book is None:
        raise Unreadable(f"a workbook of at most {LARGEST >> 20} MB unpacked", f"{unpacked >> 20} MB", "save it as CSV")
    return sheets


def count_cells(archive: ZipFile) -> int:
    """The cells of the largest sheet of an XLSX workbook, empty ones included: openpyxl makes each of them."""
    from openpyxl.utils.cell import coordinate_to_tuple

    most = 0
    for member in archive.infolist():
        if member.filename.startswith("xl/worksheets/"):
            ends = {end.decode() for ends in CELLS.findall(archive.read(member)) for end in ends if end}
            rows, columns = zip((0, 0), *map(coordinate_to_tuple, ends), strict=True)
            most = max(most, max(rows) * max(columns))
    return most


def delimiter_of(text: str) -> str:
    """What separates the columns of the header: of the usual ones the most frequent."""
    header = text.partition("\n")[0]
    return max(DELIMITERS, key=header.count)


def rows_by_image(reader: "csv.DictReader[str]", of_hospital: bool) -> Rows:
    columns = [column for column in reader.fieldnames or [] if column]
    patient, split = pick(columns, PATIENT), "" if of_hospital else pick(columns, SPLIT)
    attribute, image = image_column(columns, of_hospital)
    if not image:
        if patient and patient.strip().lower() != "group":
            ways = ", ".join(("filename", *ATTRIBUTES) if of_hospital else ("filename", "image_id"))
            expected = f"a column with the names of the images ({ways})"
            raise Unreadable(expected, f"the columns {', '.join(columns):.200}", "add or rename it, or remove it", 1)
        return {}
    refuse_repeated(columns, filter(None, (image, patient, split)))
    boxes = {plain(column) for column in columns} >= set(CORNERS)
    if (boxes or of_hospital) and not (patient or split):
        return {}
    rows: Rows = {}
    for row in reader:
        if any(cell.strip() for cell in row.get(None) or ()):
            fix = "put quotes round cells with the separator"
            raise Unreadable("as many cells as columns", "a row with more", fix, reader.line_num)
        only_given = boxes or of_hospital
        cells = {} if only_given else {key.strip(): value or "" for key, value in row.items() if isinstance(key, str)}
        if patient:
            cells["patient_id"] = patient_id(row[patient] or "")
        if split:
            cells["split"] = (row[split] or "").strip()
        name = (attribute, (row[image] or "").strip())
        if attribute and not name[1]:
            continue
        if name in rows and (not (boxes or attribute) or rows[name] != cells):
            raise Unreadable(
                "one row per image", f"{name[1]!r:.80} a second time", "remove one of the rows", reader.line_num
            )
        rows[name] = cells
    return rows


def image_column(columns: list[str], of_hospital: bool) -> tuple[str, str]:
    """The column that names films, behind the attribute that its cells hold; blank where they are files or none is."""
    if image := pick(columns, IMAGE):
        return "", image
    for attribute, names in ATTRIBUTES.items() if of_hospital else ():
        if image := pick(columns, names):
            return attribute, image
    return "", ""


def pick(columns: list[str], names: Iterable[str]) -> str:
    """The first of the columns with one of these names, the first name first; '' if there is none."""
    by_name = {plain(column): column for column in reversed(columns)}
    return next((by_name[plain(name)] for name in names if plain(name) in by_name), "")


def plain(column: str) -> str:
    return re.sub(r"[\s_-]", "", column).lower()


def patient_id(cell: str) -> str:
    """One spelling of a patient's number, whatever a spreadsheet made of it: 12 of `012`, `12.0` and ` 12`."""
    text = cell.strip()
    return plain_number(text) or ("" if text.lower() in UNKNOWN else text)
