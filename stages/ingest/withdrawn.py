"""Patients who withdrew their consent: their films are left out, wherever they still lie."""

import csv
from pathlib import Path

from stages.common.core.errors import UserError
from stages.common.data.layout import WITHDRAWN_PINS, dicom_file, image_file
from stages.common.data.tables import WITHDRAWN, WithdrawnRow
from stages.ingest.types import FilmResult


def read_withdrawn(table: Path) -> list[WithdrawnRow]:
    """The patients who withdrew; none where there is no such table.

    Raises:
        UserError: it is another table.
    """
    if not table.is_file():
        return []
    columns = list(WITHDRAWN.columns)
    with table.open(newline="") as file:
        head, *rows = [row for row in csv.reader(file) if row] or [[]]
    if head != columns or any(len(row) != len(columns) for row in rows):
        raise UserError(
            f"{table}: expected a table with the columns {', '.join(columns)}, found others; correct the file"
        )
    return [{"patient_id": patient, "withdrawn": day} for patient, day in rows]


def leave_out(results: list[FilmResult], out: Path, table: Path = WITHDRAWN_PINS) -> list[FilmResult]:
    """The results without those of withdrawn patients, whose files in `out` are removed; `out` gets the table.

    Args:
        out: the folder that becomes data/raw.
        table: of withdrawn patients; without it nobody withdrew.
    Raises:
        UserError: the table cannot be read.
    """
    if not table.is_file():
        return results
    rows = read_withdrawn(table)
    withdrawn = {row["patient_id"] for row in rows}
    kept = []
    for result in results:
        if result.row and result.row["patient_id"] in withdrawn:
            for path in (image_file(out, result.image_id), dicom_file(out, result.image_id)):
                path.unlink(missing_ok=True)
        else:
            kept.append(result)
    WITHDRAWN.write(out, WITHDRAWN.frame(rows))
    return kept
