"""A hospital's export: any tree of DICOM files, with annotations beside them.

File and folder names of an export hold names and dates. Outside this module a film is known by a keyed pseudonym,
and in messages by its number in the list of the export's files, sorted by path as `find -type f | LC_ALL=C sort` does.
"""

from collections import defaultdict
from concurrent.futures import Executor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Literal

from pydicom.uid import MediaStorageDirectoryStorage

from stages.common.core.parallel import track
from stages.ingest.annotations.pairing import pair
from stages.ingest.dicom.pseudonyms import Key
from stages.ingest.dicom.read import HOW_TO_FIX, check_syntax, depth, is_dicom, multi, read_header
from stages.ingest.file_access import Folder
from stages.ingest.params import Hospital, Limits
from stages.ingest.problems import Problem, Refusal, Unreadable
from stages.ingest.types import SourceFilm, SourcePlan

ANNOTATIONS = (".xml", ".json", ".csv", ".txt", ".yaml", ".names")
NOT_DICOM = (
    *ANNOTATIONS,
    ".jpg",
    ".jpeg",
    ".png",
    ".html",
    ".htm",
    ".pdf",
    ".exe",
    ".inf",
    ".ini",
    ".css",
    ".js",
    ".zip",
)


@dataclass(frozen=True)
class HeaderFacts:
    """What a look at one file's header shows, in pseudonyms.

    reason: why it is refused, blank where it is not. references: the files that a DICOMDIR lists. depth: of a CT slice
    in its series, mm.
    """

    kind: Literal["film", "directory", "other", "refused"]
    reason: str = ""
    image_id: str = ""
    series: str = ""
    depth: float = 0.0
    references: list[str] = field(default_factory=list)


def hospital_films(folder: Path, source: str, entry: Hospital, limits: Limits, key: Key, pool: Executor) -> SourcePlan:
    """Every DICOM film below `folder`; of a CT series the middle slice, or all, as the entry says.

    Args:
        folder: of the export.
        source: its name in the manifest.
        entry: of params.yaml.
        limits: of sizes.
        key: makes the pseudonyms.
        pool: looks through the files.
    """
    files, plan = Folder(folder, limits), SourcePlan(key=key)
    names = files.names()
    public = {name: f"file {number} of the export (sorted by path)" for number, name in enumerate(names, start=1)}
    looks = track(pool, partial(look, folder, key, limits.file_mb), names, "look through the export")
    headers = dict(zip(names, looks, strict=True))
    films, refused = one_each(headers, public)
    problems = refused + incomplete_directories(headers)
    others = sum(1 for name in names if headers[name].kind == "other" and not name.lower().endswith(ANNOTATIONS))
    if others:
        plan.notes.append(f"{source}: {others} files that are neither DICOM nor annotations were left where they are")
    pairs = pair(files, films, entry)
    problems += [(file, problem.redacted()) for file, problem in pairs.problems]
    plan.refusals += [Refusal(source, public[name], problem) for name, problem in problems]
    chosen = films if entry.ct_slices == "all" else middle_slices(films, headers)
    if len(chosen) < len(films):
        plan.notes.append(
            f"{source}: {len(films) - len(chosen)} CT slices beside the middle of their series were left out "
            "(ct_slices in ingest.sources)"
        )
    for name in chosen:
        label_file = pairs.file_of.get(name, "")
        film = SourceFilm(
            image_id=headers[name].image_id,
            source=source,
            entry=entry,
            files=files,
            name=name,
            public_name=public[name],
            labels=pairs.labels.get(name),
            label_file=label_file,
            label_public_name=public.get(label_file, ""),
        )
        plan.films.append(film)
    return plan


def look(folder: Path, key: Key, most_mb: int, name: str) -> HeaderFacts:
    """Read one file's header, without its pixels.

    Args:
        folder: of the export.
        key: makes the pseudonyms.
        most_mb: MB; larger files are refused.
        name: of the file in that folder.
    """
    path = folder / name
    try:
        if path.stat().st_size > most_mb * 2**20:
            return HeaderFacts("refused", f"more than the {most_mb} MB of ingest.limits.file_mb")
        with path.open("rb") as file:
            head = file.read(65536)
    except OSError as error:  # whose text holds the path
        return HeaderFacts("refused", f"a file that cannot be read ({error.strerror})")
    suffix = PurePosixPath(name).suffix.lower()
    if not is_dicom(head):
        return HeaderFacts("other") if suffix in NOT_DICOM else HeaderFacts("refused", "no DICM after 128 bytes")
    try:
        check_syntax(head)
        header = read_header(path, pixels=False)
        if header.file_meta.get("MediaStorageSOPClassUID") == MediaStorageDirectoryStorage:
            records = header.get("DirectoryRecordSequence") or []
            paths = ["/".join(map(str, multi(record.get("ReferencedFileID")))) for record in records]
            return HeaderFacts("directory", references=[path for path in paths if path])
        film, series = str(header.get("SOPInstanceUID") or ""), str(header.get("SeriesInstanceUID") or "")
        if not film or not str(header.get("PatientID") or "").strip():
            return HeaderFacts("refused", "PatientID or SOPInstanceUID empty")
        image_id = f"h-{key.name('film', film)}"
        if header.get("Modality") != "CT":
            return HeaderFacts("film", image_id=image_id)
        series = key.name("series", series) if series else ""
        return HeaderFacts("film", image_id=image_id, series=series, depth=depth(header))
    except Unreadable as error:
        return HeaderFacts("refused", error.problem.actual)
    except Exception as error:  # pydicom raises a dozen types on damaged files
        return HeaderFacts("refused", f"{type(error).__name__} while reading its header")


def one_each(headers: dict[str, HeaderFacts], public: dict[str, str]) -> tuple[list[str], list[tuple[str, Problem]]]:
    """The films, each SOP instance once, and why other files are refused; by name."""
    first: dict[str, str] = {}
    problems = []
    for name, header in headers.items():
        reason = header.reason
        if header.kind == "film" and header.image_id in first:
            reason = f"the same SOPInstanceUID as {public[first[header.image_id]]}"
        elif header.kind == "film":
            first[header.image_id] = name
        if reason:
            problems.append((name, Problem("a DICOM film", reason, HOW_TO_FIX)))
    return list(first.values()), problems


def middle_slices(films: list[str], headers: dict[str, HeaderFacts]) -> list[str]:
    """The films without the CT slices beside the middle of their series."""
    series: dict[str, list[str]] = defaultdict(list)
    for name in films:
        series[headers[name].series or name].append(name)
    middle = {
        sorted(names, key=lambda name: (headers[name].depth, headers[name].image_id))[len(names) // 2]
        for names in series.values()
    }
    return [name for name in films if name in middle]


def incomplete_directories(headers: dict[str, HeaderFacts]) -> list[tuple[str, Problem]]:
    """The DICOMDIRs that list files which the export lacks: the copy is incomplete."""
    present = {name.casefold() for name in headers}
    problems = []
    for name, header in headers.items():
        root = PurePosixPath(name).parent
        missing = sum((root / path).as_posix().casefold() not in present for path in header.references)
        if missing:
            expected = f"the {len(header.references)} files that this DICOMDIR lists"
            problems.append((name, Problem(expected, f"{missing} missing", "copy the export again")))
    return problems
