"""The CSV tables of the pipeline; `rows` has the columns of each."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Generic, TypeVar, cast, get_type_hints

import pandas as pd

from stages.common.core.errors import UserError, first_few
from stages.common.core.files import need, write_text
from stages.common.data.layout import IMAGES, fold_columns
from stages.common.data.rows import (
    SAMPLE_SOURCES,
    AnnotationRow,
    ClaimRow,
    ComparisonRow,
    EpochRow,
    FileRow,
    FilmScores,
    FrocRow,
    ImageLevelRow,
    LegendRow,
    LevelsRow,
    ManifestRow,
    PairedRow,
    PaperAuditRow,
    PatientRow,
    PixelScores,
    PrecisionRecallRow,
    PreparedRow,
    QuarantineRow,
    RankingRow,
    ReliabilityRow,
    SplitRow,
    SubgroupRow,
    TrainedRow,
    WeightPinRow,
    WithdrawnRow,
)

Row = TypeVar("Row", bound=Mapping[str, object])
DTYPES = {int: "int64", float: "float64", bool: "bool"}
HOW_TO_FIX = "bring the file back with `dvc checkout --force`, or run `dvc repro`"


def table_text(table: pd.DataFrame) -> str:
    """CSV with `\\n` line ends and the shortest decimal that reads back as the same float."""
    return table.to_csv(index=False, lineterminator="\n")


def write_table(path: Path, table: pd.DataFrame) -> None:
    """Write `table_text`."""
    write_text(path, table_text(table))


def no_further_columns(names: Sequence[str]) -> dict[str, list[str]]:
    return {}


def further_folds(names: Sequence[str]) -> dict[str, list[str]]:
    """Folds from the second on stand behind the first."""
    return {"split": [column for fold, column in fold_columns(names).items() if fold > 1]}


def terms_of_the_loss(names: Sequence[str]) -> dict[str, list[str]]:
    """Each term of the loss, such as train_dice_loss, stands behind the whole."""
    return {
        whole: [name for name in names if name.startswith(f"{side}_") and name.endswith("_loss") and name != whole]
        for side, whole in (("train", "train_loss"), ("validation", "validation_loss"))
    }


@dataclass(frozen=True)
class Table(Generic[Row]):
    """A CSV file of that name in some folder; its columns are the keys of `row`.

    further: columns beside these, of which there can be any number, by the column behind which they stand.
    """

    name: str
    row: type[Row]
    further: Callable[[Sequence[str]], dict[str, list[str]]] = no_further_columns

    @property
    def columns(self) -> dict[str, str]:
        """The pandas dtype of each column, in the order of the file."""
        return {name: DTYPES.get(kind, "str") for name, kind in get_type_hints(self.row).items()}

    def named(self, name: str) -> "Table[Row]":
        """A table of the same columns under another name."""
        return replace(self, name=name)

    def read(self, folder: Path) -> pd.DataFrame:
        """The table in a folder.

        Raises:
            UserError: it is not there, or not this table.
        """
        return self.parse(need(folder / self.name))

    def parse(self, source: Path | IO[str]) -> pd.DataFrame:
        """The table in a file, of whatever name, or in an open file.

        Raises:
            UserError: it lacks a column, or its cells are not of their types.
        """
        what = source if isinstance(source, Path) else self.name
        try:
            table = self.cells(source)
        except (ValueError, OverflowError):  # of pandas, whose texts hold cells; an int may be of 400 digits
            table = None
        if table is None or not isinstance(table.index, pd.RangeIndex):  # rows that are longer than the header
            raise UserError(f"{what}: expected a table with cells of the pipeline's types, found another; {HOW_TO_FIX}")
        if any(str(name).endswith("\r") for name in table):
            raise UserError(
                f"{what}: expected lines that end as on Unix, found the ends of Windows, as a spreadsheet or an old "
                f"setting of git writes them; {HOW_TO_FIX}"
            )
        if lacking := [name for name in self.columns if name not in table]:
            raise UserError(
                f"{what}: expected the columns {', '.join(lacking)}, found none of these names; {HOW_TO_FIX}"
            )
        text = [name for name, dtype in self.columns.items() if dtype == "str"]
        return table.fillna(dict.fromkeys(text, ""))

    def read_films(self, folder: Path, pictures: str = IMAGES) -> pd.DataFrame:
        """The table in a folder, whose rows are the films that have a picture in its folder `pictures`.

        Raises:
            UserError: it is not there, not this table, or has not one row for each picture.
        """
        films = self.read(folder)
        require_films(folder / self.name, films["image_id"], pictures_in(folder / pictures))
        return films

    def cells(self, source: Path | IO[str]) -> pd.DataFrame:
        """The cells of a file, NaN where they are blank: a film may be called NA or null, or have a \\r in its name.

        Raises:
            ValueError, OverflowError: they are not of the table's types.
        """
        return pd.read_csv(source, dtype=self.columns, keep_default_na=False, na_values=[""], lineterminator="\n")

    def rows(self, table: pd.DataFrame) -> list[Row]:
        """The rows of a table that `read` gave."""
        return cast("list[Row]", table.to_dict("records"))

    def frame(self, rows: Sequence[Row]) -> pd.DataFrame:
        """Rows, also none at all, as a table."""
        return pd.DataFrame(rows, columns=list(self.columns))

    def write(self, folder: Path, table: pd.DataFrame) -> None:
        """Write a table into a folder, its columns in their order.

        Raises:
            ValueError: it lacks a column, or has one more.
        """
        further = self.further([str(name) for name in table])
        expected = [name for column in self.columns for name in (column, *further.get(column, ()))]
        if set(expected) != set(table):
            raise ValueError(
                f"{self.name}: expected the columns {', '.join(expected)}, found {', '.join(map(str, table))}"
            )
        write_table(folder / self.name, table[expected])


def pictures_in(folder: Path) -> list[str]:
    """The image_id of each picture in a folder."""
    return [path.name.removesuffix(".png") for path in folder.glob("*.png")]


def require_films(table: Path, listed: Iterable[str], films: Iterable[str]) -> None:
    """Refuse a table that was cut or exchanged.

    Args:
        table: its file.
        listed: the image_id of each of its rows.
        films: the image_id of each film that it must have, such as those with a picture beside it.
    Raises:
        UserError: they are not the same, each once.
    """
    rows, expected = Counter(list(listed)), Counter(list(films))
    if rows != expected:
        differ = sorted((rows - expected) + (expected - rows))
        raise UserError(
            f"{table}: expected one row for each of {expected.total()} films, found {rows.total()}; they differ in "
            f"{first_few(differ)}; {HOW_TO_FIX}"
        )


# data/pins
WEIGHT_PINS = Table("weights.csv", WeightPinRow)

# data/raw
MANIFEST = Table("manifest.csv", ManifestRow)
ANNOTATIONS = Table("annotations.csv", AnnotationRow)
FILES = Table("files.csv", FileRow)
QUARANTINE = Table("quarantine.csv", QuarantineRow)
WITHDRAWN = Table("withdrawn.csv", WithdrawnRow)  # also in data/pins
# data/preprocessed, data/levels, data/dataset
PREPARED = Table("index.csv", PreparedRow)
THRESHOLDS = Table("index.csv", LevelsRow)
LEGEND = Table("legend.csv", LegendRow)
SPLIT = Table("split.csv", SplitRow, further_folds)
# of a training
HISTORY = Table("history.csv", EpochRow, terms_of_the_loss)
VALIDATION_SCORES = Table("validation.csv", PixelScores)
# of an evaluation
PER_IMAGE = Table("per_image.csv", FilmScores)
PRECISION_RECALL = Table("precision_recall.csv", PrecisionRecallRow)
FROC = Table("froc.csv", FrocRow)
RELIABILITY = Table("reliability.csv", ReliabilityRow)
# reports
COMPARISON = Table("comparison.csv", ComparisonRow)
IMAGE_LEVEL = Table("image_level.csv", ImageLevelRow)
STATISTICS = Table("statistics.csv", PairedRow)
SUBGROUPS = Table("subgroups.csv", SubgroupRow)
PATIENTS = Table("patients.csv", PatientRow)
RANKING = Table("ranking.csv", RankingRow)
RUNS = Table("runs.csv", TrainedRow)
CLAIMS = Table("claims.csv", ClaimRow)
PAPER_AUDIT = Table("paper_audit.csv", PaperAuditRow)


def is_synthetic(films: pd.DataFrame) -> pd.Series:
    """Which films are the embedded sample's, by their column source."""
    return films["source"].isin(SAMPLE_SOURCES)
