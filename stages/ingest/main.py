"""Ingest: films and labels of every chosen source become lossless PNGs, de-identified DICOM and one manifest.

Run: python -m stages.ingest     (dvc repro ingest)
"""

import tempfile
from collections.abc import Container, Iterator
from concurrent.futures import Executor
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pandas as pd

from stages.common.core.errors import UserError, error_list, first_few
from stages.common.core.files import new_folder, write_json, write_text
from stages.common.core.parallel import executor, track
from stages.common.core.validation import validate
from stages.common.data.layout import CHECKS, DATA_DOCS, INBOX, QUALITY, RAW, WITHDRAWN_PINS
from stages.common.data.rows import WithdrawnRow
from stages.common.data.tables import ANNOTATIONS, FILES, MANIFEST, QUARANTINE, WITHDRAWN
from stages.ingest.account import LABELS, account_for
from stages.ingest.dicom.pseudonyms import SAMPLE, Key, read_key
from stages.ingest.file_access import Archive, Folder
from stages.ingest.inbox import in_words, listing
from stages.ingest.params import Folder as FolderSource
from stages.ingest.params import Hospital, InInbox, Kaggle, Params, Sample, Source, Url
from stages.ingest.problems import Problem, Refusal
from stages.ingest.process_film import picture_patient, process_film
from stages.ingest.quality.copies import find_copies
from stages.ingest.quality.duplicates import groups
from stages.ingest.quality.expectations import manifest_facts, manifest_suite
from stages.ingest.quality.kin import kin_of
from stages.ingest.quality.labels import label_sentences
from stages.ingest.quality.page import quality_report
from stages.ingest.sources import kaggle, url
from stages.ingest.sources.folder import picture_films
from stages.ingest.sources.hospital import hospital_films
from stages.ingest.sources.sample import write_sample
from stages.ingest.types import FilmResult, SourceFilm, SourcePlan
from stages.ingest.withdrawn import NUMBERS, NumberRow, read_withdrawn, under_another_key

LONGEST_ID = 180
ABSOLUTE = ", which must be absolute for experiments that run in a folder of their own (--temp, --queue, wrist sweep)"


def main(settings: Params) -> str:
    before = listing(settings)
    with tempfile.TemporaryDirectory() as scratch, new_folder(RAW) as out, executor() as pool:
        withdrawn = read_withdrawn(WITHDRAWN_PINS)
        if any(isinstance(entry, Hospital) for entry in settings.sources):
            refuse_another_key(withdrawn, read_key())
        patients_out = frozenset(row["patient_id"] for row in withdrawn)
        plans = plan_sources(settings, Path(scratch), pool, patients_out)
        results: list[FilmResult] = []
        for plan in plans:
            work = partial(process_film, settings=settings, key=plan.key, out=out, withdrawn=patients_out)
            results += track(pool, work, plan.films, "read films")
        results = [result for result in results if not result.withdrawn]
        for plan in plans:
            note_unlabelled(plan, results)
        if WITHDRAWN_PINS.is_file():
            WITHDRAWN.write(out, WITHDRAWN.frame(withdrawn))
        refusals = [refusal for plan in plans for refusal in plan.refusals]
        refusals += [refusal for result in results for refusal in result.refusals]
        if refusals and settings.on_error == "stop":
            raise error_list("these files cannot be used", [refusal.reason for refusal in refusals], shown=100)
        taken = sorted((result for result in results if result.row), key=lambda result: result.image_id)
        if not taken:
            raise error_list("no film could be used", [refusal.reason for refusal in refusals])
        pairs, others = find_copies(taken, settings.near_duplicate_bits, out, pool)
        if others:
            plans[0].notes.append(f"{others} pairs of films have near hashes and other details: they are no copies")
        kin, one_patient = kin_of(taken)
        manifest = write_tables(taken, kin + [(i, j) for i, j, _ in pairs], refusals, out)
        synthetic = any(isinstance(entry, Sample) for entry in settings.sources)
        if listing(settings) != before:
            raise UserError(f"{settings.inbox}: its files changed while they were read; rerun when all are there")
        accounts = [account_for(plan, results) for plan in plans]
        labels = label_sentences(plans, results)
        report = quality_report(
            manifest, refusals, plans, results, pairs, one_patient, accounts, labels, synthetic, in_words(before)
        )
    write_text(QUALITY, report)
    patients, fractures = manifest["patient_id"].nunique(), manifest["fractures"].sum()
    refused = len({(refusal.source, refusal.file) for refusal in refusals})
    summary = (
        f"{len(manifest)} films of {patients} patients, {fractures} fractures, "
        f"{refused} files refused, {len(pairs)} pairs of copies -> {RAW}, {QUALITY}"
    )
    return "\n  ".join([summary, *(account.sentence for account in accounts), *labels])


def refuse_another_key(withdrawn: list[WithdrawnRow], key: Key) -> None:
    """Refuse a key under which patients who withdrew would come back; the sample's are nobody.

    Raises:
        UserError: some withdrew under another key.
    """
    others = under_another_key(withdrawn, key.id)
    if others:
        keys = first_few(sorted({row["key_id"] for row in others}))
        raise UserError(
            f"{WITHDRAWN_PINS}: expected patients who withdrew under the key {key.id}, found {len(others)} of {keys}, "
            "who would come back under another pseudonym; set that key, or take their films out of the export and "
            "their rows out of the table"
        )


def plan_sources(settings: Params, scratch: Path, pool: Executor, withdrawn: Container[str] = ()) -> list[SourcePlan]:
    """What the sources hold, in the order of `ingest.sources`, each film under an id of its own.

    Args:
        scratch: an empty folder, for the sample.
        pool: draws the sample, and looks through exports and pinned archives.
        withdrawn: pseudonyms of patients of whom nothing is written.
    Raises:
        UserError: there is no inbox, or no film.
    """
    if not all(isinstance(entry, Sample) for entry in settings.sources) and not Path(settings.inbox).is_dir():
        raise UserError(
            f"ingest.inbox: expected a folder of films, found none at {settings.inbox}; correct the path{ABSOLUTE}"
        )
    for entry in settings.sources:
        if isinstance(entry, InInbox) and not entry.folder(Path(settings.inbox)).is_dir():
            raise UserError(
                f"{entry.names[0]}: expected the folder {entry.below} in the inbox, found none; correct "
                f"`below`, or the inbox{ABSOLUTE}"
            )
    plans = [plan for entry in settings.sources for plan in plans_of(entry, settings, scratch, pool)]
    for plan in plans:
        refuse_long_names(plan)
        forget_refusals(plan, withdrawn)
        leave_out_refused(plan)
    leave_one_of_each_id(plans)
    if not any(plan.films or plan.refusals for plan in plans):
        raise UserError(f"ingest.inbox: expected at least one film, found none; see {INBOX}/README.md for the layouts")
    return plans


def plans_of(entry: Source, settings: Params, scratch: Path, pool: Executor) -> Iterator[SourcePlan]:
    """What one entry of `ingest.sources` holds; the sample comes as the two real sources deliver theirs.

    Args:
        entry: whose films are looked for.
        settings: for inbox and limits.
        scratch, pool: as for `plan_sources`.
    """
    inbox, limits = Path(settings.inbox).resolve(), settings.limits
    if isinstance(entry, Sample):
        with named(scratch):
            write_sample(scratch, entry, pool)
        as_archive, as_export = entry.names
        archive = FolderSource(annotations="yolo", classes=["fracture"], unlabelled="refuse", licence=entry.licence)
        yield picture_films(Archive(scratch / "archive.zip", limits), as_archive, archive)
        export = Hospital(annotations="voc", licence=entry.licence)
        yield hospital_films(scratch / "export", as_export, export, limits, SAMPLE, pool)
    elif isinstance(entry, Kaggle):
        yield plan_kaggle(entry, inbox, settings, pool)
    elif isinstance(entry, Url):
        files = url.obtain(entry, inbox, limits)
        yield picture_films(files, entry.names[0], entry)
    elif isinstance(entry, Hospital):
        yield hospital_films(entry.folder(inbox), entry.names[0], entry, limits, read_key(), pool)
    else:
        yield picture_films(Folder(entry.folder(inbox), limits), entry.names[0], entry)


@contextmanager
def named(folder: Path) -> Iterator[None]:
    """Give errors of writing the name of the folder, which the system leaves out where a disk is full."""
    try:
        yield
    except OSError as error:
        error.filename = error.filename or str(folder)
        raise


def plan_kaggle(entry: Kaggle, inbox: Path, settings: Params, pool: Executor) -> SourcePlan:
    """The films of one Kaggle data set, all of whose files must be what was pinned, also those that no film uses."""
    pins = kaggle.read_pins(entry)
    archive = kaggle.obtain(entry, inbox, settings.limits)
    names = archive.names()
    digests = track(pool, partial(kaggle.digest_of, archive), names, "compare with pins")
    kaggle.check_pins(entry, dict(zip(names, digests, strict=True)))
    return picture_films(archive, entry.names[0], entry, pins)


def refuse_long_names(plan: SourcePlan) -> None:
    """Refuse films whose names leave no room for what the pipeline adds to a file's name, 255 bytes in all."""
    for film in plan.films:
        if len(film.image_id) > LONGEST_ID:
            problem = Problem(f"a file name of at most {LONGEST_ID} characters", f"{len(film.image_id)}", "rename it")
            plan.refusals.append(Refusal(film.source, film.public_name, problem))


def forget_refusals(plan: SourcePlan, withdrawn: Container[str]) -> None:
    """Films of patients who withdrew, and the labels that no other film has, are not named among the refused."""
    own, others = set[str](), set[str]()
    for film in plan.films:
        pseudonyms = film.pseudonyms if film.hospital else {picture_patient(film)}
        is_out = any(pseudonym in withdrawn for pseudonym in pseudonyms)
        (own if is_out else others).update((film.public_name, film.label_public_name))
    plan.refusals = [refusal for refusal in plan.refusals if refusal.file not in own - others]


def leave_out_refused(plan: SourcePlan) -> None:
    """A film that is refused before it is read, since its labels or its patient cannot be told, is not read."""
    refused = {refusal.file for refusal in plan.refusals}
    plan.films = [film for film in plan.films if film.public_name not in refused]


def note_unlabelled(plan: SourcePlan, results: list[FilmResult]) -> None:
    """Say how many films count as free of fractures because nothing says otherwise.

    Args:
        plan: of one source.
        results: of all films that were read, of any source.
    """
    taken = {result.public_name for result in results if result.row and result.source == plan.source}
    films = [film for film in plan.films if film.public_name in taken]
    if any(film.entry.unlabelled == "no_fracture" for film in films):
        bare = sum(film.labels is None and not film.label_file for film in films)
        note = f"{bare} of {len(films)} films have no labels and count as free of fractures"
        lost = {refusal.file for refusal in plan.refusals if plan.files.get(refusal.file) == LABELS}
        if bare and lost:
            note += f", and labels in {len(lost)} refused files may be theirs: look at both"
        plan.notes.append(f"{plan.source}: {note}")


def leave_one_of_each_id(plans: list[SourcePlan]) -> None:
    """Refuse films whose id an earlier one has; ids are folded, since some file systems ignore case."""
    film_of_id: dict[str, SourceFilm] = {}
    for plan in plans:
        films = []
        for film in plan.films:
            first = film_of_id.setdefault(film.image_id.lower(), film)
            if first is film:
                films.append(film)
            else:
                problem = Problem("a file name of its own", f"that of {first.public_name}", "rename one of them")
                plan.refusals.append(Refusal(film.source, film.public_name, problem))
        plan.films = films


def write_tables(
    taken: list[FilmResult], pairs: list[tuple[int, int]], refusals: list[Refusal], out: Path
) -> pd.DataFrame:
    """Write manifest, annotations, files, quarantine, numbers and checks; returns the manifest.

    Args:
        taken: films in the order of the manifest.
        pairs: of films that belong together.
        refusals: of all files.
        out: the folder that becomes data/raw.
    Raises:
        UserError: the manifest is not what it must be.
    """
    manifest = MANIFEST.frame([result.row for result in taken if result.row])
    manifest["group"] = groups(list(manifest["patient_id"]), pairs)
    annotations = ANNOTATIONS.frame([row for result in taken for row in result.shapes])
    MANIFEST.write(out, manifest)
    ANNOTATIONS.write(out, annotations)
    FILES.write(out, FILES.frame([row for result in taken for row in result.files]))
    QUARANTINE.write(out, QUARANTINE.frame([refusal.row for refusal in refusals]))
    if numbers := {(result.row["patient_id"], result.number_id) for result in taken if result.row and result.number_id}:
        NUMBERS.write(out, NUMBERS.frame([NumberRow(patient_id=one, number_id=of) for one, of in sorted(numbers)]))
    facts = manifest_facts(manifest, annotations, out)
    write_json(out / CHECKS, validate("raw manifest", facts, manifest_suite(), "image_id", DATA_DOCS))
    return manifest
