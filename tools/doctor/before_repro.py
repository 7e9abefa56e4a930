"""What `dvc repro` meets before any stage runs, and of which it says too little: its record, and an inbox to hash."""

import os
import stat
from pathlib import Path

from stages import read_params
from stages.common.core.errors import UserError, error_list
from stages.common.data.layout import PARAMS
from stages.ingest.params import Params
from tools.audit.dvc_lock import LOCK, require_sound
from tools.doctor.findings import CheckResult, Severity


def require_ready() -> None:
    """Refuse what `dvc repro` would wait for, or end at without a sentence.

    Raises:
        UserError: dvc.lock is damaged, or DVC cannot hash the inbox.
    """
    require_sound(Path())
    inbox = Path(Params.model_validate(read_params(PARAMS)["ingest"]).inbox)
    if faults := inbox_faults(inbox):
        raise error_list(f"{inbox}: expected files that DVC can hash, found others", faults)


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


def inbox_faults(folder: Path) -> list[str]:
    """What DVC cannot hash: a sentence for each kind, with the command that lists them. Names may be patients'."""
    pipes, names = 0, 0
    for place, folders, files in os.walk(folder):
        names += sum(not is_utf8(name) for name in (*folders, *files))
        pipes += sum(is_special(Path(place, name)) for name in files)
    found = []
    if pipes:
        found.append(
            f"{pipes} pipes, sockets or devices, or links to such, at which DVC waits for ever; "
            f"`find -L {folder} ! -type f ! -type d` lists them, remove them"
        )
    if names:
        found.append(
            f"{names} names that are no UTF-8, which DVC cannot record; "
            f"`find {folder} | LC_ALL=C.UTF-8 grep -axv '.*'` lists them, rename them"
        )
    return found


def is_utf8(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def is_special(path: Path) -> bool:
    """Whether a path leads to what is there and is neither a file nor a folder."""
    try:
        mode = path.stat().st_mode
    except OSError:  # a link to nothing, which the stage refuses
        return False
    return not stat.S_ISREG(mode) and not stat.S_ISDIR(mode)
