"""The inbox against what ingest read: DVC records what is there when ingest has ended, also what came since."""

from stages.common.core.errors import UserError
from stages.common.data.layout import PARAMS, QUALITY
from tools.audit.findings import Check
from tools.audit.trace import Project
from tools.audit.yaml_files import settings_of


def check_inbox(project: Project, check: Check) -> None:
    """Name an inbox that is as dvc.lock has it, and that ingest did not read whole."""
    from stages.ingest.inbox import in_words, listing

    page = project.root / QUALITY
    if not check.whole(str(PARAMS), str(QUALITY)) or not page.is_file():
        return
    settings = settings_of(project.root, "ingest")
    if not check.decided(settings.inbox):
        return
    try:
        here = in_words(listing(settings, project.root))
    except UserError as error:
        check.add(settings.inbox, "unchecked", str(error))
        return
    if here and here not in page.read_text().split("\n"):
        fix = "`dvc repro --force ingest`, then `dvc repro`"
        check.add(settings.inbox, "mismatch", f"files came or went when ingest had read it; {fix}")
