"""Patients who withdrew their consent: their films are left out, wherever they still lie."""

import csv
from pathlib import Path

import pandas as pd

from stages.common.core.errors import UserError
from stages.common.core.files import write_table
from stages.ingest.types import FilmResult

TOMBSTONES = Path("data/pins/withdrawn.csv")
COLUMNS = ["patient_id", "withdrawn"]


def leave_out(outcomes: list[FilmResult], out: Path, place: Path = TOMBSTONES) -> list[FilmResult]:
    """The outcomes without those of withdrawn patients, whose files in `out` are removed; `out` gets the tombstones.

    Raises:
        UserError: the table of tombstones cannot be read.
    """
    if not place.is_file():
        return outcomes
    with place.open(newline="") as file:
        head, *rows = [row for row in csv.reader(file) if row] or [[]]
    if head != COLUMNS or any(len(row) != len(COLUMNS) for row in rows):
        raise UserError(
            f"{place}: expected a table with the columns {', '.join(COLUMNS)}, found others; correct the file"
        )
    gone = {patient for patient, _ in rows}
    kept = []
    for outcome in outcomes:
        if outcome.row and outcome.row["patient_id"] in gone:
            for path in out.glob(f"*/{outcome.image_id}.*"):
                path.unlink()
        else:
            kept.append(outcome)
    write_table(out / "withdrawn.csv", pd.DataFrame(rows, columns=COLUMNS))
    return kept
