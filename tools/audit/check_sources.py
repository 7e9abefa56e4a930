"""What the pipeline starts from: licences of source files against params.yaml, and the SHA-256 of what is here.

The sample's source files are drawn and removed again, so that only a rerun of ingest shows their SHA-256.
"""

import hashlib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from stages.common.core.hashing import sha256
from stages.common.data.layout import PARAMS, PINS, RAW
from stages.common.data.tables import FILES, MANIFEST
from stages.ingest.dicom.pseudonyms import SAMPLE
from stages.ingest.file_access import FileAccess
from stages.ingest.problems import Unreadable
from tools.audit.check_pins import are_as_pinned
from tools.audit.findings import Check
from tools.audit.tables import read_table
from tools.audit.trace import Project
from tools.audit.yaml_files import settings_of


@dataclass(frozen=True)
class Member:
    """A file of a data set that may lie in an archive."""

    files: FileAccess
    name: str


Place = Path | str | Member  # of a file, or its SHA-256
FILES_CSV = str(RAW / FILES.name)


def check_licences(project: Project, check: Check) -> None:
    """The licence of each source file: that of its source in params.yaml."""
    files = read_table(project, check, RAW, FILES)
    if files is None or not check.whole(str(PARAMS)):
        return
    licences = source_licences(settings_of(project.root, "ingest"))
    for row in FILES.rows(files):
        if row["source"] not in licences:
            message = f"{PARAMS} has no source {row['source']!r}"
            check.add(f"{FILES_CSV}: {row['image_id']}/source", "mismatch", message)
        elif row["licence"] != licences[row["source"]]:
            message = f"{row['licence']!r} stands there, {PARAMS} has {licences[row['source']]!r}"
            check.add(f"{FILES_CSV}: {row['image_id']}/licence", "mismatch", message)


def check_keys(project: Project, check: Check) -> None:
    """Films that have pseudonyms of a key, and no names of files: those of hospitals, and no others; one key makes all
    pseudonyms, but for those of the sample, which has its own.
    """
    from stages.ingest.params import Sample

    manifest = read_table(project, check, RAW, MANIFEST)
    if manifest is None or not check.whole(str(PARAMS)):
        return
    entries = settings_of(project.root, "ingest").sources
    of_samples = {entry.names[1] for entry in entries if isinstance(entry, Sample)}
    hospitals = names_of_hospitals(entries) | of_samples
    rows = MANIFEST.rows(manifest)
    made_by = {row["image_id"]: row["key_id"] for row in rows if row["key_id"]}
    samples = {row["image_id"] for row in rows if row["source"] in of_samples}
    expected = Counter(key for image, key in made_by.items() if image not in samples).most_common(1)
    for image, key in made_by.items():
        right = SAMPLE.id if image in samples else expected[0][0]
        if key != right:
            message = f"{key!r:.40} stands there, and {right} made the pseudonyms of the others of its source"
            check.add(f"{RAW / MANIFEST.name}: {image}/key_id", "mismatch", message)
    for row in rows:
        if bool(row["key_id"]) != (row["source"] in hospitals):
            message = f"{row['source']} is {'a' if row['source'] in hospitals else 'no'} hospital's"
            check.add(f"{RAW / MANIFEST.name}: {row['image_id']}/key_id", "mismatch", message)


def check_sources(project: Project, check: Check) -> None:
    """The SHA-256 of each source file that the inbox holds or data/pins names; without the inbox, those of the pins."""
    from stages.ingest.params import Kaggle

    files = read_table(project, check, RAW, FILES)
    if files is None or not check.whole(str(PARAMS)):
        return
    settings = settings_of(project.root, "ingest")
    check_counts(check, files, settings)
    if not check.whole(settings.inbox, str(PINS)):
        return
    has_inbox = check.decided(settings.inbox)
    at_hand = [entry for entry in settings.sources if has_inbox or isinstance(entry, Kaggle)]
    pinned = [entry for entry in at_hand if are_as_pinned(project, check, entry, settings)]
    shown = [(entry, known_files(entry, settings, project.root)) for entry in pinned]
    named = {name for entry, known in shown if known is not None for name in entry.names}
    others = files[~files["source"].isin(named)]  # the sources of all others show whose they are
    for entry, known in shown:
        if known is None:
            continue
        own = files[files["source"].isin(entry.names)]
        of_rows = set(own["file"])
        unused = {hash_of(place): name for name, place in known.items() if name not in of_rows} if len(others) else {}
        for row in FILES.rows(others[others["sha256"].isin(unused)]):
            message = f"{row['source']} stands there; {unused[row['sha256']]} of {entry.names[0]} has the same SHA-256"
            check.add(f"{FILES_CSV}: {row['image_id']}/source", "mismatch", message)
        right = {name: hash_of(known.get(name)) for name in own["file"].unique()}
        place = "pinned" if isinstance(entry, Kaggle) else "here"
        for row in FILES.rows(own):
            found = right[row["file"]]
            if row["sha256"] != found:
                message = f"{row['sha256']} stands there, {found or 'no such file'} is {place}"
                check.add(f"{FILES_CSV}: {row['image_id']}/sha256", "mismatch", message)


def check_counts(check: Check, files: pd.DataFrame, settings: Any) -> None:
    """The number of the sample's films: what else stands there as synthetic is none.

    Args:
        check: gets the findings.
        files: of data/raw.
        settings: the section `ingest`.
    """
    from stages.ingest.params import Sample

    for entry in (entry for entry in settings.sources if isinstance(entry, Sample)):
        found = int((files["source"].isin(entry.names) & (files["role"] == "film")).sum())
        if found > entry.films:
            message = f"{found} films of {' and '.join(entry.names)}, and {PARAMS} asks for {entry.films}"
            check.add(f"{FILES_CSV}: source", "mismatch", message)


def hash_of(place: Place | None) -> str | None:
    """The SHA-256 of a file, of a member of an archive, or the pinned one; None for a member that cannot be read."""
    if isinstance(place, Path):
        return sha256(place)
    if not isinstance(place, Member):
        return place
    try:
        return hashlib.sha256(place.files.read(place.name)).hexdigest()
    except Unreadable:
        return None


def names_of_hospitals(entries: list[Any]) -> set[str]:
    """The names that ingest gives to hospitals among the sources of params.yaml."""
    from stages.ingest.params import Hospital

    return {name for entry in entries if isinstance(entry, Hospital) for name in entry.names}


def source_licences(settings: Any) -> dict[str, str]:
    """The licence of each source, by the name that ingest gives to the source."""
    return {name: entry.licence for entry in settings.sources for name in entry.names}


def known_files(entry: Any, settings: Any, root: Path) -> Mapping[str, Place] | None:
    """The files of a source as its tables call them, each with its place or its pinned SHA-256.

    None for the sample: no file of it is at hand under the name that the table has.

    Args:
        entry: of `ingest.sources`; the archives of `url` are here.
        settings: for the inbox and limits.
        root: of the project.
    """
    from stages.ingest.file_access import Folder, numbered, printable
    from stages.ingest.params import Hospital, InInbox, Kaggle, Url
    from stages.ingest.sources.folder import public_name
    from stages.ingest.sources.kaggle import read_pins
    from stages.ingest.sources.url import files_of

    if isinstance(entry, Kaggle):
        pins = read_pins(entry, root / PINS)
        return {f"{entry.label}/{printable(file)}": digest for file, digest in pins.items()}
    if isinstance(entry, Url):
        members = files_of(entry, root / settings.inbox, settings.limits)
        return {public_name(members, name): Member(members, name) for name in members.names()}
    if not isinstance(entry, InInbox):
        return None
    folder = entry.folder(root / settings.inbox)
    names = Folder(folder, settings.limits).all_names() if folder.is_dir() else []
    public = numbered(names) if isinstance(entry, Hospital) else {name: printable(name) for name in names}
    return {public[name]: folder / name for name in names}
