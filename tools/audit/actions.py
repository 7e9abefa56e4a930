"""What the commands of `wrist audit` do. Each imports what it needs: a trace must not wait for cryptography."""

import json
import sys
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

from stages.common.core.busy import busy
from stages.common.core.printed import one_line
from stages.common.core.signals import Interrupted

if TYPE_CHECKING:  # each command imports what it needs: a trace must not wait for cryptography
    from tools.audit.patient_files import PatientFiles
    from tools.audit.trace import Project

# What people may open as well, and no check looks at.
NOT_COVERED = (
    "MLflow's runs, DVC's page of plots, data_docs, sweep.html, DVC's notes, optuna.db, predictions, exported "
    "networks, notebooks, other commits, README.md"
)


def trace_thing(what: str, form: str, everywhere: bool) -> int:
    """Print the chain of evidence of a thing; returns the exit code."""
    from tools.audit import render, trace

    project, files = trace.Project(Path()), None
    forms = {"text": render.text, "json": render.as_json, "dot": render.dot}
    try:
        with busy("trace: reads the records"):
            chain = forms[form](*trace.trace(project, what))
    except trace.NothingCalledSo:
        if not everywhere:
            raise
        chain = one_line(f"{what}: not in the data that are here")  # earlier versions may have it
    if everywhere:
        from tools.audit.patient_files import film_files
        from tools.audit.print_withdrawal import print_everywhere

        with busy("trace: looks through all versions"):
            files = film_files(project, what)
    for sentence in [*project.doubts, *project.lacking_history]:
        print(one_line(f"trace: {sentence}"), file=sys.stderr)
    print(chain)
    if files:
        print_everywhere(files, project)
    return 0


def verify_project(deep: bool, stages: str, form: str, evidence: Path | None, key: Path | None) -> int:
    """Print every discrepancy; returns the exit code.

    Args:
        deep: also compute again what follows from pictures and tables.
        stages: to run again, by name, by number, or all.
        form: text or json.
        evidence: a signed document to hold all files to, with the public key.
        key: that key (PEM).
    """
    from tools.audit.rerun import rerun
    from tools.audit.trace import Project
    from tools.audit.verify import stages_named, verify

    project = Project(Path())
    again = stages_named(project, stages) if stages else []
    with busy("verify: compares files with their records"):
        check = verify(project, deep)
    if evidence and key:
        from tools.audit.signing import check_evidence

        with busy("verify: compares files with the signed document"):
            check_evidence(project, evidence, key, check)
    rerun(project, again, check, lambda text: print(f"runs again: {one_line(text)}", file=sys.stderr, flush=True))
    if form == "json":
        print(json.dumps([vars(finding) for finding in sorted(check.findings)], indent=1))
    else:
        for finding in sorted(check.findings):
            print(one_line(f"{finding.kind:9} {finding.name}: {finding.message}"))
        wrong = len(check.wrong)
        summary = f"{wrong or 'no'} discrepanc{'y' if wrong < 2 else 'ies'}"
        if check.unchecked:
            summary += f", {len(check.unchecked)} unchecked"
        size, count = f"{check.bytes / 1e6:.0f} MB", len(project.lock.stages)
        if others := count - check.rerun:
            summary += f"; only --rerun shows whether the other {others} wrote what is here"
        summary += f"; not covered: {NOT_COVERED}"
        looked_at = f"{head(Path())}{check.files} files, {size}"
        print(f"verify: {looked_at}, {check.rerun} of {count} stages run again, {summary}")
    return check.exit_code


def head(root: Path) -> str:
    """The last commit, which decides what should be here, at the start of a sentence; blank without one."""
    from stages.common.core.errors import UserError
    from tools.audit.repository import commit_of

    try:
        return f"commit {commit_of(root, 'HEAD')[:12]}, "
    except UserError:
        return ""


def verify_revision(revision: str, deep: bool, stages: str, form: str, evidence: Path | None, key: Path | None) -> int:
    """The same by the code and the records of a commit, in a clean clone; returns the exit code.

    Args:
        revision: a commit, a branch or a tag.
        deep, stages, form, evidence, key: as for `verify_project`.
    """
    from tools.audit.clean_clone import verify_commit

    words = ["--format", form, *(["--deep"] if deep else []), *(["--rerun", stages] if stages else [])]
    if evidence and key:
        words += ["--signed", str(evidence.resolve()), "--key", str(key.resolve())]
    return verify_commit(Path().resolve(), revision, words)


def compare_outputs(revision: str, known: "Project | None" = None) -> int:
    """Say whether all outputs are those of a commit; returns 1 where they are not.

    Args:
        revision: a commit, a branch or a tag.
        known: the project here, where it has been read.
    """
    from tools.audit.compare import compare
    from tools.audit.trace import Project

    project = known or Project(Path())
    with busy("compare: hashes outputs"):
        same, sentence = compare(project, revision)
    print(one_line(sentence))
    return 0 if same else 1


def sign_project(key: Path, output: Path) -> int:
    """Write and sign the hashes of all outputs; returns the exit code."""
    from tools.audit.signing import sign, signature_of
    from tools.audit.trace import Project

    with busy("sign: hashes outputs"):
        count = sign(Project(Path()), key, output)
    print(one_line(f"sign: {count} files -> {output}, {signature_of(output)}"))
    return 0


def withdraw_patient(patient: str, dry_run: bool) -> int:
    """Remove what a patient left and say what remains to be done; returns the exit code."""
    from tools.audit.elsewhere import elsewhere
    from tools.audit.patient_files import patient_files
    from tools.audit.print_withdrawal import print_found, print_next, print_of_nobody, print_unaware
    from tools.audit.trace import Project
    from tools.audit.withdraw import LOOKS, add_to_index, films_left, withdraw

    project = Project(Path())
    left, counts = list[str](), dict[str, int]()

    def announce(files: "PatientFiles", yours: list[str]) -> None:
        """At once: when it is removed, nobody knows any more what is a copy, and how many films there were."""
        left.append(films_left(project, files.patients))
        if yours:
            print(f"name the patient and are yours to remove: {one_line(', '.join(yours))}", flush=True)

    if dry_run:
        with busy(LOOKS):
            files = patient_files(project, patient)
            yours = elsewhere(project.root, files)
        announce(files, yours)
    else:
        try:
            files, counts = withdraw(project, patient, date.today(), announce)
        except (Interrupted, KeyboardInterrupt) as interruption:
            interruption.add_note("the patient may be removed in part; withdraw again, which goes on")
            raise
    print_found(files, project, "would go" if dry_run else "removed")
    print_of_nobody(files, counts)
    print_unaware(project.root, files.patients)
    print_next(project, dry_run, "" if dry_run else add_to_index(project.root), "".join(left))
    return 0


def print_original(number: int, source: str) -> int:
    """Print the path of a file of a hospital's export; returns the exit code."""
    from tools.audit.original import original
    from tools.audit.trace import Project

    project = Project(Path())
    path, doubt = original(project, number, source)
    if doubt:
        print(one_line(f"original: {doubt}"), file=sys.stderr)
    print(one_line(str(path.relative_to(project.root) if path.is_relative_to(project.root) else path)))
    return 0


def export_lineage() -> int:
    """Write the lineage in the words of public standards; returns the exit code."""
    from tools.audit.export import export
    from tools.audit.trace import Project

    with busy("export: writes the lineage"):
        paths = list(export(Project(Path())))
    for path in paths:
        print(path.name)
    return 0


def write_page(output: Path, known: "Project | None" = None) -> int:
    """Write the page to `output`; returns the exit code.

    Args:
        output: the page.
        known: the project here, where it has been read.
    """
    from stages.common.core.files import write_text
    from tools.audit.compare import changed_since
    from tools.audit.own_output import require_own_output
    from tools.audit.page import is_page, render
    from tools.audit.trace import Project

    require_own_output(output, is_page)
    project = known or Project(Path())
    with busy("page: reads the records"):
        write_text(output, render(project, output, changed_since(project)))
    print(one_line(f"page: {output}"))
    return 0
