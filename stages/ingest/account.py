"""The account of a source: every file that it holds, and what became of it."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from stages.ingest.types import FilmResult, SourcePlan

FILMS, LABELS, TABLES, REFUSED = "films", "label files", "tables", "refused"
COLUMNS = (FILMS, LABELS, TABLES, REFUSED)


@dataclass(frozen=True)
class Account:
    """Numbers of files of one source: by column, and of those left out by reason."""

    source: str
    columns: Counter[str] = field(default_factory=Counter)
    left_out: Counter[str] = field(default_factory=Counter)

    @property
    def seen(self) -> int:
        return self.columns.total() + self.left_out.total()

    @property
    def sentence(self) -> str:
        """The account in words, for the terminal."""
        parts = [f"{self.columns[column]} {column}" for column in COLUMNS]
        return f"{self.source}: {self.seen} files = {' + '.join(parts)} + {self.left_out.total()} left out"

    @property
    def reasons(self) -> list[str]:
        """A sentence for every reason why files were left out."""
        return [
            f"{self.source}: {count} file{'s' if count > 1 else ''} {reason}"
            for reason, count in sorted(self.left_out.items())
        ]


def account_for(plan: SourcePlan, results: Iterable[FilmResult]) -> Account:
    """What became of each file that `plan.files` lists; each is counted once.

    Args:
        plan: of one source, as it was before its films were read.
        results: of all films that were read, of any source, without those of withdrawn patients.
    """
    account = Account(plan.source)
    taken = {result.public_name for result in results if result.row and result.source == plan.source}
    read = {result.public_name for result in results if result.source == plan.source}
    refused = {refusal.file for refusal in plan.refusals} | (read - taken)
    planned = {film.public_name for film in plan.films}
    labels = {film.label_public_name for film in plan.films if film.public_name in taken} - {""}
    for name, use in plan.files.items():
        if name in taken:
            account.columns[FILMS] += 1
        elif name in labels:
            account.columns[LABELS] += 1
        elif name in refused:
            account.columns[REFUSED] += 1
        elif use == LABELS:
            account.left_out["with labels of films that are not taken"] += 1
        elif name in planned:
            account.left_out["of patients who withdrew"] += 1
        elif use == TABLES:
            account.columns[TABLES] += 1
        else:
            account.left_out[use] += 1
    return account
