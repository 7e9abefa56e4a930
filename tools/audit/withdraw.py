"""A patient withdraws consent: what must go, everywhere, and what has to be run again.

Pixels live in more places than data/raw: in every later picture of the film, in maps and masks that networks made of
it, in pages that show it, in every version that DVC's cache and remotes ever kept. Weights were fitted to it.
"""

import csv
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date
from io import StringIO
from pathlib import Path
from typing import Any

from dvc.repo import Repo

from stages.common.core.errors import UserError, error_list
from stages.common.data.layout import (
    AUDIT_PAGE,
    LABEL_SHEET,
    MODELS,
    PAGE,
    PINS,
    QUALITY,
    RAW,
    REPORTS,
    WITHDRAWN_PINS,
)
from stages.common.data.tables import MANIFEST, PATIENTS, WITHDRAWN
from stages.ingest.withdrawn import read_withdrawn
from tools.audit.dvc_cache import listing, object_path, object_paths
from tools.audit.dvc_lock import Lock, git, history
from tools.audit.trace import Project

PAGES = tuple(map(str, (PAGE, LABEL_SHEET, QUALITY, REPORTS / PATIENTS.name)))


@dataclass
class PatientFiles:
    """What holds or shows a patient, over all commits and experiments.

    images: ids. objects: paths by md5 of cached files that are of this patient only. pages: of those that show or name
    the patient among others. models: of those that were trained on data with the patient. commits: that hold any of it.
    unknown: commits whose data are not in this cache.
    """

    images: set[str] = field(default_factory=set)
    objects: dict[str, set[str]] = field(default_factory=dict)
    pages: dict[str, set[str]] = field(default_factory=dict)
    models: dict[str, str] = field(default_factory=dict)
    commits: list[str] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)


def patient_files(project: Project, what: str) -> PatientFiles:
    """The files of a patient, or of one film.

    Args:
        what: a pseudonym, an image id, or a source file's name or SHA-256.
    Raises:
        UserError: no version of the data in this cache has it.
    """
    files, others = PatientFiles(), set[str]()
    for commit, lock in locks(project):
        raw = lock.hashes.get(str(RAW), "")
        manifest = cached_rows(project.root, raw, MANIFEST.name)
        if manifest is None:
            files.unknown.append(commit)
            continue
        images = {row["image_id"] for row in manifest if what in names_of(row)}
        if images:
            files.images |= images
            files.commits.append(commit)
        collect(project.root, lock, images, files, others)
    if not files.images:
        raise UserError(f"{what}: expected a pseudonym or a film of {RAW / MANIFEST.name}, now or earlier; found none")
    for md5 in others & files.objects.keys():  # an empty mask is the same file for many films
        del files.objects[md5]
    return files


def names_of(row: dict[str, str]) -> tuple[str, ...]:
    """The words by which a user can name a film of the manifest."""
    return row["patient_id"], row["image_id"], row["sha256"], row["source_file"] or row["image_id"]


def versions(project: Project, commits: list[str]) -> list[str]:
    """Commits as a person reads them: those of experiments by the experiment's name."""
    refs = git(project.root, "for-each-ref", "refs/exps", "--format=%(objectname) %(refname:lstrip=-1)").splitlines()
    experiments = dict(line.split(" ", 1) for line in refs)
    return [f"experiment {experiments[commit]}" if commit in experiments else commit[:12] for commit in commits]


def locks(project: Project) -> Iterable[tuple[str, Lock]]:
    """Every version of dvc.lock: that of the workspace and those of all commits and experiments."""
    yield "workspace", project.lock
    for commit, text in history(project.root, everywhere=True):
        yield commit, Lock(text)


def cached_rows(root: Path, folder: str, name: str) -> list[dict[str, str]] | None:
    """A table in a cached version of a folder; None where the cache lacks it."""
    md5 = (listing(root, folder) or {}).get(name, "") if folder else ""
    path = object_path(root, md5) if md5 else None
    if path is None or not path.is_file():
        return None
    return list(csv.DictReader(StringIO(path.read_text())))


def collect(root: Path, lock: Lock, images: set[str], files: PatientFiles, others: set[str]) -> None:
    """Add what one version of dvc.lock has.

    Args:
        root: of the project.
        lock: the version.
        images: the patient's, in this version.
        files: receives what is the patient's.
        others: receives the md5 of what is not.
    """
    for out, md5 in lock.hashes.items():
        if md5.endswith(".dir"):
            for name, file_md5 in (listing(root, md5) or {}).items():
                if Path(name).stem in images:
                    files.objects.setdefault(file_md5, set()).add(f"{out}/{name}")
                else:
                    others.add(file_md5)
            if images and out.startswith(f"{MODELS}/"):
                files.models[md5] = out
        else:
            others.add(md5)
            if images and out in PAGES:
                files.pages.setdefault(md5, set()).add(out)


def withdraw(project: Project, patient: str, today: date) -> PatientFiles:
    """Remove a patient's pictures and the pages that show them, here and in the cache, and record the withdrawal.

    Raises:
        UserError: no version of the data has the patient, or a file cannot be removed; all others are.
    """
    files = patient_files(project, patient)
    record_withdrawal(project.root, patient, today)
    objects = [path for md5 in files.objects.keys() | files.pages.keys() for path in object_paths(project.root, md5)]
    kept = [*map(erase, objects), *map(remove, workspace_files(project, files.images))]
    if any(kept):
        raise error_list("these files are still there; change what is named and withdraw again", filter(None, kept))
    return files


def workspace_files(project: Project, images: set[str]) -> list[Path]:
    """Files that show or name a patient, in the workspace and in those that killed experiments left behind."""
    files = []
    for root in (project.root, *(path.parent for path in (project.root / ".dvc/tmp/exps").rglob("dvc.yaml"))):
        for out in project.lock.hashes:
            files += [path for path in (root / out).rglob("*") if path.stem in images and not path.is_dir()]
        files += [root / page for page in (*PAGES, str(AUDIT_PAGE))]
    return files


def erase(path: Path) -> str:
    """Remove an object of the cache, and its content for every workspace that has a hard link to it.

    Returns:
        why it is still there; blank where it is not.
    """
    try:
        if path.exists() and path.stat().st_nlink > 1:
            path.chmod(0o644)
            path.write_bytes(b"")
    except OSError as error:
        return f"{path}: {error.strerror}"
    return remove(path)


def remove(path: Path) -> str:
    """Remove a file or link that may be gone already; why it is still there, blank where it is not."""
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        return f"{path}: {error.strerror}"
    return ""


def remove_from_remotes(root: Path, hashes: Iterable[str]) -> dict[str, int]:
    """Remove objects from every DVC remote; how many there were in each.

    Raises:
        UserError: a remote cannot be reached or refuses; all others are done.
    """
    counts, failures = dict[str, int](), list[str]()
    with Repo(str(root)) as repo:
        for name in sorted(repo.config["remote"]):
            try:
                counts[name] = remove_from_remote(repo.cloud.get_remote_odb(name), hashes)
            except Exception as error:  # each kind of remote fails in its own way
                failures.append(f"remote {name}: {' '.join(str(error).split())[:160] or type(error).__name__}")
    if failures:
        raise error_list("the files may still be there; make the remote reachable and withdraw again", failures)
    return counts


def remove_from_remote(remote: Any, hashes: Iterable[str]) -> int:
    """Remove objects from one remote (an object store of DVC); how many there were."""
    paths = [path for path in map(remote.oid_to_path, sorted(hashes)) if remote.fs.exists(path)]
    for path in paths:
        remote.fs.remove(path)
    return len(paths)


def record_withdrawal(root: Path, patient: str, today: date) -> None:
    """Add a pseudonym and a date to the table by which ingest leaves the patient out from now on."""
    rows = read_withdrawn(root / WITHDRAWN_PINS)
    if patient not in {row["patient_id"] for row in rows}:
        rows.append({"patient_id": patient, "withdrawn": today.isoformat()})
    WITHDRAWN.write(root / PINS, WITHDRAWN.frame(rows))
