"""Run stages again in a clean copy and compare bytes: a lock can be forged, a run cannot.

`dvc commit --force` takes any output for the one that the stage made, and all that compares hashes is then content.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from stages.common.core.files import read_json
from stages.common.data.layout import DESCRIPTION
from tools.audit.dvc_cache import file_md5, folder_md5, hash_folder, listing
from tools.audit.dvc_lock import Stage, git
from tools.audit.trace import Project
from tools.audit.verify import Check
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
    with tempfile.TemporaryDirectory(prefix="rerun-") as folder:
        copy = Path(folder) / "project"
        git(project.root, "clone", "-q", "--local", str(project.root), str(copy))
        for stage in stages:
            say(f"{stage.name}: {stage.command.removeprefix('exec ')}")
            if bring(project, copy, stage, check):
                run(copy, stage, check)
                compare(project, copy, stage, check)


def bring(project: Project, copy: Path, stage: Stage, check: Check) -> bool:
    """Put a stage's inputs into the copy; those that do not have their hash are named by other checks.

    Args:
        project: has the inputs.
        copy: the root of its clone.
        stage: whose inputs are copied.
        check: gets an entry where one is not here.
    Returns:
        Whether all inputs are there.
    """
    for path in stage.data:
        source, target = project.root / path, copy / path
        if not source.exists():
            check.add(f"rerun {stage.name}", "unchecked", f"{path} is not here; `dvc checkout` or `dvc pull`")
            return False
        if target.exists():
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        (shutil.copytree if source.is_dir() else shutil.copy2)(source, target)
    return True


def run(copy: Path, stage: Stage, check: Check) -> None:
    """Run a stage's command as DVC does, away from the records and checkpoints of the real project."""
    environment = {key: value for key, value in os.environ.items() if key not in ("MLFLOW_TRACKING_URI", "DVC_ROOT")}
    environment |= {"CHECKPOINT_DIR": str(copy / ".checkpoints"), "PYTHONPATH": str(copy)}
    for path in stage.outs:
        target = copy / path
        shutil.rmtree(target) if target.is_dir() else target.unlink(missing_ok=True)
    # One simple command without quotes, which a test holds dvc.yaml to.
    words = [sys.executable if word == "python" else word for word in stage.command.removeprefix("exec ").split()]
    done = subprocess.run(words, cwd=copy, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        last = " / ".join(done.stderr.strip().splitlines()[-LINES:])
        check.add(f"rerun {stage.name}", "mismatch", f"the stage ends with {done.returncode}: {last}")


def compare(project: Project, copy: Path, stage: Stage, check: Check) -> None:
    """The copy's outputs against dvc.lock.

    Args:
        project: the original.
        copy: the root of its clone, in which the stage has run.
        stage: whose outputs are compared.
        check: gets the discrepancies.
    """
    if not check.whole(f"rerun {stage.name}"):
        return
    for path, md5 in stage.outs.items():
        made = copy / path
        if made.is_file():
            if file_md5(made) != md5:
                differs(project, copy, stage, path, check)
            continue
        written_files = hash_folder(copy, path)
        if folder_md5(written_files) == md5:
            continue
        listed = listing(project.root, md5) or {}
        changed = sorted(
            name for name in written_files.keys() | listed.keys() if written_files.get(name) != listed.get(name)
        )
        for name in changed if listed else [""]:
            differs(project, copy, stage, f"{path}/{name}".rstrip("/"), check)


def differs(project: Project, copy: Path, stage: Stage, path: str, check: Check) -> None:
    """Add an output that came out otherwise.

    Bytes are promised with the libraries of the stage's lock, and weights on the kind of machine that model.json names.

    Args:
        project: the original.
        copy: the root of its clone, in which the stage has run.
        stage: that wrote the output.
        path: of the output or of a file in it, from the root.
        check: gets the discrepancy.
    """
    here, then = other_machine(project, copy, stage)
    libraries = differences(copy / "stages" / stage.name.partition("@")[0] / "libraries.lock")
    if libraries:
        message = f"it ran with other libraries than its lock pins, which may write other bytes: {', '.join(libraries)}"
        check.add(f"rerun {stage.name}", "unchecked", message)
    elif here != then:
        message = f"weights were made on {then}, this is {here}: bytes are promised on one kind of machine only"
        check.add(f"rerun {stage.name}", "unchecked", message)
    else:
        check.add(f"rerun {stage.name}: {path}", "mismatch", "the stage, run again, writes other bytes")


def other_machine(project: Project, copy: Path, stage: Stage) -> tuple[str, str]:
    """What trained here and what trained then, where a stage trains; equal where it does not."""
    for path in stage.outs:
        models = [root / path / DESCRIPTION for root in (copy, project.root)]
        if all(model.is_file() for model in models):
            here, then = (read_json(model)["machine"] for model in models)
            return str(here), str(then)
    return "", ""
