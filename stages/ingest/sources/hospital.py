"""A hospital's export: any tree of DICOM files, with annotations beside them.

File and folder names of an export hold names and dates. Outside this module a film is known by a keyed pseudonym,
and in messages by its number in the list of the export's files, sorted by path; `wrist audit original` leads back.
Where headers state no PatientID, tables may (`film_tables`).
"""

import warnings
from codecs import getincrementaldecoder
from collections import defaultdict
from concurrent.futures import Executor
from dataclasses import dataclass, field
from functools import partial
from mimetypes import MimeTypes
from pathlib import Path, PurePosixPath
from typing import Literal

from pydicom.uid import MediaStorageDirectoryStorage

from stages.common.core.parallel import track
from stages.ingest.account import LABELS, REFUSED, TABLES
from stages.ingest.annotations.film_names import DICOM_SUFFIXES, suffix_of
from stages.ingest.annotations.pairing import pair, with_format
from stages.ingest.dicom.basics import is_dicom
from stages.ingest.dicom.deidentify import number_id, patient_of, plain_id, stated_patient
from stages.ingest.dicom.pseudonyms import Key
from stages.ingest.dicom.read import check_syntax, depth, read_header
from stages.ingest.dicom.values import HOW_TO_FIX, multi
from stages.ingest.file_access import Folder, numbered
from stages.ingest.params import Hospital, Limits
from stages.ingest.problems import Problem, Refusal, Unreadable
from stages.ingest.sources.film_tables import ATTRIBUTES, FilmTables, Header, patient_id, read_tables
from stages.ingest.sources.shared_files import shared_files
from stages.ingest.types import SourceFilm, SourcePlan

# How files begin that exports hold beside films: PDF, PNG, JPEG, GIF, TIFF, ZIP and Office, programs, OLE, RTF.
NOT_DICOM = (
    *(b"%PDF", b"\x89PNG", b"\xff\xd8\xff", b"GIF8", b"II*\0", b"MM\0*", b"PK\3\4", b"MZ", b"\x7fELF", b"{\\rtf"),
    *(b"\xd0\xcf\x11\xe0", b"\x1f\x8b", b"7z\xbc\xaf", b"Rar!"),
)
KNOWN = MimeTypes().types_map[True]  # Python's own suffixes of documents, films and programs, DICOM's not among them
GIVE = "add a table of patients (docs/how-to/hospital-export.md), or export with PatientID"
CORRECT = "correct the table, or leave the cell blank"
USES = {
    "film": "with CT slices beside the middle of their series (ct_slices in ingest.sources)",
    "directory": "with a list of other files (DICOMDIR)",
    "other": "with neither films nor labels of films",
    "refused": REFUSED,
}


@dataclass(frozen=True)
class HeaderFacts:
    """What a look at one file's header shows; ids in pseudonyms.

    problem: why it is refused. references: the files that a DICOMDIR lists. depth: of a CT slice in its series, mm.
    patient, issuer: its PatientID and IssuerOfPatientID, blank where it states none. attributes: values by which tables
    may name the film.
    """

    kind: Literal["film", "directory", "other", "refused"]
    problem: Problem | None = None
    image_id: str = ""
    series: str = ""
    depth: float = 0.0
    patient: str = ""
    issuer: str = ""
    attributes: dict[str, str] = field(default_factory=dict)
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
    files = Folder(folder, limits, of_hospital=True)
    names, every = files.names(), files.all_names()
    public = numbered(every)
    looks = track(pool, partial(look, files, key), names, "look through the export")
    headers = dict(zip(names, looks, strict=True))
    films, problems = one_each(headers, public)
    problems += incomplete_directories(headers)
    entry = with_format(files, entry)
    pairs = pair(files, films, entry)
    tables = read_tables(files, films, Header(by_attribute(headers, films), public))
    problems += [(file, problem.redacted()) for file, problem in pairs.problems + tables.problems]
    patients, contradictions = patients_of(headers, films, tables)
    problems += contradictions
    chosen = films if entry.ct_slices == "all" else middle_slices(films, headers)
    uses = dict.fromkeys(files.system_files(), "of an operating system")
    uses |= {name: USES[header.kind] for name, header in headers.items()}
    uses |= {name: f"that look like {other} labels" for name, other in pairs.elsewhere.items()}
    uses |= dict.fromkeys(tables.used, TABLES)
    uses |= dict.fromkeys(pairs.file_of.values(), LABELS)
    plan = SourcePlan(source, {public[name]: uses[name] for name in every}, key=key)
    plan.notes += [f"{source}: {note}" for note in tables.notes]
    plan.notes.append(f"{source}: labels are read as {entry.annotations}")
    plan.refusals += [Refusal(source, public[name], problem) for name, problem in problems]
    shared = shared_files(files, chosen, pairs, tables, public)
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
            shared=shared[name],
            patient=patients.get(name, ""),
            pseudonyms=pseudonyms(patients.get(name) or headers[name].patient, headers[name].issuer, key),
        )
        plan.films.append(film)
    return plan


def pseudonyms(number: str, issuer: str, key: Key) -> frozenset[str]:
    """By which a patient may have withdrawn: of number and issuer as they are spelled, and of any spelling."""
    return frozenset({key.name("patient", patient_of(number, issuer)), number_id(number, issuer, key)} - {""})


def by_attribute(headers: dict[str, HeaderFacts], films: list[str]) -> dict[tuple[str, str], list[str]]:
    """The films by each attribute and value that tables may name them by."""
    named: dict[tuple[str, str], list[str]] = defaultdict(list)
    for name in films:
        for attribute, value in headers[name].attributes.items():
            named[attribute, patient_id(value)].append(name)
    return named


def patients_of(
    headers: dict[str, HeaderFacts], films: list[str], tables: FilmTables
) -> tuple[dict[str, str], list[tuple[str, Problem]]]:
    """The patient of each film whose header states none, by the tables, and why other films are refused.

    A number that another header states is spelled as there, so that both are one patient: spreadsheets lose zeros.

    Args:
        headers: of all files, by name.
        films: names of those that are looked at.
        tables: of the source.
    """
    stated_ids = [headers[name].patient for name in films if headers[name].patient]
    spellings = {plain_id(stated): stated for stated in reversed(stated_ids)}
    in_doubt = {film for film, _ in tables.problems}
    patients, problems = {}, []
    for name in films:
        stated, given = headers[name].patient, tables.rows.get(name, {}).get("patient_id", "")
        if stated and given and plain_id(stated) != plain_id(given):
            problems.append((name, Problem("one patient in header and table", "two", CORRECT)))
        elif not stated and given:
            patients[name] = spellings.get(plain_id(given), given)
        elif not stated and name not in in_doubt:
            problems.append((name, Problem("a patient", "an empty PatientID, and no table that gives one", GIVE)))
    return patients, problems


def look(files: Folder, key: Key, name: str) -> HeaderFacts:
    """Read one file's header, without its pixels.

    Args:
        files: of the export.
        key: makes the pseudonyms.
        name: of the file.
    """
    warnings.simplefilter("ignore")  # pydicom's quote values of the header
    try:
        head = files.head(name, 65536)
    except Unreadable as error:
        return HeaderFacts("refused", error.problem)
    if not is_dicom(head):
        return HeaderFacts("other") if is_other(name, head) else refused("no DICM after 128 bytes")
    try:
        check_syntax(head)
        header = read_header(files.path / name, pixels=False)
        if header.file_meta.get("MediaStorageSOPClassUID") == MediaStorageDirectoryStorage:
            records = header.get("DirectoryRecordSequence") or []
            paths = ["/".join(map(str, multi(record.get("ReferencedFileID")))) for record in records]
            return HeaderFacts("directory", references=[path for path in paths if path])
        attributes = {name: value for name in ATTRIBUTES if (value := str(header.get(name) or "").strip())}
        if "SOPInstanceUID" not in attributes:
            return refused("SOPInstanceUID empty")
        is_slice, series = header.get("Modality") == "CT", str(header.get("SeriesInstanceUID") or "")
        return HeaderFacts(
            "film",
            image_id=f"h-{key.name('film', attributes['SOPInstanceUID'])}",
            series=key.name("series", series) if is_slice and series else "",
            depth=depth(header) if is_slice else 0.0,
            patient=stated_patient(header)[0],
            issuer=stated_patient(header)[1],
            attributes=attributes,
        )
    except Unreadable as error:
        return HeaderFacts("refused", error.problem)
    except Exception:  # pydicom raises a dozen types on damaged files
        return refused("a header with values that DICOM does not allow")


def refused(actual: str) -> HeaderFacts:
    """Facts of a file that is no DICOM film."""
    return HeaderFacts("refused", Problem("a DICOM film", actual, HOW_TO_FIX))


def is_other(name: str, head: bytes) -> bool:
    """Whether a file without DICOM's mark is none that someone takes for a film, by its suffix and first bytes."""
    suffix = suffix_of(name)
    return suffix not in DICOM_SUFFIXES and (suffix in KNOWN or head.startswith(NOT_DICOM) or is_text(head))


def is_text(head: bytes) -> bool:
    """Whether bytes are text in UTF-8, as far as they go; an empty file is none."""
    try:
        return "\0" not in getincrementaldecoder("utf-8")().decode(head) and bool(head)
    except UnicodeDecodeError:
        return False


def one_each(headers: dict[str, HeaderFacts], public: dict[str, str]) -> tuple[list[str], list[tuple[str, Problem]]]:
    """The films, each SOP instance once, and why other files are refused; by name."""
    first: dict[str, str] = {}
    problems = []
    for name, header in headers.items():
        problem = header.problem
        if header.kind == "film" and header.image_id in first:
            problem = refused(f"the same SOPInstanceUID as {public[first[header.image_id]]}").problem
        elif header.kind == "film":
            first[header.image_id] = name
        if problem:
            problems.append((name, problem))
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
