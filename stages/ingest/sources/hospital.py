"""The door for a hospital's export: any tree of DICOM files, with annotations beside them.

File and folder names of an export hold names and dates. Outside this module a film is known by a keyed pseudonym,
and in messages by its place in the list of the export's files, sorted by path as `find -type f | LC_ALL=C sort` does.
"""

from collections import Counter, defaultdict
from concurrent.futures import Executor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path, PurePosixPath

from pydicom.uid import MediaStorageDirectoryStorage

from stages.common.core.parallel import track
from stages.ingest.annotations.pairing import match
from stages.ingest.dicom.pseudonyms import Key
from stages.ingest.dicom.read import check_syntax, depth, is_dicom, multi, read_header
from stages.ingest.file_access import Folder
from stages.ingest.params import Hospital, Limits
from stages.ingest.problems import Unreadable
from stages.ingest.types import Annotator, SourceFilm, SourcePlan

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
class Seen:
    """What a look at one file's header told, in pseudonyms."""

    kind: str  # film, directory, other, refused
    reason: str = ""
    image_id: str = ""
    series: str = ""
    depth: float = 0.0
    references: list[str] = field(default_factory=list)


def hospital_films(
    folder: Path, source: str, settings: Hospital, limits: Limits, key: Key, pool: Executor
) -> SourcePlan:
    """Every DICOM film below `folder`; of a CT series the middle slice, or all, as the params say."""
    bundle, plan = Folder(folder, limits), SourcePlan()
    names = bundle.names()
    told = {name: f"file {number} of the export (sorted by path)" for number, name in enumerate(names, start=1)}
    headers = track(pool, partial(look, folder, key, limits.file_mb), names, "look through the export")
    seen = dict(zip(names, headers, strict=True))
    films = one_each(seen, told, plan, source)
    check_directories(seen, plan, source, told)
    others = sum(1 for name in names if seen[name].kind == "other" and not name.lower().endswith(ANNOTATIONS))
    if others:
        plan.notes.append(f"{source}: {others} files that are neither DICOM nor annotations were left where they are")
    found = match(bundle, films, settings.annotations)
    plan.refused += [
        (source, told[file], problem.sentence(told[file], private=True)) for file, problem in found.problems
    ]
    how = Annotator(settings.annotations, settings.classes, settings.other_classes, settings.unlabelled)
    for name in chosen_slices(films, seen, settings, plan, source):
        label_file = found.file_of.get(name, "")
        film = SourceFilm(
            image_id=seen[name].image_id,
            source=source,
            licence=settings.licence,
            bundle=bundle,
            name=name,
            told=told[name],
            annotator=how,
            labels=found.labels.get(name),
            label_file=label_file,
            label_told=told.get(label_file, ""),
            hospital=True,
        )
        plan.films.append(film)
    return plan


def look(folder: Path, key: Key, most_mb: int, name: str) -> Seen:
    """Read one file's header, without its pixels."""
    path = folder / name
    try:
        if path.stat().st_size > most_mb * 2**20:
            return Seen("refused", f"more than the {most_mb} MB of ingest.limits.file_mb")
        with path.open("rb") as file:
            head = file.read(65536)
    except OSError as error:  # whose text holds the path
        return Seen("refused", f"a file that cannot be read ({error.strerror})")
    suffix = PurePosixPath(name).suffix.lower()
    if not is_dicom(head):
        return Seen("other") if suffix in NOT_DICOM else Seen("refused", "no DICM after 128 bytes")
    try:
        check_syntax(head)
        header = read_header(path, pixels=False)
        if header.file_meta.get("MediaStorageSOPClassUID") == MediaStorageDirectoryStorage:
            records = header.get("DirectoryRecordSequence") or []
            paths = ["/".join(map(str, multi(record.get("ReferencedFileID")))) for record in records]
            return Seen("directory", references=[path for path in paths if path])
        film, series = str(header.get("SOPInstanceUID") or ""), str(header.get("SeriesInstanceUID") or "")
        if not film or not str(header.get("PatientID") or "").strip():
            return Seen("refused", "PatientID or SOPInstanceUID empty")
        if header.get("Modality") != "CT":
            return Seen("film", image_id=f"h-{key.name('film', film)}")
        series = key.name("series", series) if series else ""
        return Seen("film", image_id=f"h-{key.name('film', film)}", series=series, depth=depth(header))
    except Unreadable as error:
        return Seen("refused", error.problem.found)
    except Exception as error:  # pydicom raises a dozen types on damaged files
        return Seen("refused", f"{type(error).__name__} while reading its header")


def one_each(seen: dict[str, Seen], told: dict[str, str], plan: SourcePlan, source: str) -> list[str]:
    """The films, each SOP instance once; the rest is refused with its reason."""
    first: dict[str, str] = {}
    for name, one in seen.items():
        reason = one.reason
        if one.kind == "film" and one.image_id in first:
            reason = f"the same SOPInstanceUID as {told[first[one.image_id]]}"
        elif one.kind == "film":
            first[one.image_id] = name
        if reason:
            sentence = f"{told[name]}: expected a DICOM film, found {reason}; export it again or leave it out"
            plan.refused.append((source, told[name], sentence))
    return list(first.values())


def chosen_slices(
    films: list[str], seen: dict[str, Seen], settings: Hospital, plan: SourcePlan, source: str
) -> list[str]:
    """All films, or of every CT series the middle slice only."""
    if settings.ct_slices == "all":
        return films
    series: dict[str, list[str]] = defaultdict(list)
    for name in films:
        series[seen[name].series or name].append(name)
    middle = {
        sorted(names, key=lambda name: (seen[name].depth, seen[name].image_id))[len(names) // 2]
        for names in series.values()
    }
    if len(films) > len(middle):
        plan.notes.append(
            f"{source}: {len(films) - len(middle)} CT slices beside the middle of their series were left out "
            "(ingest.hospital.ct_slices)"
        )
    return [name for name in films if name in middle]


def check_directories(seen: dict[str, Seen], plan: SourcePlan, source: str, told: dict[str, str]) -> None:
    """A DICOMDIR that lists files which the export lacks tells of an incomplete copy."""
    there = Counter(name.casefold() for name in seen)
    for name, one in seen.items():
        if one.kind != "directory":
            continue
        root = PurePosixPath(name).parent
        missing = sum(1 for path in one.references if (root / path).as_posix().casefold() not in there)
        if missing:
            expected = f"expected the {len(one.references)} files that this DICOMDIR lists, found {missing} missing"
            plan.refused.append((source, told[name], f"{told[name]}: {expected}; copy the export again"))
