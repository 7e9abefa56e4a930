"""Which file of a hospital's export a number in messages and tables stands for."""

from pathlib import Path

from stages.common.core.errors import UserError, first_few
from stages.common.core.hashing import sha256
from stages.common.data.layout import RAW
from stages.common.data.tables import FILES, QUARANTINE
from tools.audit.check_sources import known_files
from tools.audit.trace import Project
from tools.audit.yaml_files import settings_of


def original(project: Project, number: int, source: str = "") -> tuple[Path, str]:
    """The file of an export that ingest called `file NUMBER of the export`, and a doubt in words; blank for none.

    Where files.csv or quarantine.csv of data/raw has its SHA-256, the file is known by that: since ingest ran, the
    numbers may have changed. An ingest that ended with an error since then called the files by their numbers of today.

    Args:
        project: whose params.yaml names the inbox.
        number: counted from 1.
        source: its name in these tables; needed where there are several exports.
    Raises:
        UserError: there is no such export, no such number in it, or no file any more that has the SHA-256.
    """
    settings = settings_of(project.root, "ingest")
    entries = {name: entry for entry in settings.sources if entry.source == "hospital" for name in entry.names}
    chosen = [source] if source else list(entries)
    if len(chosen) != 1 or chosen[0] not in entries:
        raise UserError(
            f"--source: expected one hospital's export of params.yaml, found {source or f'{len(entries)} of them'}; "
            + (f"name one of {first_few(sorted(entries))}" if entries else "only their files have numbers")
        )
    known = known_files(entries[chosen[0]], settings, project.root) or {}
    files = {name: place for name, place in known.items() if isinstance(place, Path)}
    if not 1 <= number <= len(files):
        raise UserError(f"{number}: expected the number of a file of the export, found {len(files)} files in it")
    public = list(files)[number - 1]
    recorded = {
        row["sha256"]
        for table in (FILES, QUARANTINE)
        if (project.root / RAW / table.name).is_file()
        for row in project.rows(RAW, table)
        if (row["source"], row["file"]) == (chosen[0], public)
    } - {""}
    by_number = files[public]
    if not recorded:
        return by_number, f"no table of {RAW} has its SHA-256: this is file {number} of the export as it is now"
    if is_recorded(by_number, recorded):
        return by_number, ""
    for path in files.values():
        if is_recorded(path, recorded):
            return path, f"the export was changed since {RAW} was made: file {number} is now {by_number}"
    raise UserError(
        f"{number}: expected the file with the SHA-256 of the tables of {RAW} in the export, found none; the export "
        "was changed since `ingest` read it"
    )


def is_recorded(path: Path, hashes: set[str]) -> bool:
    """Whether a file has one of these SHA-256."""
    return path.is_file() and sha256(path) in hashes
