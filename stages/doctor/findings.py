"""What a check says."""

from dataclasses import dataclass
from enum import Enum


class State(Enum):
    GOOD, WARN, BAD = range(3)


@dataclass(frozen=True)
class Finding:
    """what: was looked at. said: what was found and, where it is not good, the mend."""

    what: str
    state: State
    said: str
