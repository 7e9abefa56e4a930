"""Patients who withdrew their consent, of whom ingest writes nothing, and by what they and their films are known."""

import csv
import re
from collections import Counter
from datetime import date
from pathlib import Path
from typing import TypedDict

from stages.common.core.errors import UserError, error_list
from stages.common.data.rows import WithdrawnRow
from stages.common.data.tables import WITHDRAWN, Table
from stages.ingest.dicom.pseudonyms import KEY_ID, PSEUDONYM, PUBLIC, SAMPLE


class NumberRow(TypedDict):
    """A hospital's patient, and the pseudonym of number and issuer however they are spelled, in headers and tables.

    Two patients of one number are one. A withdrawal records it, too.
    """

    patient_id: str
    number_id: str


# A hand writes a pseudonym in capitals, and a spreadsheet makes a number of one: no film would be left out.
CELLS = (PSEUDONYM, "[0-9]{4}-[0-9]{2}-[0-9]{2}", f"(?:{KEY_ID})?")
EXAMPLE = "4f4f64c971b7fe56,2026-01-31,8a1c0b2d (pseudonym, day, id of the key that made it)"

NUMBERS = Table("numbers.csv", NumberRow)  # of data/raw


def read_withdrawn(table: Path) -> list[WithdrawnRow]:
    """The patients who withdrew; none where there is no such table.

    Raises:
        UserError: it is another table, or a row of it could take no patient out.
    """
    if not table.exists():
        return []
    if not table.is_file():
        raise UserError(f"{table}: expected a table, found a folder or the like; put the file itself there")
    columns = list(WITHDRAWN.columns)
    with table.open(newline="") as file:
        head, *rows = [row for row in csv.reader(file) if row] or [[]]
    if head != columns or any(len(row) != len(columns) for row in rows):
        raise UserError(
            f"{table}: expected a table with the columns {', '.join(columns)}, found others; correct the file"
        )
    wrong = [f"{','.join(row)!r:.100}" for row in rows if not (all(map(re.fullmatch, CELLS, row)) and is_day(row[1]))]
    if wrong:
        raise error_list(f"{table}: expected rows such as {EXAMPLE}, found these; correct them", wrong)
    if twice := [patient for patient, number in Counter(row[0] for row in rows).items() if number > 1]:
        raise error_list(f"{table}: expected each pseudonym once, found these in several rows; keep one", twice)
    return [{"patient_id": patient, "withdrawn": day, "key_id": key} for patient, day, key in rows]


def film_pseudonym(digest: str) -> str:
    """By which the film of a patient who withdrew is known again, whatever it and its patient are called then.

    Args:
        digest: SHA-256 of the source file, or of the film's pixels (`pixel_hash`).
    """
    return PUBLIC.name("film", digest)


def is_day(text: str) -> bool:
    """Whether the calendar has a day."""
    try:
        return bool(date.fromisoformat(text))
    except ValueError:
        return False


def under_another_key(withdrawn: list[WithdrawnRow], key: str) -> list[WithdrawnRow]:
    """Those who withdrew when another key made the pseudonyms, and have none of this one from the same day.

    Under this key they have another pseudonym, by which nobody would know them. The embedded sample's patients, who
    have a key of their own, are none of any hospital.

    Args:
        withdrawn: of `read_withdrawn`.
        key: its id.
    """
    if key == SAMPLE.id:
        return []
    days = {row["withdrawn"] for row in withdrawn if row["key_id"] == key}
    return [row for row in withdrawn if row["key_id"] not in ("", key, SAMPLE.id) and row["withdrawn"] not in days]
