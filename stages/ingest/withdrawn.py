"""Patients who withdrew their consent, of whom ingest writes nothing, and by which pseudonyms they are known again."""

import csv
from pathlib import Path
from typing import TypedDict

from stages.common.core.errors import UserError
from stages.common.data.rows import WithdrawnRow
from stages.common.data.tables import WITHDRAWN, Table


class NumberRow(TypedDict):
    """A hospital's patient, and the pseudonym of number and issuer however they are spelled, in headers and tables.

    Two patients of one number are one. A withdrawal records it, too.
    """

    patient_id: str
    number_id: str


NUMBERS = Table("numbers.csv", NumberRow)  # of data/raw


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
    return [{"patient_id": patient, "withdrawn": day, "key_id": key} for patient, day, key in rows]


def under_another_key(withdrawn: list[WithdrawnRow], key: str) -> list[WithdrawnRow]:
    """Those who withdrew when another key made the pseudonyms, and have none of this one from the same day.

    Under this key they have another pseudonym, by which nobody would know them.

    Args:
        withdrawn: of `read_withdrawn`.
        key: its id.
    """
    days = {row["withdrawn"] for row in withdrawn if row["key_id"] == key}
    return [row for row in withdrawn if row["key_id"] not in ("", key) and row["withdrawn"] not in days]
