"""Tables of this project that choose films of a public data set, and give their groups and sides of a split.

fracatlas_wrist.csv: the 171 wrists with a fracture of FracAtlas and 25 without, from Abedeen et al., FracAtlas,
Scientific Data 10, 521, 2023, doi 10.6084/m9.figshare.22363012, CC BY 4.0. The data set names neither wrists nor
patients. The region was judged by eye, not by a radiologist. A group joins runs of neighbouring numbers and films that
were seen to recur. Whole groups stand on a side: 120 films train, 40 test, 11 spare. Films without a fracture have
neither group nor side. sha256 is that of the film as the data set ships it.
"""

import csv
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from stages.common.core.errors import UserError, first_few
from stages.ingest.params import Subset

TABLE = Path(__file__).with_name("fracatlas_wrist.csv")


@dataclass(frozen=True)
class ChosenFilm:
    """What the table says of a film; group and split are blank where it does not say."""

    group: str
    split: str
    sha256: str


def read_subset(subset: Subset, pictures: Iterable[str]) -> dict[str, ChosenFilm]:
    """The films of a source that a subset chooses, by their names in the source.

    Args:
        subset: of an entry of params.yaml, not `all`.
        pictures: names of those that can be films.
    Raises:
        UserError: films of the subset are missing.
    """
    with TABLE.open() as text:
        rows = list(csv.DictReader(text))
    wanted = [row for row in rows if row["fracture"] == "1" or subset == "fracatlas_wrist_with_normals"]
    named = {PurePosixPath(name).name: name for name in pictures}
    if missing := [row["film"] for row in wanted if row["film"] not in named]:
        raise UserError(
            f"subset {subset}: expected its {len(wanted)} films, found {len(wanted) - len(missing)} (missing: "
            f"{first_few(missing)}); take all films of FracAtlas under their own names, or leave `subset` out"
        )
    return {named[row["film"]]: ChosenFilm(row["group"], row["split"], row["sha256"]) for row in wanted}
