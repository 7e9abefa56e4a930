"""A file that a command of the audit writes where it is told to: only what such a command wrote before is replaced."""

import json
from collections.abc import Callable
from glob import escape
from pathlib import Path
from typing import Any

from stages.common.core.errors import UserError


def require_own_output(path: Path, is_own: Callable[[bytes], bool]) -> None:
    """Refuse to write over a file of others, and remove what killed calls left of theirs beside it.

    Args:
        path: of the file that is to be written.
        is_own: whether a content is one that this command writes.
    Raises:
        UserError: there is something else.
    """
    if (path.exists() or path.is_symlink()) and not (path.is_file() and is_own(path.read_bytes())):
        raise UserError(
            f"{path}: expected a new file or one of this command's, found another, which would be replaced; move it "
            "elsewhere"
        )
    for left in path.parent.glob(f".{escape(path.name)}-partial-*"):
        left.unlink()


def json_of(content: bytes) -> dict[str, Any]:
    """A JSON object; without any key where a content is none."""
    try:
        document = json.loads(content)
    except (ValueError, RecursionError):
        return {}
    return document if isinstance(document, dict) else {}
