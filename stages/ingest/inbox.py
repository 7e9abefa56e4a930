"""The files of the inbox while ingest runs, and the sentence by which others see whether it read all of them."""

import errno
from collections.abc import Mapping
from pathlib import Path

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
        UserError: a part of the inbox cannot be looked at.
    """
    inbox = root / settings.inbox
    if all(isinstance(entry, Sample) for entry in settings.sources) or not inbox.is_dir():
        return {}
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
