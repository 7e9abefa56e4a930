"""What holds, shows or names a patient or a film, over all versions of the outputs, here and in remotes.

Pixels live in more places than data/raw: in every later picture of the film, in maps and masks that networks made of
it, in pages that show it, in every version that DVC's cache and remotes ever kept, committed or not, and in what killed
runs left behind. Rows live in tables, pages and logs. Weights were fitted to it.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path, PurePosixPath

from stages.common.core.errors import UserError, first_few
from stages.common.core.files import finished_name
from stages.common.core.hashing import sha256
from stages.common.data.layout import (
    AUDIT_PAGE,
    DATASET,
    LABEL_SHEET,
    LAYERS_SUFFIX,
    LEVELS,
    MODELS,
    PAGE,
    PAGE_TO_MAIL,
    PREDICTION_SHEET,
    PREPROCESSED,
    QUALITY,
    RAW,
    REPORTS,
    WITHDRAWN_PINS,
)
from stages.common.data.tables import MANIFEST, PATIENTS, WITHDRAWN
from stages.ingest.annotations.film_names import DICOM_SUFFIXES, without_suffix
from stages.ingest.pictures import SUFFIXES
from stages.ingest.withdrawn import NUMBERS, film_pseudonym, read_withdrawn
from tools.audit.check_files import BY_COMMANDS
from tools.audit.check_record import covered
from tools.audit.dvc_cache import all_objects, cache_folder, file_md5, is_own, listing, site_caches, stored
from tools.audit.folders import all_below
from tools.audit.patients import kin, names_of, of_same_numbers, other_pseudonyms, own_hashes, patients_called
from tools.audit.remotes import bring_records
from tools.audit.repository import experiments
from tools.audit.trace import Project
from tools.audit.users_data import users_objects, users_outputs
from tools.audit.versions import Version, cached_rows, require_sound_objects, table_rows, versions_of
from tools.audit.words import Words

PAGES = tuple(
    map(str, (PAGE, PAGE_TO_MAIL, PREDICTION_SHEET, LABEL_SHEET, QUALITY, REPORTS / PATIENTS.name, AUDIT_PAGE))
)
KEY = str(RAW / MANIFEST.name)  # says whose films are whose
KEYS = (KEY, str(RAW / NUMBERS.name))  # and this, which patients are one; they go last, so that it can be resumed
PLOTS = "dvc_plots"  # where `dvc plots show` puts its page, with copies of the pictures that dvc.yaml calls plots
# By this project and DVC; a project that was moved or copied has DVC's notes on its former folder, too.
WRITTEN = ("data", "models", "reports", "mlruns", PLOTS, ".checkpoints", ".dvc/tmp", ".dvc/site-cache")


@dataclass
class PatientFiles:
    """What holds, shows or names a patient, over all commits, experiments and runs that were never committed.

    Attributes:
        patients: pseudonyms; several where versions of the data call the patient otherwise.
        numbers: pseudonyms of their numbers.
        films: pseudonyms of their films, but of those that another patient has, too.
        kin: other patients with a film in a group of theirs.
        made_by: the id of the key of each pseudonym that a table has.
        images: ids.
        sources: names of source files, without folder and suffix.
        hashes: by which copies are known: SHA-256 of source files, which others may have, too, and SHA-256 and MD5 of
            what is cached.
        objects: paths by md5 of cached pictures of this patient only.
        pages: of cached tables and pages that show or name the patient among others.
        keys: of the manifests and tables of numbers among them.
        in_cache: md5 of all these that are in this cache.
        shared: of the patient's files whose bytes others have, too, such as an empty mask; they stay.
        models: of those that were trained on data with the patient.
        commits: that hold any of it.
        unknown: those whose manifest is not in this cache.
        unlisted_outs: folders by md5 of which this cache has no list, by which their files would be known.
        listed: md5 of all objects of all versions.
        users: paths by md5 of what users track with DVC beside the pipeline.
        unlisted: the other cached files.
        of_no_version: what remotes have beside the versions that are known here.
        here: files outside of the cache.
        behind: what links among them lead to, which stays.
        outs: paths of the outputs of all versions.
    """

    patients: set[str] = field(default_factory=set)
    numbers: set[str] = field(default_factory=set)
    films: set[str] = field(default_factory=set)
    kin: set[str] = field(default_factory=set)
    made_by: dict[str, str] = field(default_factory=dict)
    images: set[str] = field(default_factory=set)
    sources: set[str] = field(default_factory=set)
    hashes: set[str] = field(default_factory=set)
    objects: dict[str, set[str]] = field(default_factory=dict)
    pages: dict[str, set[str]] = field(default_factory=dict)
    keys: dict[str, set[str]] = field(default_factory=dict)
    in_cache: set[str] = field(default_factory=set)
    shared: dict[str, set[str]] = field(default_factory=dict)
    models: dict[str, str] = field(default_factory=dict)
    commits: list[str] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)
    unlisted_outs: dict[str, str] = field(default_factory=dict)
    listed: set[str] = field(default_factory=set)
    users: dict[str, set[str]] = field(default_factory=dict)
    unlisted: list[Path] = field(default_factory=list)
    of_no_version: list[str] = field(default_factory=list)
    here: list[Path] = field(default_factory=list)
    behind: set[Path] = field(default_factory=set)
    outs: set[str] = field(default_factory=lambda: {str(out) for out in (RAW, PREPROCESSED, LEVELS, DATASET)})

    @property
    def words(self) -> Words:
        """By which a text names the patient."""
        return Words(self.images | self.patients | self.sources)

    @property
    def cached(self) -> dict[str, set[str]]:
        """Paths by md5 of all that goes from caches and remotes."""
        return self.objects | self.pages | self.keys


def film_files(project: Project, what: str) -> PatientFiles:
    """The cached files of a film, or of all films of a patient.

    Args:
        what: a pseudonym, an image id, or a source file's name or SHA-256.
    Raises:
        UserError: no version of the data in this cache has it.
    """
    versions = versions_of(project)
    rows = rows_of(project, versions)
    images = {
        raw: {row["image_id"] for row in films if what in names_of(row)}
        for raw, films in rows.items()
        if films is not None
    }
    if not any(images.values()):
        raise unknown(project.root, what)
    pseudonyms = {what for films in rows.values() for row in films or [] if row["patient_id"] == what}
    return collected(project.root, versions, images, pseudonyms, elsewhere=False)


def patient_files(project: Project, what: str) -> PatientFiles:
    """The cached files of a patient.

    Args:
        what: as for `film_files`; a film stands for its patient.
    Raises:
        UserError: no version of the data in this cache has it, and it is not recorded as withdrawn; or films of
            several patients are called so; or a remote cannot be asked what else it has.
    """
    versions = versions_of(project)
    elsewhere = bring_records(project.root, versions)
    rows = {raw: films or [] for raw, films in rows_of(project, versions).items()}
    if not any(patients_called(films, what) for films in rows.values()):
        rows |= stray_manifests(project.root)
    called = [patients_called(films, what) for films in rows.values()]
    if several := [found for found in called if len(found) > 1]:
        raise UserError(
            f"{what}: expected the name of one patient's film, found films of {first_few(sorted(several[0]))} that are "
            "called so; name one of these pseudonyms"
        )
    patients = {patient for found in called for patient in found}
    patients = {what} if what in patients else patients
    recorded = recorded_patients(project.root)
    patients = patients or {what} & recorded
    if not patients:
        raise unknown(project.root, what)
    of_versions = {row["patient_id"] for films in rows.values() for row in films}
    patients |= recorded & of_versions  # of a withdrawal that failed
    patients |= other_pseudonyms(list(rows.values()), patients)
    patients, numbers = of_same_numbers(numbers_of(project, rows), patients)
    images = {raw: {row["image_id"] for row in films if row["patient_id"] in patients} for raw, films in rows.items()}
    known = {raw: ids for raw, ids in images.items() if rows[raw]}
    own = [row for films in rows.values() for row in films if row["patient_id"] in patients]
    sources = {without_suffix(PurePosixPath(row["source_file"]).name) for row in own if row["source_file"]}
    files = collected(project.root, versions, known, patients, sources)
    files.of_no_version = elsewhere
    files.made_by = {row["patient_id"]: row.get("key_id") or "" for row in own}
    files.numbers = numbers
    files.films = set(map(film_pseudonym, own_hashes(list(rows.values()), patients)))
    files.kin = kin(list(rows.values()), patients)
    cached = [stored(project.root, md5) for md5 in files.objects]
    files.hashes |= {sha256(path) for path in cached if path.is_file()}
    files.hashes |= {row.get(key) or "" for row in own for key in ("sha256", "file_sha256")} - {""}
    return files


def stray_manifests(root: Path) -> dict[str, list[dict[str, str]]]:
    """The rows of all manifests in the cache by their md5, also where the lists that led to them are gone."""
    found = {}
    for md5, path in all_objects(root):
        with path.open("rb") as file:
            head = file.readline(1000).decode(errors="replace").strip().split(",")
        if is_own(root, path) and {"image_id", "patient_id", "sha256", "source_file"} <= set(head):
            found[md5] = table_rows(path)
    return found


def recorded_patients(root: Path) -> set[str]:
    """Pseudonyms of all who withdrew so far, and of their numbers."""
    return {row["patient_id"] for row in read_withdrawn(root / WITHDRAWN_PINS)}


def unknown(root: Path, what: str) -> UserError:
    """Nothing is called so; a withdrawal removes the manifest, in which the patients stand, in all versions."""
    if (root / KEY).is_file():
        return UserError(f"{what}: expected a pseudonym or a film of {KEY}, now or earlier; found none")
    return UserError(
        f"{what}: expected {KEY} or an earlier version of it, which have the pseudonyms, found none that has this one; "
        "`dvc repro ingest` makes it anew"
    )


def rows_of(project: Project, versions: list[Version]) -> dict[str, list[dict[str, str]] | None]:
    """The manifest of each version by the md5 of its data/raw; None where it is lost.

    That of the workspace is read there where the cache lacks it: somebody removed it, or a withdrawal was killed.

    Raises:
        UserError: of `require_sound_objects`.
    """
    require_sound_objects(project.root, versions)
    rows = {version.raw: cached_rows(project.root, version.raw) for version in versions}
    here, file = project.lock.hashes.get(str(RAW), ""), project.root / KEY
    if rows.get(here) is None and file.is_file():
        rows[here] = table_rows(file)
    return rows


def numbers_of(project: Project, raws: Iterable[str]) -> list[dict[str, str]]:
    """The rows of numbers.csv of all versions of data/raw that are here.

    Args:
        raws: md5 of the versions.
    """
    found = [row for raw in raws for row in cached_rows(project.root, raw, NUMBERS.name) or []]
    here = project.root / RAW / NUMBERS.name
    return found + (table_rows(here) if here.is_file() else [])


def collected(
    root: Path,
    versions: list[Version],
    images: dict[str, set[str]],
    patients: set[str],
    sources: frozenset[str] | set[str] = frozenset(),
    elsewhere: bool = True,
) -> PatientFiles:
    """What the versions hold of films or patients, and what lies outside of them.

    Args:
        root: of the project.
        versions: of all outputs.
        images: ids by the md5 of the data/raw that has them; where that is not known, all of them are looked for.
        patients: whose films they are all; empty where only films are meant.
        sources: names of the patients' source files, without suffix.
        elsewhere: whether to look outside of the versions, too.
    """
    files, others = PatientFiles(patients=patients, sources=set(sources)), set[str]()
    files.images = {image for ids in images.values() for image in ids}
    for version in versions:
        files.outs |= version.outs.keys()
        if version.name and version.raw not in images:
            files.unknown.append(version.name)
        own = {out: images.get(version.raws.get(out, ""), files.images) for out in version.outs}
        if version.name and any(images.get(raw) for raw in (version.raw, *version.raws.values())):
            files.commits.append(version.name)
        collect(root, version, own, files, others)
    if elsewhere:
        search_unlisted(root, versions, files)
        find_here(root, files, others)
    for md5 in others & files.objects.keys():  # an empty mask is the same file for many films
        files.shared[md5] = files.objects.pop(md5)
    files.hashes |= {md5.removesuffix(".dir") for md5 in files.cached}
    for own in (files.objects, files.pages, files.keys):
        for md5 in files.users.keys() & own.keys():
            files.shared[md5] = own.pop(md5)
    files.in_cache = {md5 for md5 in files.cached if stored(root, md5).is_file()}
    return files


def collect(root: Path, version: Version, own: dict[str, set[str]], files: PatientFiles, others: set[str]) -> None:
    """Add what one version has.

    Args:
        root: of the project.
        version: whose outputs are looked through.
        own: ids of the patient's films in each output.
        files: receives what is the patient's.
        others: receives the md5 of what is not.
    """
    for out, md5 in version.outs.items():
        images = own[out]
        words = words_of(frozenset(images | files.patients | files.sources))
        listed = listing(root, md5) if md5.endswith(".dir") else {"": md5}
        if listed is None:
            files.unlisted_outs[md5] = out
        for name, content in (listed or {}).items():
            path = f"{out}/{name}".rstrip("/")
            if is_film(name, images):
                files.objects.setdefault(content, set()).add(path)
            elif name == WITHDRAWN.name:
                others.add(content)
            elif (path in PAGES and images) or (not is_code(path) and words.stand_in(stored(root, content), path)):
                (files.keys if path in KEYS else files.pages).setdefault(content, set()).add(path)
            else:
                others.add(content)
        if images and out.startswith(f"{MODELS}/"):
            files.models[md5] = out


@lru_cache(maxsize=64)
def words_of(words: frozenset[str]) -> Words:
    return Words(words)


def is_film(name: str, images: set[str]) -> bool:
    """Whether a path is that of a picture of one of the films; `model.json` is none of the film `model`."""
    path = PurePosixPath(finished_name(name))
    return path.stem in images and path.suffix.lower() in (*SUFFIXES, *DICOM_SUFFIXES, LAYERS_SUFFIX)


def is_code(name: str) -> bool:
    """Whether a file that the pipeline wrote is code of a logged model, which no film changes."""
    return name.endswith(".py")


def search_unlisted(root: Path, versions: list[Version], files: PatientFiles) -> None:
    """Look into the cached files that no list names: DVC was stopped before it wrote the list, or lost it.

    In a cache outside of the project they may be another project's, whose films may have the same names.

    Args:
        root: of the project.
        versions: that name the others.
        files: receives what names the patient, and the rest as `listed` and `unlisted`.
    """
    recorded = recorded_patients(root)  # some may be left of a withdrawal that failed
    words, of_others = Words(files.words.words | recorded), Words(files.patients | recorded)
    of_pipeline = {md5 for version in versions for md5 in version.outs.values()}
    files.users = users_objects(root, users_outputs(root, of_pipeline))
    files.listed |= files.users.keys()
    for version in versions:
        for md5 in version.outs.values():
            files.listed |= {md5, *(listing(root, md5) or {}).values()} if md5.endswith(".dir") else {md5}
    for md5, path in all_objects(root):
        if md5 not in files.listed and (words if is_own(root, path) else of_others).stand_in(path):
            files.pages.setdefault(md5, set()).add("in no list of the cache")
        elif md5 not in files.listed:
            files.unlisted.append(path)


def version_names(project: Project, commits: list[str]) -> list[str]:
    """Commits as a person reads them: those of experiments by the experiment's name."""
    names = {commit: name for name, commit in experiments(project.root)}
    return [f"experiment {names[commit]}" if commit in names else commit[:12] for commit in commits]


def find_here(root: Path, files: PatientFiles, others: set[str]) -> None:
    """Add the patient's files outside of the cache to `files`.

    DVC may have been stopped before it wrote a list: what the cache has of their bytes is known by the bytes.

    Args:
        root: of the project.
        files: with images and patients; receives `here` and objects.
        others: md5 of what is not the patient's.
    """
    words = files.words
    for path in written_files(root, files.outs):
        name = finished_name(path.as_posix())
        if is_film(name, files.images):
            files.here.append(path)
            if path.is_file() and (md5 := file_md5(path)) not in others and stored(root, md5).is_file():
                files.objects.setdefault(md5, set()).add(below(root, path))
        elif shows_many(PurePosixPath(name)) or (not is_code(name) and words.stand_in(path, name)):
            files.here.append(path)
    cached = {path.resolve() for _, path in all_objects(root)}
    files.behind = {path.resolve() for path in files.here if path.is_symlink() and path.is_file()} - cached


def below(root: Path, path: Path) -> str:
    """A path from the root; the whole of one that lies elsewhere, as DVC's notes do by default."""
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else str(path)


def shows_many(path: PurePosixPath) -> bool:
    """Whether a file is a page or picture of many films, or a copy of one that DVC made for its plots."""
    in_plots = PLOTS in path.parts and path.suffix == ".png"
    return in_plots or path.as_posix().endswith(tuple(f"/{page}" for page in PAGES))


def written_files(root: Path, outs: set[str]) -> Iterator[Path]:
    """Files and links in the folders that this project and DVC write, without sources and the record of withdrawals.

    Killed runs left some, below hidden names, and in the workspaces of experiments.

    Args:
        root: of the project.
        outs: paths of outputs; what else lies beside them is a user's.
    """
    runs = cache_folder(root).parents[1] / "runs"  # with their parameters, in which a file may be named
    places = [*(root / name for name in WRITTEN), runs]
    notes = [notes for notes in sorted(site_caches(root)) if not any(map(notes.is_relative_to, places))]
    for folder in (*places, *notes):
        for path in all_below(folder):
            own = path.name != WITHDRAWN.name
            users = path.is_relative_to(root) and not is_written(path.relative_to(root).as_posix(), outs)
            if own and not users and (path.is_symlink() or not path.is_dir()):
                yield path


def is_written(name: str, outs: set[str]) -> bool:
    """Whether this project, DVC or MLflow wrote a file, by its path from the root; beside outputs users have theirs."""
    if name.startswith("mlruns/"):
        return "/artifacts/" in name
    if name.startswith(tuple(f"{folder}/" for folder in (RAW.parent, MODELS, REPORTS))):
        return covered(finished_name(name), {*outs, *BY_COMMANDS, *PAGES})
    return covered(name, WRITTEN) or name.startswith(".dvc/")
