"""Fetch the data sets of params.yaml and pin every file by its SHA-256 in data/pins."""

from pathlib import Path

from stages.common.core.errors import UserError
from stages.ingest.params import Kaggle, Params, Url
from stages.ingest.sources import kaggle, url
from stages.ingest.sources.presets import READY

UNCHECKED = (
    "its addresses and the layout of its archives come from public programs and could not be tried when this entry was "
    "written"
)


def fetch_kaggle(settings: Params) -> int:
    """Fetch and pin all Kaggle data sets of `ingest`; returns the number of files.

    Raises:
        UserError: params.yaml names no data set, or one cannot be fetched.
    """
    entries = [entry for entry in settings.sources if isinstance(entry, Kaggle)]
    if not entries:
        raise UserError("ingest.sources: expected a Kaggle data set, found none; see docs/how-to/kaggle.md")
    announce(entries)
    files = 0
    for entry in entries:
        files += kaggle.write_pins(entry, kaggle.obtain(entry, Path(settings.inbox), settings.limits))
        print(f"pinned in {kaggle.pin_file(entry)}", flush=True)
    return files


def fetch_urls(settings: Params) -> int:
    """Fetch and pin the files of all `url` entries of `ingest`; returns the number of files.

    Raises:
        UserError: params.yaml names no such entry, or a file cannot be fetched.
    """
    entries = [entry for entry in settings.sources if isinstance(entry, Url)]
    if not entries:
        raise UserError(
            "ingest.sources: expected an entry of the source url, found none; see docs/how-to/public-data.md"
        )
    announce(entries)
    for entry in entries:
        first = not url.pin_file(entry).exists()
        stated = {file.name for file in entry.files if file.sha256}
        pins = url.fetch_and_pin(entry, Path(settings.inbox), settings.limits)
        for name, pin in pins.items():
            known = "as its entry states" if name in stated else "which nothing confirms: the first fetch decides"
            verdict = known if first else "as pinned"
            print(f"{name}: {pin.bytes} bytes, SHA-256 {pin.sha256}, {verdict}", flush=True)
        print(f"pinned in {url.pin_file(entry)}", flush=True)
    return sum(len(entry.files) for entry in entries)


def announce(entries: list[Kaggle] | list[Url]) -> None:
    """Say what a person should know of the data sets before their first byte is fetched."""
    for entry in entries:
        print(f"{entry.title}, licence: {entry.licence}", flush=True)
        if isinstance(entry, Kaggle) and entry.warning:
            print(f"  warning: {entry.warning}", flush=True)
        if isinstance(entry, Url) and entry.name in READY:
            print(f"  {UNCHECKED}", flush=True)
