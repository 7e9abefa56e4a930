"""What a check says."""

from dataclasses import dataclass
from enum import Enum


class Severity(Enum):
    GOOD, WARN, BAD = range(3)


@dataclass(frozen=True)
class CheckResult:
    """what: was looked at. message: what was found and, where it is not good, the fix."""

    what: str
    state: Severity
    message: str
