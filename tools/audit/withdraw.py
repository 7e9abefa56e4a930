"""A patient withdraws consent: what must go is removed everywhere, and what has to be run again is said."""

import csv
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date
from io import StringIO
from pathlib import Path

import pandas as pd
import psutil
from pydantic import ValidationError

from stages.common.core.busy import busy
from stages.common.core.errors import UserError, first_few
from stages.common.core.files import write_bytes
from stages.common.data.layout import PARAMS, PINS, RAW, WITHDRAWN_PINS
from stages.common.data.tables import WITHDRAWN
from stages.ingest.withdrawn import read_withdrawn
from tools.audit.dvc_cache import all_objects, content_md5, folder_list, is_own, listing, object_path, stored
from tools.audit.elsewhere import elsewhere
from tools.audit.erase import erase_all
from tools.audit.patient_files import (
    KEY,
    KEYS,
    PatientFiles,
    is_film,
    patient_files,
    written_files,
)
from tools.audit.remotes import remove_from_remotes
from tools.audit.repository import git
from tools.audit.trace import Project
from tools.audit.versions import cached_rows, table_rows
from tools.audit.yaml_files import lookup, params_here, settings_of
from tools.temporary import remove_abandoned

LOOKS = "withdraw: looks through all versions"


def withdraw(
    project: Project,
    patient: str,
    today: date,
    announce: Callable[[PatientFiles, list[str]], None] = lambda files, yours: None,
) -> tuple[PatientFiles, dict[str, int]]:
    """Record the withdrawal, and remove what holds, shows or names the patient, here, in the cache and in remotes.

    Remotes come first: what they have is known by what is here. Manifests go last: they say whose films are whose, and
    so a withdrawal that failed is done again. Before them go the lists that lead to one, and before these all others.

    Args:
        project: whose films they are.
        patient: as for `patient_files`.
        today: the day of the withdrawal.
        announce: gets what was found, and what of it is the user's to remove, before anything is removed.
    Returns:
        What was removed, and the number of files that each remote had of it.
    Raises:
        UserError: no version of the data has the patient, DVC runs a stage, or a file cannot be removed; all others
            are.
    """
    with alone(project.root):
        with busy(LOOKS):
            remove_abandoned()
            files = patient_files(project, patient)
            yours = elsewhere(project.root, files)
        announce(files, yours)
        with busy("withdraw: removes what was found"):
            return files, remove_patient(project.root, files, today)


def remove_patient(root: Path, files: PatientFiles, today: date) -> dict[str, int]:
    """Record and remove what was found of a patient; returns how many files each remote had."""
    numbers = dict.fromkeys(files.numbers, max(files.made_by.values(), default=""))
    films = dict.fromkeys(files.films, "")  # known by their bytes, under any key
    record_withdrawal(root, dict.fromkeys(files.patients, "") | files.made_by | numbers | films, today)
    tables = {md5: table for md5 in files.keys if (table := shortened_table(stored(root, md5), files.patients))}
    lists = shortened_lists(root, files, tables)
    counts = remove_from_remotes(root, [*files.cached, *lists], files.words)
    last = sorted({path for path in files.here if path.as_posix().endswith(KEYS)}, key=lambda path: path.name in KEY)
    erase_all(root, files.cached.keys() - files.keys.keys(), [path for path in files.here if path not in last])
    shorter = [(content_md5(table), table) for table in tables.values()] + [*map(folder_list, lists.values())]
    for md5, content in shorter:
        write_bytes(object_path(root, md5), content)
    leads = {md5 for md5 in lists if files.keys.keys() & (listing(root, md5) or {}).values()}
    manifests = {md5 for md5, paths in files.keys.items() if KEY in paths}
    for hashes in (
        lists.keys() - leads,
        leads,
        files.keys.keys() - manifests,
        manifests,
    ):  # each while the next is there
        erase_all(root, hashes, [])
    for path in last:
        erase_all(root, [], [path])
    erase_all(root, [], [path for path in written_files(root, files.outs) if path.is_symlink() and not path.exists()])
    return counts


@contextmanager
def alone(root: Path) -> Iterator[None]:
    """Keep DVC from beginning anything meanwhile: a push would bring to a remote what was removed there.

    Raises:
        UserError: DVC does something, or runs a stage: what that has read of the patient it would write later.
    """
    from dvc.exceptions import DvcException
    from dvc.lock import LockError
    from dvc.repo import Repo

    refuse_while_dvc_runs(root)
    try:
        opened = Repo(str(root))
    except DvcException as error:
        raise UserError(f"withdraw: DVC cannot read the project: {error}") from None
    with opened as repo:
        try:
            repo.lock.lock()
        except LockError:
            message = "expected a project in which DVC does nothing, found that a command of DVC is at work"
            raise UserError(f"withdraw: {message}; wait until it ends") from None
        try:
            yield
        finally:
            repo.lock.unlock()


def refuse_while_dvc_runs(root: Path) -> None:
    """Refuse to withdraw while a stage runs; DVC's lock is free then.

    Raises:
        UserError: names the processes of DVC that hold files of the project.
    """
    running = {pid for file in (root / ".dvc/tmp").rglob("rwlock") for pid in holders(file) if is_running(pid)}
    if running:
        found = first_few([f"process {pid}" for pid in sorted(running)])
        raise UserError(f"withdraw: expected a project in which DVC runs nothing, found {found}; wait until it ends")


def holders(file: Path) -> set[int]:
    """The processes that a lock file of DVC names, in a project or in the folder of an experiment; some may be gone."""
    try:
        held = json.loads(file.read_text())
        reading = [holder for those in held.get("read", {}).values() for holder in those]
        return {int(holder["pid"]) for holder in (*reading, *held.get("write", {}).values())}
    except (OSError, ValueError, TypeError, KeyError, AttributeError):  # one that was cut off
        return set()


def is_running(pid: int) -> bool:
    """Whether a process is one of Python; a system gives the number of one that was killed to another."""
    try:
        return any("python" in Path(word).name or "dvc" in word for word in psutil.Process(pid).cmdline())
    except psutil.Error:
        return False


def shortened_table(path: Path, patients: set[str]) -> bytes:
    """The manifest, or the table of numbers, without some patients; by it a later withdrawal knows the others.

    Args:
        path: of the table.
        patients: pseudonyms.
    Returns:
        Nothing where no row is left. A group that is called as one of them is blank.
    """
    rows = [row for row in table_rows(path) if row["patient_id"] not in patients] if path.is_file() else []
    if not rows:
        return b""
    text = StringIO()
    table = csv.DictWriter(text, list(rows[0]), lineterminator="\n", extrasaction="ignore", restval="")
    table.writeheader()
    table.writerows(row | {"group": ""} if row.get("group") in patients else row for row in rows)
    return text.getvalue().encode()


def shortened_lists(root: Path, files: PatientFiles, tables: dict[str, bytes]) -> dict[str, dict[str, str]]:
    """The cache's lists of folders that name the patient's files, by md5, without these files.

    The shorter ones lead a later withdrawal to what else the folders had. A cache outside of the project may belong to
    other projects, too: lists of no version of this one stay.

    Args:
        root: of the project.
        files: the patient's.
        tables: that stand in place of some of them, by the md5 of these.
    """
    lists = {}
    for md5, path in all_objects(root):
        if md5 in files.users or (md5 not in files.listed and not is_own(root, path)):
            continue
        inside = (listing(root, md5) or {}) if md5.endswith(".dir") else {}
        own = {name for name, content in inside.items() if is_film(name, files.images) and content in files.shared}
        rest = {name: content for name, content in inside.items() if name not in own and content not in files.cached}
        rest |= {name: content_md5(tables[content]) for name, content in inside.items() if content in tables}
        if rest != inside:
            lists[md5] = rest
    return lists


def films_left(project: Project, patients: set[str]) -> str:
    """What must be changed before the pipeline can run without some patients' films; blank where nothing must.

    Args:
        project: from which nothing was removed yet.
        patients: pseudonyms.
    """
    rows = cached_rows(project.root, project.lock.hashes.get(str(RAW), ""))
    if rows is None:  # another withdrawal has taken the list
        return f"`dvc repro` says whether more films are left than annotate.split in {PARAMS} asks for"
    left = [row for row in rows if row["patient_id"] not in patients]
    split = lookup(params_here(project.root), "annotate.split") or {}
    need = split.get("train", 0) + split.get("test", 0)  # none where the source's table gives the sides
    if len(left) == len(rows) or not split:
        return ""
    if not left:
        return "no film is left: `dvc repro` needs others"
    if len(left) >= need:
        return why_not_divided(project.root, left)
    return (
        f"{len(left)} films are left, and annotate.split in {PARAMS} asks for {need}: lower `train` or `test` by "
        f"{need - len(left)} before `dvc repro`"
    )


def why_not_divided(root: Path, rows: list[dict[str, str]]) -> str:
    """Why annotate cannot divide films, whole patients, as params.yaml asks for; blank where it can.

    Args:
        root: of the project.
        rows: of the manifest.
    """
    from stages.annotate.split import divide  # with scikit-learn: a second

    films = pd.DataFrame(rows)
    films["fracture"] = films["fractures"].astype(int) > 0
    try:
        settings, evaluated = settings_of(root, "annotate"), settings_of(root, "evaluate").folds
    except (UserError, ValidationError):  # which `dvc repro` names
        return ""
    try:
        divide(films, settings, evaluated)
    except UserError as error:
        return f"{len(rows)} films are left, and they cannot be divided as before: {error}"
    return ""


def record_withdrawal(root: Path, patients: dict[str, str], today: date) -> None:
    """Add pseudonyms, with the ids of their keys, and a date to the table by which ingest leaves films out."""
    rows = read_withdrawn(root / WITHDRAWN_PINS)
    for patient in sorted(patients.keys() - {row["patient_id"] for row in rows}):
        rows.append({"patient_id": patient, "withdrawn": today.isoformat(), "key_id": patients[patient]})
    WITHDRAWN.write(root / PINS, WITHDRAWN.frame(rows))


def add_to_index(root: Path) -> str:
    """Add the table to git's index, from which DVC's temporary experiments take new files; why it fails, or blank."""
    try:
        tracked = git(
            root, "ls-files", "--", "dvc.yaml"
        )  # else the repository is another one, in which the project lies
        # Users may ignore tables everywhere, or see a part of the repository alone.
        return git(root, "add", "--force", "--sparse", "--", str(WITHDRAWN_PINS)) if tracked else ""
    except UserError as error:
        return str(error)
