"""The source files of films: their licence against params.yaml, and their SHA-256 against what is here.

The sample's source files are drawn and removed again, so that only a rerun of ingest shows their SHA-256.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from stages import read_params, section_model
from stages.common.core.hashing import sha256
from stages.common.data.layout import PARAMS, PINS, RAW
from stages.common.data.tables import FILES
from tools.audit.findings import Check
from tools.audit.tables import read_table
from tools.audit.trace import Project

FILES_CSV = str(RAW / FILES.name)


def check_licences(project: Project, check: Check) -> None:
    """The licence of each source file: that of its source in params.yaml."""
    files = read_table(project, check, RAW, FILES)
    if files is None or not check.whole(str(PARAMS)):
        return
    licences = source_licences(ingest_settings(project.root))
    for row in FILES.rows(files):
        if row["source"] not in licences:
            message = f"{PARAMS} has no source {row['source']!r}"
            check.add(f"{FILES_CSV}: {row['image_id']}/source", "mismatch", message)
        elif row["licence"] != licences[row["source"]]:
            message = f"{row['licence']!r} stands there, {PARAMS} has {licences[row['source']]!r}"
            check.add(f"{FILES_CSV}: {row['image_id']}/licence", "mismatch", message)


def check_sources(project: Project, check: Check) -> None:
    """The SHA-256 of each source file that the inbox holds or data/pins names."""
    files = read_table(project, check, RAW, FILES)
    if files is None or not check.whole(str(PARAMS)):
        return
    settings = ingest_settings(project.root)
    if not check.whole(settings.inbox):
        return
    for entry in settings.sources:
        for name, paths_or_hashes in known_files(entry, settings, project.root).items():
            for row in FILES.rows(files[files["source"] == name]):
                known = paths_or_hashes.get(row["file"])
                found = sha256(known) if isinstance(known, Path) else known
                if row["sha256"] != found:
                    message = f"{row['sha256']} stands there, {found or 'no such file'} is here"
                    check.add(f"{FILES_CSV}: {row['image_id']}/sha256", "mismatch", message)


def ingest_settings(root: Path) -> Any:
    """The section `ingest` of params.yaml.

    Raises:
        UserError: params.yaml cannot be used.
    """
    return section_model("ingest").model_validate(read_params(root / PARAMS)["ingest"])


def source_licences(settings: Any) -> dict[str, str]:
    """The licence of each source, by the name that ingest gives to the source."""
    from stages.ingest.main import SYNTHETIC
    from stages.ingest.params import Sample

    return {
        name: SYNTHETIC if isinstance(entry, Sample) else entry.licence
        for entry in settings.sources
        for name in source_names(entry)
    }


def source_names(entry: Any) -> Iterator[str]:
    """What ingest calls an entry of `ingest.sources` in its tables."""
    from stages.ingest.params import Kaggle, Sample, Url

    if isinstance(entry, Sample):
        yield from ("sample-kaggle", "sample-hospital")
    elif isinstance(entry, Kaggle):
        yield f"kaggle {entry.handle} v{entry.version}"
    elif isinstance(entry, Url):
        yield f"url {entry.name} v{entry.version}"
    else:
        yield entry.source


def known_files(entry: Any, settings: Any, root: Path) -> dict[str, dict[str, Path | str]]:
    """The files of a source as its tables call them, each with its path or its pinned SHA-256, by the source's name.

    Args:
        entry: of `ingest.sources`.
        settings: for the inbox and limits.
        root: of the project.
    """
    from stages.ingest.file_access import Folder, printable
    from stages.ingest.params import Folder as FolderSource
    from stages.ingest.params import Hospital, Kaggle
    from stages.ingest.sources.kaggle import read_pins

    if isinstance(entry, Kaggle):
        pins = read_pins(entry, root / PINS)
        label = f"{entry.handle}/v{entry.version}"
        return {
            name: {f"{label}/{printable(file)}": digest for file, digest in pins.items()}
            for name in source_names(entry)
        }
    if not isinstance(entry, FolderSource | Hospital):
        return {}
    names = Folder(root / settings.inbox, settings.limits).all_names()
    public = [
        printable(name) if isinstance(entry, FolderSource) else f"file {number} of the export (sorted by path)"
        for number, name in enumerate(names, start=1)
    ]
    paths = [root / settings.inbox / name for name in names]
    here: dict[str, Path | str] = dict(zip(public, paths, strict=True))
    return dict.fromkeys(source_names(entry), here)
