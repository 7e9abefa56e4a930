"""Ordinary pictures: a folder of films, or an archive of a public data set."""

import fnmatch
from dataclasses import dataclass
from pathlib import PurePosixPath

from stages.common.core.errors import UserError
from stages.ingest.account import LABELS, TABLES
from stages.ingest.annotations.film_names import original_of, suffix_of, without_suffix
from stages.ingest.annotations.mask import is_mask, masks_of
from stages.ingest.annotations.pairing import OF_MANY, Pairs, class_names, pair, with_format
from stages.ingest.file_access import FileAccess, printable
from stages.ingest.params import PictureSource
from stages.ingest.pictures import SUFFIXES
from stages.ingest.problems import Refusal
from stages.ingest.sources.film_tables import FilmTables, read_tables
from stages.ingest.sources.shared_files import shared_files
from stages.ingest.sources.subsets import read_subset
from stages.ingest.types import SourceFilm, SourcePlan, image_id

EXCLUDED = "that a pattern of `exclude` takes"
MASKS = "named as a mask of a film (`annotations: masks` reads them; rename what is a film)"
NOT_IN_SUBSET = "that the subset leaves out"


def picture_films(
    files: FileAccess,
    source: str,
    entry: PictureSource,
    pinned: dict[str, str] | None = None,
) -> SourcePlan:
    """Every picture that a pattern of `include` matches, with its labels, patient and split.

    Tables may give patients and sides of a split (`film_tables`); a film that none lists is its own patient.

    Args:
        files: the folder or archive.
        source: its name in the manifest.
        entry: of params.yaml.
        pinned: SHA-256 that files must have, by name.
    """
    excluded = matching(files, entry.exclude, "exclude")
    included = matching(files, entry.include, "include") - excluded
    read = Selected(files, excluded)
    entry = with_format(read, entry)
    pictures = [name for name in files.names() if name.lower().endswith(SUFFIXES)]
    if entry.annotations == "masks":
        pictures = [name for name in pictures if name in included and not is_mask(name)]
    masks = masks_of(pictures)
    pictures = [name for name in pictures if name not in masks]
    pairs = pair(read, pictures, entry)
    class_files, names = class_names(read, entry.annotations)
    tables = read_tables(read, pictures)
    uses = uses_of(files, pictures, pairs, tables, class_files) | dict.fromkeys(masks, MASKS)
    uses |= dict.fromkeys(excluded, EXCLUDED)
    pins = pinned or {}
    if entry.subset != "all":
        subset = read_subset(entry.subset, pictures)
        for name, row in subset.items():
            tables.rows[name] = tables.rows.get(name, {}) | {"patient_id": row.group, "split": row.split}
        pins = pins | {name: row.sha256 for name, row in subset.items()}
        uses |= dict.fromkeys(set(pictures) - set(subset), NOT_IN_SUBSET)
        included &= set(subset)
    public = {name: public_name(files, name) for name in uses}
    plan = SourcePlan(source, {public[name]: use for name, use in uses.items()})
    shared = shared_files(files, pictures, pairs, tables, public, class_files)
    problems = pairs.problems + tables.problems
    plan.refusals += [Refusal(source, public[file], problem) for file, problem in problems]
    plan.notes += [f"{source}: {note}" for note in tables.notes]
    plan.notes.append(f"{source}: labels are read as {entry.annotations}")
    for name in pictures:
        if name not in included:
            continue
        path = PurePosixPath(name)
        stated = tables.rows.get(name, {})
        label_file = pairs.file_of.get(name, "")
        film = SourceFilm(
            image_id=image_id(without_suffix(path.name)),
            source=source,
            entry=entry,
            files=files,
            name=name,
            public_name=public[name],
            labels=pairs.labels.get(name),
            label_file=label_file,
            label_public_name=public.get(label_file, ""),
            class_names=names,
            shared=shared[name],
            patient=stated.get("patient_id") or original_of(name) or without_suffix(printable(path.name)),
            split=stated.get("split", ""),
            pinned={file: pins[file] for file in (name, label_file) if file in pins},
        )
        plan.films.append(film)
        if stated:
            plan.stated[film.image_id] = stated
    originals = [original for film in plan.films if (original := original_of(film.name))]
    if originals:
        plan.notes.append(
            f"{source}: {len(originals)} films are Roboflow's augmented copies of {len(set(originals))} films; the "
            "copies of a film stay on one side of the split"
        )
    if entry.annotations in OF_MANY:
        of_many = sorted({film.label_public_name for film in plan.films if film.label_public_name})
        plan.notes.append(f"{source}: labels of {len(pairs.labels)} films from {', '.join(of_many) or 'no file'}")
    return plan


def matching(files: FileAccess, patterns: list[str], key: str) -> set[str]:
    """The files that a pattern of `include` or `exclude` matches.

    Raises:
        UserError: a pattern matches none, as one with a slip in it does.
    """
    names, matched = files.names(), set[str]()
    for pattern in patterns:
        those = fnmatch.filter(names, pattern)
        if names and not those:
            where = files.label or "the inbox"
            raise UserError(f"{where}: expected files that the pattern {pattern!r} of `{key}` matches, found none")
        matched |= set(those)
    return matched


@dataclass(frozen=True)
class Selected(FileAccess):
    """The files of a source without those that a pattern of `exclude` names."""

    files: FileAccess
    excluded: set[str]

    @property
    def label(self) -> str:
        return self.files.label

    def all_names(self) -> list[str]:
        return [name for name in self.files.all_names() if name not in self.excluded]

    def read(self, name: str) -> bytes:
        return self.files.read(name)


def uses_of(
    files: FileAccess, pictures: list[str], pairs: Pairs, tables: FilmTables, class_files: list[str]
) -> dict[str, str]:
    """Every file of a source by name, with its use or with why it is left out.

    Args:
        files: of the source.
        pictures: names of those that can be films.
        pairs: the labels of films.
        tables: of films.
        class_files: with names of classes.
    """
    uses = {name: f"of no use here ({suffix_of(name) or 'no suffix'})" for name in files.names()}
    uses |= dict.fromkeys(files.system_files(), "of an operating system")
    uses |= {name: f"that look like {other} labels" for name, other in pairs.elsewhere.items()}
    uses |= dict.fromkeys(pictures, "that no pattern of `include` takes")
    uses |= dict.fromkeys(tables.used, TABLES)
    uses |= dict.fromkeys(class_files, "with names of classes")
    return uses | dict.fromkeys(pairs.file_of.values(), LABELS)


def public_name(files: FileAccess, name: str) -> str:
    """What messages and tables call a file."""
    return f"{files.label}/{printable(name)}" if files.label else printable(name)
