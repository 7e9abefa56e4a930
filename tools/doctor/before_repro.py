"""What `dvc repro` meets before any stage runs, and of which it says too little: its record, and an inbox to hash."""

from pathlib import Path

from stages import read_params
from stages.common.core.errors import UserError
from stages.common.data.layout import PARAMS
from stages.ingest.inbox import inbox_faults, require_hashable
from stages.ingest.params import Params
from tools.audit.dvc_lock import LOCK, require_sound
from tools.doctor.findings import CheckResult, Severity


def require_ready() -> None:
    """Refuse what `dvc repro` would wait for, or end at without a sentence.

    Raises:
        UserError: dvc.lock is damaged, or DVC cannot hash the inbox.
    """
    require_sound(Path())
    require_hashable(Path(Params.model_validate(read_params(PARAMS)["ingest"]).inbox))


def lock() -> list[CheckResult]:
    """Whether dvc.lock can be read: a kill or a full disk may have cut it off, and DVC refuses every command then."""
    try:
        require_sound(Path())
    except UserError as error:
        return [CheckResult(LOCK, Severity.BAD, str(error).removeprefix(f"{LOCK}: "))]
    return []


def inbox(settings: Params) -> list[CheckResult]:
    """Whether DVC can hash the inbox."""
    return [CheckResult(settings.inbox, Severity.BAD, fault) for fault in inbox_faults(Path(settings.inbox))]
