"""The source files of a film that other films may share: annotations of many, names of classes, tables."""

import hashlib
from collections.abc import Iterable, Mapping
from functools import cache

from stages.common.data.rows import Role
from stages.ingest.annotations.pairing import Pairs
from stages.ingest.file_access import FileAccess
from stages.ingest.sources.film_tables import FilmTables
from stages.ingest.types import SharedFile


def shared_files(
    files: FileAccess,
    films: Iterable[str],
    pairs: Pairs,
    tables: FilmTables,
    public: Mapping[str, str],
    class_files: Iterable[str] = (),
) -> dict[str, list[SharedFile]]:
    """By film, in the order of files.csv.

    Args:
        files: of the source.
        films: their names in `files`.
        pairs: the labels of films.
        tables: of films.
        public: what tables may call each file.
        class_files: with names of the classes of labels.
    """

    @cache
    def sha256(name: str) -> str:
        return hashlib.sha256(files.read(name)).hexdigest()

    def roles(film: str) -> list[tuple[Role, str]]:
        labels, of_many = pairs.file_of.get(film), film in pairs.labels
        return [
            *((("labels", labels),) if labels and of_many else ()),
            *(("classes", name) for name in class_files if labels),
            *(("table", name) for name in tables.of_film.get(film, ())),
        ]

    return {film: [SharedFile(role, public[name], sha256(name)) for role, name in roles(film)] for film in films}
