"""Documents that commands of the audit wrote, made anew: DVC keeps no hash of them, and people believe them."""

import re
from collections.abc import Callable

from stages.common.core.errors import UserError
from stages.common.data.layout import AUDIT_PAGE
from tools.audit.findings import Check
from tools.audit.render import SHORT
from tools.audit.trace import Project

EXPORTS = ("ro-crate-metadata.json", "prov.json", "croissant.json", "bom.json")
DOCUMENTS = (str(AUDIT_PAGE), *EXPORTS)
COMMIT = re.compile(rb"<code>(?:[0-9a-f]{%d}|not committed)</code>" % SHORT)
ANY = b"<code>a commit</code>"  # in the place of each, so that none can be added


def check_page(project: Project, check: Check) -> None:
    """The page of lineage, without the commits that it names: `make repro` writes it before its outputs have one."""

    def made_anew() -> str:
        from tools.audit.page import render

        return render(project, project.root / AUDIT_PAGE)

    compare_document(project, check, str(AUDIT_PAGE), made_anew, "page")


def check_exports(project: Project, check: Check) -> None:
    """What `wrist audit export` wrote; its libraries take seconds, and are loaded where there is something of it."""
    for name in EXPORTS:

        def made_anew(name: str = name) -> str:
            from tools.audit.export import WRITERS

            return WRITERS[name][0](project)

        compare_document(project, check, name, made_anew, "export")


def compare_document(project: Project, check: Check, path: str, made_anew: Callable[[], str], command: str) -> None:
    """A document, where there is one, against what its command writes now.

    Args:
        project: whose document is read.
        check: gets the finding.
        path: of the document.
        made_anew: writes it.
        command: of `wrist audit`.
    """
    file = project.root / path
    if not (file.exists() or file.is_symlink()):
        return
    try:
        expected = made_anew().encode(errors="backslashreplace")  # as it is written
    except UserError as error:
        check.add(path, "unchecked", f"it cannot be made anew here: {error}")
        return
    if not file.is_file() or COMMIT.sub(ANY, file.read_bytes()) != COMMIT.sub(ANY, expected):
        check.add(path, "mismatch", f"`wrist audit {command}` writes something else now; run it again, or remove it")
