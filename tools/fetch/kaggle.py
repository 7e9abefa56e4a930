"""Fetch the Kaggle data sets of params.yaml and pin every file by its SHA-256 in data/pins."""

from pathlib import Path

from stages.common.core.errors import UserError
from stages.ingest.params import Kaggle, Params
from stages.ingest.sources.kaggle import obtain, pin_file, statements, write_pins


def fetch_kaggle(settings: Params) -> int:
    """Fetch and pin all data sets of `ingest`; returns the number of files.

    Raises:
        UserError: params.yaml names no data set, or one cannot be fetched.
    """
    entries = [entry for entry in settings.sources if isinstance(entry, Kaggle)]
    if not entries:
        raise UserError("ingest.sources: expected a Kaggle data set, found none; see docs/how-to/kaggle.md")
    print("\n".join(statements(entries)), flush=True)
    files = 0
    for entry in entries:
        files += write_pins(entry, obtain(entry, Path(settings.inbox), settings.limits))
        print(f"pinned in {pin_file(entry)}", flush=True)
    return files
