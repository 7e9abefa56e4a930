"""The files of the inbox while ingest runs, and the sentence by which others see whether it read all of them."""

import errno
import os
import shlex
import stat
from collections.abc import Mapping
from pathlib import Path

from stages.common.core.errors import error_list
from stages.ingest.file_access import Folder
from stages.ingest.params import Params, Sample

GONE = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)  # a link to nothing, or a file that was removed
Listing = Mapping[str, tuple[int, int]]


def listing(settings: Params, root: Path = Path()) -> Listing:
    """Size in bytes and time in ns of the last change of every file of the inbox; nothing where no source reads it.

    Args:
        settings: name the inbox and the sources.
        root: of the project, from which a relative inbox counts.
    Raises:
        UserError: a part of the inbox cannot be looked at, or DVC cannot hash it.
    """
    inbox = root / settings.inbox
    if all(isinstance(entry, Sample) for entry in settings.sources) or not inbox.is_dir():
        return {}
    require_hashable(inbox)
    files = Folder(inbox, settings.limits)
    found = {}
    for name in files.names():
        try:
            facts = (inbox / name).stat()
        except OSError as error:
            if error.errno not in GONE:
                files.refuse(error)
        else:
            found[name] = (facts.st_size, facts.st_mtime_ns)
    return found


def in_words(found: Listing) -> str:
    """How much the inbox holds; blank for one that no source reads.

    DVC hashes the inbox when ingest has ended, also a film that came since, and would never read it. So the page of
    data quality says what ingest had, and `wrist audit verify` compares.
    """
    return f"The inbox had {len(found)} files of {sum(size for size, _ in found.values())} bytes." if found else ""


def require_hashable(inbox: Path) -> None:
    """Refuse what DVC could not hash when the stage has ended: it would wait for ever, or name no file.

    Raises:
        UserError: there are such files.
    """
    if faults := inbox_faults(inbox):
        raise error_list(f"{inbox}: expected files that DVC can hash, found others", faults)


def inbox_faults(folder: Path) -> list[str]:
    """What DVC cannot hash: a sentence for each kind, with the command that lists them. Names may be patients'."""
    pipes, names = 0, 0
    for place, folders, files in os.walk(folder):
        names += sum(not is_utf8(name) for name in (*folders, *files))
        pipes += sum(is_special(Path(place, name)) for name in files)
    found, quoted = [], shlex.quote(str(folder))
    if pipes:
        found.append(
            f"pipes, sockets or devices, or links to such ({pipes}), at which DVC waits for ever; "
            f"`find -L {quoted} ! -type f ! -type d` lists them, remove them"
        )
    if names:
        found.append(
            f"names that are no UTF-8 ({names}), which DVC cannot record; "
            f"`find {quoted} | LC_ALL=C.UTF-8 grep -axv '.*'` lists them, rename them"
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
