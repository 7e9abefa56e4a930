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

from dvc.repo import Repo

from stages.common.core.errors import UserError, error_list
from stages.common.core.files import write_text
from stages.ingest.withdrawn import COLUMNS, TOMBSTONES
from tools.audit.dvc_cache import listing, object_path, object_paths
from tools.audit.dvc_lock import Lock, git, history
from tools.audit.trace import Project

LINKS = "reports/lineage.html"  # names patients, and is no output of DVC
PAGES = ("reports/index.html", "reports/labels.png", "reports/data_quality.md", "reports/patients.csv")


@dataclass
class Estate:
    """All that a patient left behind, over all commits and experiments.

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


def estate(project: Project, what: str) -> Estate:
    """What a patient, or one film, left behind.

    Args:
        what: a pseudonym, an image id, or a source file's name or SHA-256.
    Raises:
        UserError: no version of the data that is at hand knows anything called so.
    """
    found, others = Estate(), set[str]()
    for commit, lock in locks(project):
        raw = lock.hashes.get("data/raw", "")
        manifest = cached_rows(project.root, raw, "manifest.csv")
        if manifest is None:
            found.unknown.append(commit)
            continue
        images = {row["image_id"] for row in manifest if what in named(row)}
        if images:
            found.images |= images
            found.commits.append(commit)
        collect(project.root, lock, images, found, others)
    if not found.images:
        raise UserError(f"{what}: expected a pseudonym or a film of data/raw/manifest.csv, now or earlier; found none")
    for md5 in others & found.objects.keys():  # an empty mask is the same file for many films
        del found.objects[md5]
    return found


def named(row: dict[str, str]) -> tuple[str, ...]:
    """What a film of the manifest may be called by."""
    return row["patient_id"], row["image_id"], row["sha256"], row["source_file"] or row["image_id"]


def versions(project: Project, commits: list[str]) -> list[str]:
    """Commits as a person reads them: those of experiments by the experiment's name."""
    told = git(project.root, "for-each-ref", "refs/exps", "--format=%(objectname) %(refname:lstrip=-1)").splitlines()
    experiments = dict(line.split(" ", 1) for line in told)
    return [f"experiment {experiments[commit]}" if commit in experiments else commit[:12] for commit in commits]


def locks(project: Project) -> Iterable[tuple[str, Lock]]:
    """Every version of dvc.lock: that of the workspace and those of all commits and experiments."""
    yield "workspace", project.lock
    for commit, text in history(project.root, everywhere=True):
        yield commit, Lock(text)


def cached_rows(root: Path, folder: str, name: str) -> list[dict[str, str]] | None:
    """A table in a cached version of a folder; None where the cache lacks it."""
    md5 = (listing(root, folder) or {}).get(name, "") if folder else ""
    place = object_path(root, md5) if md5 else None
    if place is None or not place.is_file():
        return None
    return list(csv.DictReader(StringIO(place.read_text())))


def collect(root: Path, lock: Lock, images: set[str], found: Estate, others: set[str]) -> None:
    """The files of one version that are the patient's, and the md5 of those that are not."""
    for out, md5 in lock.hashes.items():
        if md5.endswith(".dir"):
            for name, of in (listing(root, md5) or {}).items():
                if Path(name).stem in images:
                    found.objects.setdefault(of, set()).add(f"{out}/{name}")
                else:
                    others.add(of)
            if images and out.startswith("models/"):
                found.models[md5] = out
        else:
            others.add(md5)
            if images and out in PAGES:
                found.pages.setdefault(md5, set()).add(out)


def withdraw(project: Project, patient: str, today: date) -> Estate:
    """Remove a patient's pictures and the pages that show them, here and in the cache, and note the withdrawal.

    Raises:
        UserError: nobody here is called so, or a file cannot be removed; all others are.
    """
    found = estate(project, patient)
    note(project.root, patient, today)
    objects = [path for md5 in found.objects.keys() | found.pages.keys() for path in object_paths(project.root, md5)]
    kept = [*map(erase, objects), *map(remove, workspace_files(project, found.images))]
    if any(kept):
        raise error_list("these files are still there; change what is named and withdraw again", filter(None, kept))
    return found


def workspace_files(project: Project, images: set[str]) -> list[Path]:
    """Files that show or name a patient, in the workspace and in those that killed experiments left behind."""
    files = []
    for root in (project.root, *(path.parent for path in (project.root / ".dvc/tmp/exps").rglob("dvc.yaml"))):
        for out in project.lock.hashes:
            files += [path for path in (root / out).rglob("*") if path.stem in images and not path.is_dir()]
        files += [root / page for page in (*PAGES, LINKS)]
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
    """Remove objects from every DVC remote; how many there were in each."""
    found = {}
    with Repo(str(root)) as repo:
        for name in sorted(repo.config["remote"]):
            store = repo.cloud.get_remote_odb(name)
            there = [path for path in map(store.oid_to_path, sorted(hashes)) if store.fs.exists(path)]
            for path in there:
                store.fs.remove(path)
            found[name] = len(there)
    return found


def note(root: Path, patient: str, today: date) -> None:
    """The tombstone: a pseudonym and a date, by which ingest leaves the patient out from now on."""
    place = root / TOMBSTONES
    rows = dict(row for row in csv.reader(StringIO(place.read_text())) if row) if place.is_file() else {}
    rows = {COLUMNS[0]: COLUMNS[1]} | rows  # the head stays the first
    rows.setdefault(patient, today.isoformat())
    write_text(place, "".join(f"{name},{when}\n" for name, when in rows.items()))
