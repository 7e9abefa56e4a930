"""What is wrong with a source file, and the one record of its refusal."""

from dataclasses import dataclass, replace

from stages.common.data.rows import QuarantineRow


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong with a file.

    expected: blank where `actual` says it all. actual: what is there instead. public: stands for `actual` where that
    may be a patient's. line: of the file, from 1; 0 for none.
    """

    expected: str
    actual: str
    fix: str
    line: int = 0
    public: str = "something else"

    def redacted(self) -> "Problem":
        """This problem without anything that the file holds."""
        return replace(self, actual=self.public)

    @property
    def words(self) -> str:
        """This problem without its file."""
        what = f"expected {self.expected}, found {self.actual}" if self.expected else self.actual
        return f"{what}; {self.fix}"

    def sentence(self, file: str) -> str:
        """This problem of a file of that name, in words."""
        where = f"{file}, line {self.line}" if self.line else file
        return f"{where}: {self.words}"


class Wrong(ValueError):
    """What is wrong with a part of a file, in words for its user; where it stands, the reader of the file adds."""


class Unreadable(Exception):
    """A file that cannot be read as what it should be."""

    def __init__(self, expected: str, actual: str, fix: str, line: int = 0) -> None:
        super().__init__(expected)
        self.problem = Problem(expected, actual, fix, line)


@dataclass(frozen=True)
class Refusal:
    """A reason why a source file is not used, from wherever that shows to quarantine.csv and the quality page.

    source: as in the manifest. file: its public name. sha256: blank where the file was not read whole. cause: the
    public name of the file that has the problem, where that is another, such as the film's annotations.
    """

    source: str
    file: str
    problem: Problem
    sha256: str = ""
    cause: str = ""

    @property
    def reason(self) -> str:
        return self.problem.sentence(self.cause or self.file)

    @property
    def row(self) -> QuarantineRow:
        return {"source": self.source, "file": self.file, "sha256": self.sha256, "reason": self.reason}
