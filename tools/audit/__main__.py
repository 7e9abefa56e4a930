"""Lineage: where a number comes from, and whether what is here is what was run.

python -m tools.audit trace WHAT [--format text|json|dot] [--everywhere]
python -m tools.audit verify [--deep] [--rerun STAGE[,STAGE...]|NUMBER] [--signed EVIDENCE --key PUBLIC]
python -m tools.audit sign --key PRIVATE [--output evidence.json]
python -m tools.audit export
python -m tools.audit page [--output reports/lineage.html]
python -m tools.audit withdraw PATIENT [--dry-run]

WHAT: a cell of the report (adaptive/f1), an image id, a model (adaptive-1-1), a path that DVC tracks, a source file by
name or sha256, a patient's pseudonym.
"""

import argparse
import json
import sys
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

from stages.common.core.errors import UserError

if TYPE_CHECKING:  # each command imports what it needs: a trace must not wait for cryptography
    from tools.audit.trace import Project
    from tools.audit.withdraw import Estate


def main(words: list[str]) -> int:
    options = read_options(words)
    commands = {"trace": trace_command, "verify": verify_command, "sign": sign_command, "withdraw": withdraw_command}
    commands |= {"export": export_command, "page": page_command}
    return commands[options.command](options)


def read_options(words: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tools.audit", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    trace = commands.add_parser("trace", help="what a thing was made from, and what was made from it")
    trace.add_argument("what")
    trace.add_argument("--format", choices=("text", "json", "dot"), default="text")
    trace.add_argument(
        "--everywhere", action="store_true", help="a film or patient in all commits and experiments, too"
    )
    verify = commands.add_parser("verify", help="whether what is here is what was run; exit code 1 where it is not")
    verify.add_argument("--deep", action="store_true", help="also SHA-256 of raw films, pixel counts from masks")
    verify.add_argument("--rerun", metavar="STAGES", default="", help="run these, or so many, again; compare bytes")
    verify.add_argument("--format", choices=("text", "json"), default="text")
    verify.add_argument("--signed", type=Path, metavar="EVIDENCE", help="also hold all files to a signed document")
    verify.add_argument("--key", type=Path, help="public key (PEM) for --signed")
    sign = commands.add_parser("sign", help="write and sign the hashes of all outputs")
    sign.add_argument("--key", type=Path, required=True, help="private Ed25519 key (PEM), kept outside of the project")
    sign.add_argument("--output", type=Path, default=Path("evidence.json"))
    withdraw = commands.add_parser("withdraw", help="remove what a patient left, here, in cache and remotes")
    withdraw.add_argument("patient", help="the pseudonym, as the manifest has it")
    withdraw.add_argument("--dry-run", action="store_true", help="say what would go, and stop")
    commands.add_parser("export", help="the lineage in the words of public standards, at the project's root")
    page = commands.add_parser("page", help="reports/lineage.html: from each number to its pixels, by clicks")
    page.add_argument("--output", type=Path, default=Path("reports/lineage.html"))
    options = parser.parse_args(words)
    if options.command == "verify" and (options.signed is None) != (options.key is None):
        parser.error("--signed and --key belong together")
    return options


def trace_command(options: argparse.Namespace) -> int:
    from tools.audit import render, trace

    project = trace.Project(Path())
    graph, start = trace.trace(project, options.what)
    forms = {"text": render.text, "json": render.as_json, "dot": render.dot}
    print(forms[options.format](graph, start))
    if options.everywhere:
        from tools.audit.withdraw import estate

        listed(estate(project, options.what), project, "in the cache")
    return 0


def verify_command(options: argparse.Namespace) -> int:
    from tools.audit.rerun import rerun
    from tools.audit.trace import Project
    from tools.audit.verify import stages_named, verify

    project = Project(Path())
    again = stages_named(project, options.rerun) if options.rerun else []
    check = verify(project, options.deep)
    if options.signed:
        from tools.audit.signing import check_evidence

        check_evidence(project, options.signed, options.key, check)
    rerun(project, again, check, lambda text: print(f"runs again: {text}", file=sys.stderr, flush=True))
    found = sorted(check.findings)
    wrong = [finding for finding in found if finding.kind != "unchecked"]
    if options.format == "json":
        print(json.dumps([vars(finding) for finding in found], indent=1))
    else:
        for finding in found:
            print(f"{finding.kind:9} {finding.name}: {finding.said}")
        said = f"{len(wrong)} discrepancies" if wrong else "no discrepancy"
        print(f"verify: {check.files} files, {check.bytes / 1e6:.0f} MB, {said}")
    return 1 if wrong else 0


def sign_command(options: argparse.Namespace) -> int:
    from tools.audit.signing import sign, signature_of
    from tools.audit.trace import Project

    count = sign(Project(Path()), options.key, options.output)
    print(f"sign: {count} files -> {options.output}, {signature_of(options.output)}")
    return 0


def withdraw_command(options: argparse.Namespace) -> int:
    from stages.ingest.withdrawn import TOMBSTONES
    from tools.audit.trace import Project
    from tools.audit.withdraw import estate, remove_from_remotes, withdraw

    project = Project(Path())
    found = estate(project, options.patient) if options.dry_run else withdraw(project, options.patient, date.today())
    print(f"{len(found.images)} films: {', '.join(sorted(found.images))}")
    listed(found, project, "would go" if options.dry_run else "removed")
    if not options.dry_run:
        for name, count in remove_from_remotes(project.root, found.objects | found.pages).items():
            print(f"remote {name}: {count} files removed")
        print(f"noted in {TOMBSTONES}; commit it, and run `dvc repro`: {', '.join(project.lock.stages)} run again")
        print("Source files, predictions, exports, signed evidence, clones and backups are yours to remove.")
    return 0


def listed(found: "Estate", project: "Project", verb: str) -> None:
    """What a patient or film left in all versions."""
    from tools.audit.withdraw import versions

    print(f"{verb}: {len(found.objects)} files of these films only, {len(found.pages)} pages that show or name them")
    for md5, paths in sorted((found.objects | found.pages).items(), key=lambda item: sorted(item[1])):
        print(f"  {', '.join(sorted(paths))} (md5 {md5})")
    print(f"trained on data with them, to be judged by you: {len(found.models)} models")
    for md5, path in sorted(found.models.items(), key=lambda item: item[1]):
        print(f"  {path} (md5 {md5})")
    print("in these versions: " + ", ".join(versions(project, found.commits)))
    if found.unknown:
        print("not looked into, since their data are not in this cache: " + ", ".join(versions(project, found.unknown)))


def export_command(options: argparse.Namespace) -> int:
    from tools.audit.export import export
    from tools.audit.trace import Project

    for path in export(Project(Path())):
        print(path.name)
    return 0


def page_command(options: argparse.Namespace) -> int:
    from stages.common.core.files import write_text
    from tools.audit.page import render
    from tools.audit.trace import Project

    write_text(options.output, render(Project(Path()), options.output))
    print(f"page: {options.output}")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except UserError as fault:
        sys.exit(f"lineage: {fault}")
    except BrokenPipeError:  # `| head`
        sys.exit(0)
