"""The one exception that a user is meant to read, and lists in its sentences."""

from collections.abc import Iterable, Sequence


class UserError(Exception):
    """A mistake in the data, the parameters or the machine that its user can fix.

    The message is one clear sentence or list: which file, what was expected, what was found, how to fix it.
    `run_stage` prints it without a traceback and exits with code 1.
    """


def first_few(names: Sequence[str], most: int = 6) -> str:
    """Many names in one line: the first of them, and how many there are beyond."""
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def error_list(heading: str, findings: Iterable[str], shown: int = 20) -> UserError:
    """One UserError for a whole batch of findings, so that a user fixes them in one go."""
    lines = list(findings)
    rest = [f"  ... and {len(lines) - shown} more"] if len(lines) > shown else []
    return UserError("\n".join([f"{heading} ({len(lines)}):", *(f"  - {line}" for line in lines[:shown]), *rest]))
