"""A table of the split for films that a test makes up."""

from pathlib import Path

import pandas as pd

from stages.common.data.tables import SPLIT

DEFAULTS = {"source": "sample", "modality": "CR", "fracture": True, "prevalence": 0.1}


def write_split(folder: Path, films: pd.DataFrame) -> None:
    """Write split.csv into a folder.

    Args:
        films: image_id, split and what else matters. Each film has a patient of its own; other columns are the same.
    """
    table = films.assign(patient_id=films["image_id"], group=films["image_id"])
    absent = {name: DEFAULTS.get(name) for name in SPLIT.columns if name not in table}
    SPLIT.write(folder, table.assign(**absent))
