"""Commits and remotes that know nothing of a withdrawal: from there the patient's films could come back."""

import csv
import re
from configparser import Error, RawConfigParser
from io import StringIO
from os.path import normpath
from pathlib import Path

from dvc.repo import Repo

from stages.common.core.errors import UserError
from stages.common.data.layout import WITHDRAWN_PINS
from tools.audit.repository import experiments, git, in_repository, log

QUEUED = "refs/exps/celery/stash"  # where DVC keeps experiments that are queued or run
TASKS = ".dvc/tmp/exps/celery"  # what became of them
CONFIG = ".dvc/config"
REMOTE = re.compile(r"""'?remote "(.+)"'?""")  # a section of it


def queued(root: Path, patients: set[str]) -> list[str]:
    """The names of queued experiments that would read the patients' films again.

    They start from the commit on which they were queued, and find the list of withdrawals that it has.
    """
    try:
        entries = git(root, "log", "-g", "--format=%H %gs", QUEUED).split("\n")[:-1]
    except UserError:  # nothing was ever queued
        return []
    return sorted(entry.rpartition(":")[2] for entry in entries if not knows(root, entry.split()[0], patients))


def unfinished(root: Path, patients: set[str]) -> list[str]:
    """The names of experiments of DVC's queue that failed, or did not end, and whose commit lacks the patients.

    `wrist sweep requeue` queues them again as they were.
    """
    if not (root / TASKS).is_dir():
        return []
    with Repo(str(root)) as repo:
        queue = repo.experiments.celery_queue
        entries = [*queue.iter_active(), *(result.entry for result in queue.iter_failed())]
    return sorted(
        {entry.name or entry.stash_rev[:7] for entry in entries if not knows(root, entry.stash_rev, patients)}
    )


def branches(root: Path, patients: set[str]) -> list[str]:
    """The branches with a pipeline whose list of withdrawals lacks the patient, here and as remotes had them last.

    The one that is checked out is left out, also at remotes: it gets the commit.
    """
    if not in_repository(root):
        return []
    form = "--format=%(HEAD)%(symref)\t%(objectname)\t%(refname:lstrip=2)"
    refs = [ref.split("\t") for ref in git(root, "for-each-ref", "refs/heads", "refs/remotes", form).split("\n")[:-1]]
    present = next((name for mark, _, name in refs if mark.startswith("*")), "")
    of_present = tuple(f"{here}{present}" for here in ("/", "heads/")) if present else ()
    others = {name: commit for mark, commit, name in refs if not (mark.strip() or f"heads/{name}".endswith(of_present))}
    unknowing = {name for name, commit in others.items() if ingests_anew(root, commit, patients)}
    return sorted(name for name in unknowing if name.partition("/")[2] not in unknowing)  # its local one is named


def saved_experiments(root: Path, patients: set[str]) -> list[str]:
    """The names of DVC's experiments whose list of withdrawals lacks the patient."""
    saved = experiments(root) if in_repository(root) else []
    return sorted(name for name, commit in saved if not knows(root, commit, patients))


def ingests_anew(root: Path, commit: str, patients: set[str]) -> bool:
    """Whether a commit has this pipeline, and a list of withdrawals without the patient."""
    try:
        git(root, "rev-parse", "--verify", "--quiet", f"{commit}:./dvc.yaml")
    except UserError:
        return False
    return not knows(root, commit, patients)


def former_remotes(root: Path) -> list[str]:
    """DVC's remotes that settings of earlier commits have, and no remote of today leads to, each with the last such
    commit.
    """
    if not in_repository(root):
        return []
    found = dict[tuple[str, str], str]()
    for commit in log(root, "--all", "--full-history", "--format=%H", paths=(CONFIG,)).split():
        try:
            text = git(root, "show", f"{commit}:./{CONFIG}")
            settings = RawConfigParser(strict=False)
            settings.read_string(text)
        except (UserError, Error):  # the commit that removed it, or damaged it
            continue
        for section in settings.sections():
            if match := REMOTE.fullmatch(section):
                found.setdefault((match[1], place_of(root, settings.get(section, "url", fallback=""))), commit)
    with Repo(str(root)) as repo:
        today = {place_of(root, str(remote["url"])) for remote in repo.config["remote"].values()}
    return [f"{name} (commit {commit[:12]})" for (name, place), commit in sorted(found.items()) if place not in today]


def place_of(root: Path, url: str) -> str:
    """The url of a remote, which counts from the folder of DVC's settings where it is a relative path."""
    return url if "://" in url else normpath(root.resolve() / ".dvc" / url)


def knows(root: Path, commit: str, patients: set[str]) -> bool:
    """Whether the list of withdrawals of a commit has all patients."""
    try:
        text = git(root, "show", f"{commit}:./{WITHDRAWN_PINS}")
    except UserError:
        return False
    return patients <= {row[0] for row in csv.reader(StringIO(text, newline="")) if row}  # as ingest reads it
