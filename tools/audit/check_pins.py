"""Pins: the tables of data/pins against params.yaml, and archives and encoders' weights that are here against them."""

import re
from typing import Any

import pandas as pd

from stages.common.core.errors import UserError
from stages.common.core.hashing import sha256
from stages.common.data.layout import PARAMS, PINS
from stages.common.data.tables import WEIGHT_PINS, WITHDRAWN
from stages.ingest.sources.pins import SHA256
from tools.audit.findings import Check
from tools.audit.recipes import encoder_file
from tools.audit.tables import compare_lists, read_table, without_path
from tools.audit.trace import Project
from tools.audit.yaml_files import settings_of

PIN = re.compile(r"README\.md|\.gitignore|withdrawn\.csv|weights\.csv|.+--v\d+\.(sha256|csv)")  # names in data/pins
WEIGHTS_CSV = str(PINS / WEIGHT_PINS.name)


def check_pins(project: Project, check: Check) -> None:
    """The tables of data/pins as the pipeline writes them: a cell over two lines, or a file twice, misleads readers."""
    from stages.ingest.params import Kaggle, Url
    from stages.ingest.sources import kaggle, url

    for path in sorted((project.root / PINS).iterdir() if (project.root / PINS).is_dir() else ()):
        if not path.is_file() or not PIN.fullmatch(path.name):
            check.add(str(PINS / path.name), "extra", "no stage reads it, or anything in it; remove it")
    if (project.root / PINS / WITHDRAWN.name).is_file():
        read_table(project, check, PINS, WITHDRAWN)
    if (project.root / WEIGHTS_CSV).is_file():
        check_weight_pins(check, read_table(project, check, PINS, WEIGHT_PINS))
    if not check.whole(str(PARAMS)):
        return
    for entry in settings_of(project.root, "ingest").sources:
        try:
            if isinstance(entry, Kaggle):
                kaggle.read_pins(entry, project.root / PINS)
            elif isinstance(entry, Url):
                url.require_addresses(entry, url.read_pins(entry, project.root / PINS), project.root / PINS)
        except UserError as error:
            file = kaggle.pin_file(entry) if isinstance(entry, Kaggle) else url.pin_file(entry)
            check.add(str(file), "mismatch", without_path(error, project.root / file))


def check_weight_pins(check: Check, pins: pd.DataFrame | None) -> None:
    """Each file once, in order, with a SHA-256, as `wrist fetch weights` writes them.

    Args:
        check: gets the findings.
        pins: the table; None where it was named.
    """
    if pins is None:
        return
    files = list(pins["file"])
    compare_lists(check, WEIGHTS_CSV, files, sorted(set(files)), "the pipeline")
    for row in WEIGHT_PINS.rows(pins):
        if not re.fullmatch(SHA256, row["sha256"]):
            check.add(f"{WEIGHTS_CSV}: {row['file']}/sha256", "mismatch", f"{row['sha256']!r:.80} is none")


def are_as_pinned(project: Project, check: Check, entry: Any, settings: Any) -> bool:
    """Whether the archives of a `url` source are here and have the size and SHA-256 of their pins; True for others.

    Args:
        project: has the pins, which are whole.
        check: gets a finding for each archive that is not.
        entry: of `ingest.sources`.
        settings: for the inbox.
    """
    from stages.ingest.params import Url
    from stages.ingest.sources import url

    if not isinstance(entry, Url):
        return True
    pins, folder = url.read_pins(entry, project.root / PINS), url.folder_of(entry, project.root / settings.inbox)
    names = [f"{entry.names[0]}: {file.name}" for file in entry.files]
    for name, file in zip(names, entry.files, strict=True):
        path = folder / file.name
        if not path.is_file():
            check.add(name, "unchecked", f"the file is not here; `{url.COMMAND}` fetches it")
            continue
        here, pinned = (path.stat().st_size, sha256(path)), (pins[file.name].bytes, pins[file.name].sha256)
        for found, stated in zip(here, pinned, strict=True):
            if found != stated:
                check.add(name, "mismatch", f"{found} is here, {url.pin_file(entry)} has {stated}")
    return check.decided(*names)


def check_encoders(project: Project, check: Check) -> None:
    """The pinned files that encoders start from; a training refuses others, and nobody else."""
    used = {encoder_file(stage) for stage in project.lock.stages.values()} - {""}
    table = read_table(project, check, PINS, WEIGHT_PINS) if used else None
    pins = {} if table is None else {row["file"]: row["sha256"] for row in WEIGHT_PINS.rows(table)}
    for file in sorted(used):
        path, pinned = project.root / file, pins.get(file)
        if pinned is None and table is not None:
            check.add(f"{WEIGHTS_CSV}: {file}", "missing", "an encoder starts from it; `wrist fetch weights` pins it")
        elif not path.is_file():
            check.add(file, "unchecked", "weights from which an encoder started, and not here; `wrist fetch weights`")
        elif table is not None and (found := sha256(path)) != pinned:
            check.add(file, "mismatch", f"{found} is here, {WEIGHTS_CSV} has {pinned}")
