"""What `make repro` prints once DVC has run."""

import sys
from pathlib import Path

from stages.common.core.errors import UserError
from stages.common.data.layout import AUDIT_PAGE, COMPARISON_MD, PAGE


def print_report() -> None:
    """The comparison of the last run, and where the page of the report lies.

    Raises:
        UserError: there is none.
    """
    if not (COMPARISON_MD.is_file() and PAGE.is_file()):
        raise UserError(f"{COMPARISON_MD}: there is no report yet; run `make repro` or `dvc repro`")
    print(f"{COMPARISON_MD.read_text()}The page: {PAGE.resolve()}")


def print_report_with_lineage() -> None:
    """Write the page of lineage, print the report, and say whether outputs have the bytes of the last commit, and
    whether films came that nobody read.

    In one process, which loads its libraries and reads the records once. Neither is a failure.

    Raises:
        UserError: there is no report, or a table cannot be read.
    """
    from tools.audit.actions import compare_outputs, write_page  # which a report alone does not need
    from tools.audit.check_inbox import check_inbox
    from tools.audit.findings import Check
    from tools.audit.trace import Project

    project = Project(Path())
    write_page(AUDIT_PAGE, project)
    print()
    print_report()
    try:
        compare_outputs("HEAD", project)
    except UserError as error:  # as where no commit has outputs
        print(f"wrist: {error}", file=sys.stderr)
    check_inbox(project, check := Check())
    for finding in check.wrong:
        print(f"wrist: {finding.name}: {finding.message}", file=sys.stderr)
