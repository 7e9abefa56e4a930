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


# What an error that no reader foresaw says of a file, by its type, the first that fits: the texts of libraries quote
# values of the file, and with them patients, and addresses in memory.
UNFORESEEN: tuple[tuple[type[Exception], str], ...] = (
    (MemoryError, "more than the free memory holds"),
    (RecursionError, "parts that are nested too deeply"),
    (UnicodeError, "text in another encoding than it should have"),
    (ArithmeticError, "a number too large, too small or undefined"),
    (LookupError, "a part that is missing"),
    (TypeError, "a value of another kind than belongs there"),
    (AttributeError, "a value of another kind than belongs there"),
    (ValueError, "a value that does not belong there"),
    (EOFError, "an end that comes too early"),
    (OSError, "an end that comes too early, or damage"),
)
EXPORT_AGAIN = "export it again, and report a fault of this software if other programs read it"


def in_words(error: Exception) -> str:
    """What is wrong with a file, as far as the type of an error tells that nobody foresaw."""
    return next((words for kind, words in UNFORESEEN if isinstance(error, kind)), "a fault that has no name here")


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
