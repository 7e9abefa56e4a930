"""Run stages again in a clean clone and compare bytes: a lock can be forged, a run cannot.

`dvc commit --force` takes any output for the one that the stage made, and all that compares hashes is then content.
"""

import shutil
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from stages.common.analysis.formatting import device_in_words
from stages.common.core.busy import busy
from stages.common.core.errors import UserError, first_few
from stages.common.core.files import read_json
from stages.common.data.layout import DESCRIPTION, METRICS
from tools.audit.check_record import command_words
from tools.audit.check_sources import names_of_hospitals
from tools.audit.clean_clone import bring, clean_clone, environment
from tools.audit.dvc_cache import file_md5, folder_md5, hash_folder, listing
from tools.audit.dvc_lock import Stage
from tools.audit.findings import Check
from tools.audit.recipes import encoder_file
from tools.audit.trace import Project
from tools.audit.yaml_files import settings_of
from tools.doctor.packages import differences

LINES = 5  # of a failed stage's output that are shown


def rerun(project: Project, stages: list[Stage], check: Check, say: Callable[[str], None]) -> None:
    """Run each stage on the inputs that dvc.lock names, at the commit that is checked out, and add what differs.

    Args:
        project: whose commit is cloned.
        stages: in the order of dvc.lock.
        check: gets the discrepancies.
        say: gets a line before each stage.
    """
    if not stages:
        return
    with clean_clone(project.root, "HEAD") as clone:
        for stage in stages:
            say(f"{stage.name}: {stage.command.removeprefix('exec ')}")
            if may_run(project, clone, stage, check) and run(clone, stage, check):
                check.rerun += 1
                compare(project, clone, stage, check)
            for path in stage.outs:  # the next stage gets what dvc.lock names, and not this
                remove(clone / path)


def may_run(project: Project, clone: Path, stage: Stage, check: Check) -> bool:
    """Whether all is here that a stage needs, in its clone; else `check` says what is lacking."""
    if stage.name == "ingest" and not may_ingest(project, clone, check):
        return False
    return bring_inputs(project, clone, stage, check)


def may_ingest(project: Project, clone: Path, check: Check) -> bool:
    """Whether what ingest needs beside the inbox is here: downloads, and the key of a hospital's pseudonyms.

    Args:
        project: has the films.
        clone: the root of its clone.
        check: gets an entry where something is not here.
    """
    from stages.ingest.dicom.pseudonyms import read_key

    try:
        settings = settings_of(clone, "ingest")
    except UserError:  # the stage says so
        return True
    if away := [entry.title for entry in settings.sources if not is_here(entry, project.root / settings.inbox)]:
        message = f"what it downloads is not here ({first_few(away)}); `wrist fetch` brings it"
        check.add("rerun ingest", "unchecked", message)
        return False
    hospitals = names_of_hospitals(settings.sources)
    made_with = {row["key_id"] for row in project.films.values() if row["source"] in hospitals}
    try:
        key = read_key(project.root).id if hospitals else ""
    except UserError as error:
        check.add("rerun ingest", "unchecked", str(error))
        return False
    if made_with - {key}:
        message = f"pseudonyms are of the key {first_few(sorted(made_with))}, here is {key}; set the key of that time"
        check.add("rerun ingest", "unchecked", message)
        return False
    return True


def is_here(entry: Any, inbox: Path) -> bool:
    """Whether a source of `ingest.sources` needs no network: it downloads nothing, or was downloaded."""
    from stages.ingest.params import Kaggle, Url
    from stages.ingest.sources import kaggle, url

    if isinstance(entry, Kaggle):
        return bool(entry.archive) or kaggle.is_here(entry)
    if isinstance(entry, Url):
        return all((url.folder_of(entry, inbox) / file.name).is_file() for file in entry.files)
    return True


def bring_inputs(project: Project, clone: Path, stage: Stage, check: Check) -> bool:
    """Put a stage's inputs into the clone; those that do not have their hash are named by other checks.

    Args:
        project: has the inputs.
        clone: the root of its clone.
        stage: whose inputs are copied.
        check: gets an entry where one is not here.
    Returns:
        Whether all inputs are there.
    """
    for path in stage.data:
        if path in {finding.name for finding in check.unchecked} or not (project.root / path).exists():
            how = "`dvc checkout` or `dvc pull`" if project.lock.output_of(path) else "bring the source files"
            check.add(f"rerun {stage.name}", "unchecked", f"{path} is not here; {how}")
            return False
        bring(project.root, clone, path)
    if weights := encoder_file(stage):
        if not (project.root / weights).is_file():
            check.add(f"rerun {stage.name}", "unchecked", f"{weights} is not here; `wrist fetch weights`")
            return False
        bring(project.root, clone, weights)
    return True


def remove(path: Path) -> None:
    """Remove a file or folder, if there is one."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def run(clone: Path, stage: Stage, check: Check) -> bool:
    """Run a stage's command as DVC does; returns whether it ended well."""
    for path in stage.outs:
        remove(clone / path)
    try:
        _, *words = command_words(stage)
    except UserError as error:
        check.add(f"rerun {stage.name}", "mismatch", f"it does not run: {error}")
        return False
    command, own = [sys.executable, *words], environment(clone)
    with busy(f"verify: {stage.name} runs"):
        done = subprocess.run(command, cwd=clone, env=own, capture_output=True, text=True, check=False)
    if done.returncode:
        last = " / ".join(done.stderr.strip().splitlines()[-LINES:])
        by_itself = done.returncode == 1  # else a signal ended it, as where memory is short
        kind = "mismatch" if by_itself else "unchecked"
        check.add(f"rerun {stage.name}", kind, f"the stage ends with {done.returncode}: {last or 'without a word'}")
    return done.returncode == 0


def compare(project: Project, clone: Path, stage: Stage, check: Check) -> None:
    """The clone's outputs against dvc.lock.

    Args:
        project: the original.
        clone: the root of its clone, in which the stage has run.
        stage: whose outputs are compared.
        check: gets the discrepancies.
    """
    for path, md5 in stage.outs.items():
        made = clone / path
        if made.is_file():
            if file_md5(made) != md5:
                differs(project, clone, stage, path, check)
            continue
        written_files = hash_folder(clone, path)
        if folder_md5(written_files) == md5:
            continue
        listed = listing(project.root, md5) or {}
        changed = sorted(
            name for name in written_files.keys() | listed.keys() if written_files.get(name) != listed.get(name)
        )
        for name in (changed if listed else []) or [""]:
            differs(project, clone, stage, f"{path}/{name}".rstrip("/"), check)


def differs(project: Project, clone: Path, stage: Stage, path: str, check: Check) -> None:
    """Add an output that came out otherwise.

    Bytes are promised with the libraries of the stage's lock, on every processor with AVX2, and on a GPU of one kind.

    Args:
        project: the original.
        clone: the root of its clone, in which the stage has run.
        stage: that wrote the output.
        path: of the output or of a file in it, from the root.
        check: gets the discrepancy.
    """
    here, then = (device_in_words(device(root, stage)) for root in (clone, project.root))
    libraries = differences(clone / "stages" / stage.name.partition("@")[0] / "libraries.lock")
    if libraries:
        message = f"it ran with other libraries than its lock pins, which may write other bytes: {', '.join(libraries)}"
        check.add(f"rerun {stage.name}", "unchecked", message)
    elif here != then:
        message = f"by its record {then} computed it, this is {here}: run it again on {then}"
        check.add(f"rerun {stage.name}", "unchecked", message)
    else:
        check.add(f"rerun {stage.name}: {path}", "mismatch", "the stage, run again, writes other bytes")


def device(root: Path, stage: Stage) -> str:
    """What trained or evaluated the network of a stage, by the record in its output; blank where there is none.

    No other stage computes on a GPU, whatever a file in its output says.
    """
    room = stage.name.partition("@")[0]
    for path in stage.outs:
        with suppress(OSError, UserError, ValueError, KeyError, TypeError):
            if room == "train":
                return str(read_json(root / path / DESCRIPTION)["machine"]["device"])
            if room == "evaluate":
                return str(read_json(root / path / METRICS)["device"])
    return ""
