"""What an audit finds, and how it is counted."""

from dataclasses import dataclass, field
from itertools import zip_longest


@dataclass(frozen=True, order=True)
class Discrepancy:
    """kind: extra, missing, mismatch, or unchecked (what cannot be checked here, which is no discrepancy)."""

    name: str
    kind: str
    message: str


@dataclass
class Check:
    """What was looked at, and what was found. rerun: how many stages ran again."""

    files: int = 0
    bytes: int = 0
    rerun: int = 0
    findings: list[Discrepancy] = field(default_factory=list)

    def add(self, name: str, kind: str, message: str) -> None:
        """Add a finding, unless one of that name is there: what follows from a named thing is not named again.

        What could not be checked hides no discrepancy.
        """
        named = [finding.kind for finding in self.findings if finding.name == name]
        if not named or (kind != "unchecked" and set(named) == {"unchecked"}):
            self.findings.append(Discrepancy(name, kind, message))

    def add_first_line(self, name: str, found: str, expected: str, writer: str) -> None:
        """Name the first line of a text that is not as its writer writes the same content.

        A program takes `None` in a table for a blank, 0.25000000000000000001 for 0.25, and `\\u0061` for a letter, and
        does not see a comment; a reader does not, and does.

        Args:
            name: of the file.
            found, expected: the text, and what its writer writes of what it reads there.
            writer: as a sentence calls it.
        """
        lines = zip_longest(found.split("\n"), expected.split("\n")) if found != expected else ()
        number = next((number for number, (one, other) in enumerate(lines, start=1) if one != other), 0)
        if number:
            self.add(f"{name}: line {number}", "mismatch", f"{writer} writes the same content in another form")

    def whole(self, *paths: str) -> bool:
        """Whether nothing was found in these files or folders, or about them (`path: what of it`)."""
        named = [finding.name for finding in self.wrong]
        return not any(name == path or name.startswith((f"{path}/", f"{path}: ")) for name in named for path in paths)

    def decided(self, *paths: str) -> bool:
        """Whether nothing was found about these files or folders, and none of them is left unchecked."""
        return self.whole(*paths) and not {finding.name for finding in self.unchecked} & set(paths)

    @property
    def wrong(self) -> list[Discrepancy]:
        """The discrepancies."""
        return [finding for finding in self.findings if finding.kind != "unchecked"]

    @property
    def unchecked(self) -> list[Discrepancy]:
        """What could not be checked here."""
        return [finding for finding in self.findings if finding.kind == "unchecked"]

    @property
    def exit_code(self) -> int:
        """0: all that was asked for is as it should be. 1: a discrepancy. 3: none, but something is unchecked."""
        return 1 if self.wrong else 3 if self.unchecked else 0
