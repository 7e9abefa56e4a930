"""What lies below a folder, and what nobody can look into: pathlib passes over such folders without a word."""

import os
import re
from fnmatch import translate
from pathlib import Path

from stages.common.core.errors import error_list

HALF_WRITTEN = ".*-partial-*"  # by a program that was killed, as .dvcignore has it
PARTIAL = re.compile(translate(HALF_WRITTEN))


def look_below(folder: Path) -> tuple[list[Path], list[Path]]:
    """Everything below a folder, and the folders that cannot be opened, both sorted; links are not followed."""
    found, closed = list[Path](), set[Path]()

    def note(error: OSError) -> None:
        if not isinstance(error, FileNotFoundError | NotADirectoryError):  # gone by now, or never there
            closed.add(Path(error.filename))

    for place, folders, files in os.walk(folder, onerror=note):
        found += (Path(place, name) for name in (*folders, *files))
        if not os.access(place, os.X_OK) and Path(place).exists():  # it lists files, and none can be opened
            closed.add(Path(place))
    return sorted(found), sorted(closed)


def all_below(folder: Path) -> list[Path]:
    """Everything below a folder, sorted.

    Raises:
        UserError: not all of it can be seen.
    """
    found, closed = look_below(folder)
    if closed:
        raise error_list("expected folders that can be opened, found these; make them readable", map(str, closed))
    return found
