"""What is wrong with a file: the one form in which ingest refuses anything."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong with one file: what was expected, what was found, how to fix it."""

    expected: str
    found: str
    fix: str
    line: int = 0

    def sentence(self, name: str, private: bool = False) -> str:
        """The problem of the file `name`; `private` leaves out what was found, since it may be a patient's."""
        place = f"{name}, line {self.line}" if self.line else name
        found = "something else" if private else self.found
        return f"{place}: expected {self.expected}, found {found}; {self.fix}"


class Unreadable(Exception):
    """A file that cannot be read as what it should be."""

    def __init__(self, expected: str, found: str, fix: str, line: int = 0) -> None:
        super().__init__(expected)
        self.problem = Problem(expected, found, fix, line)
