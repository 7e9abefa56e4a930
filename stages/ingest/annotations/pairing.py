"""Which annotation belongs to which film, in a folder or archive of both."""

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import PurePosixPath

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from stages.common.core.errors import UserError
from stages.ingest.annotations.coco import read_coco
from stages.ingest.annotations.csv_table import read_csv
from stages.ingest.annotations.cvat import read_cvat
from stages.ingest.annotations.label_studio import read_label_studio
from stages.ingest.annotations.labelme import read_labelme
from stages.ingest.annotations.labels import FilmLabels, Labels
from stages.ingest.annotations.text_file import text_of
from stages.ingest.annotations.via import read_via
from stages.ingest.annotations.voc import read_voc
from stages.ingest.annotations.yolo import read_yolo
from stages.ingest.file_access import FileAccess
from stages.ingest.params import Format
from stages.ingest.problems import Problem, Unreadable

Reader = Callable[[bytes], Labels]
# A file per film, of the film's name.
OF_ONE: dict[Format, tuple[str, Reader]] = {
    "yolo": (".txt", read_yolo),
    "voc": (".xml", read_voc),
    "voc_devkit": (".xml", partial(read_voc, devkit=True)),
    "labelme": (".json", read_labelme),
}
# Files of many films, known by what must stand in them.
OF_MANY: dict[Format, tuple[str, tuple[bytes, ...], Reader]] = {
    "coco": (".json", (b'"images"', b'"annotations"'), read_coco),
    "label_studio": (".json", (b'"annotations"', b'"data"', b'"result"'), read_label_studio),
    "via": (".json", (b'"filename"', b'"regions"'), read_via),
    "cvat": (".xml", (b"<annotations",), read_cvat),
    "csv": (".csv", (b"xmin",), read_csv),
}


@dataclass
class Pairs:
    """Per film its labels or its label file, and what belongs to no film as (file, problem)."""

    labels: dict[str, FilmLabels] = field(default_factory=dict)
    file_of: dict[str, str] = field(default_factory=dict)
    problems: list[tuple[str, Problem]] = field(default_factory=list)


def pair(files: FileAccess, films: list[str], format_: Format) -> Pairs:
    """Find the annotations of `films` (names in `files`) in the chosen format."""
    return files_of_one(files, films, format_) if format_ in OF_ONE else files_of_many(files, films, format_)


def files_of_one(files: FileAccess, films: list[str], format_: Format) -> Pairs:
    """Label files by the film's stem: the only one, else the one in its folder, else the one beside its folder."""
    suffix, reader = OF_ONE[format_]
    by_stem: dict[str, list[str]] = defaultdict(list)
    for name in files.names():
        if name.lower().endswith(suffix):
            by_stem[PurePosixPath(name).stem].append(name)
    pairs = Pairs()
    for film in films:
        path = PurePosixPath(film)
        candidates = by_stem.get(path.stem, [])
        for near in (path.parent, path.parent.parent):
            if len(candidates) > 1:
                candidates = [c for c in candidates if near in PurePosixPath(c).parents] or candidates
        if len(candidates) == 1:
            pairs.file_of[film] = candidates[0]
        elif candidates:
            problem = Problem("one label file of the film's name", f"{len(candidates)}", "remove all but one")
            pairs.problems.append((film, problem))
    used = set(pairs.file_of.values())
    folders = {PurePosixPath(name).parent for name in used}
    for name in sorted(n for names in by_stem.values() for n in names):
        if name not in used and PurePosixPath(name).parent in folders and holds_shapes(files, name, reader):
            problem = Problem("a film of the same name", "none", "add the film or remove its labels", 1)
            pairs.problems.append((name, problem))
    return pairs


def holds_shapes(files: FileAccess, name: str, reader: Reader) -> bool:
    """Whether a file without a film has labels that would be lost; a README.txt or a list of names has not."""
    try:
        return bool(reader(files.read(name)).films[""].shapes)
    except Unreadable:
        return False


def files_of_many(files: FileAccess, films: list[str], format_: Format) -> Pairs:
    """Labels of every file of the format; every film that they name must be there once.

    Raises:
        UserError: there is no file of the format.
    """
    suffix, marks, reader = OF_MANY[format_]
    pairs, by_name = Pairs(), index(films)
    candidates = [name for name in files.names() if name.lower().endswith(suffix)]
    annotations = [name for name in candidates if has_marks(files, name, marks)]
    if not annotations:
        raise UserError(
            f"{files.label or 'the inbox'}: expected {format_} annotations in a *{suffix} file with "
            f"{' and '.join(mark.decode() for mark in marks)}, found none; choose the format of your annotations"
        )
    for file in annotations:
        try:
            labels = reader(files.read(file))
        except Unreadable as error:
            pairs.problems.append((file, error.problem))
            continue
        pairs.problems += [(file, problem) for problem in labels.problems]
        for key, film_labels in labels.films.items():
            problem = enter(pairs, by_name, key, film_labels)
            if problem:
                pairs.problems.append((file, problem))
            else:
                pairs.file_of[by_name[normal(key, by_name)][0]] = file
    return pairs


def has_marks(files: FileAccess, name: str, marks: tuple[bytes, ...]) -> bool:
    """Whether a file holds what every file of its format holds."""
    try:
        content = files.read(name)
    except Unreadable:
        return False
    return all(mark in content for mark in marks)


def index(films: list[str]) -> dict[str, list[str]]:
    """Films by path, by name and by stem."""
    by_name: dict[str, list[str]] = defaultdict(list)
    for film in films:
        path = PurePosixPath(film)
        for key in {film, path.name, path.stem}:
            by_name[key].append(film)
    return by_name


def normal(key: str, by_name: dict[str, list[str]]) -> str:
    """The spelling of an annotation's film name under which the films know it: whole path, else name, else stem."""
    path = PurePosixPath(key.replace("\\", "/"))
    options = [path.as_posix(), path.name] + ([path.stem] if path.suffix else [])
    return next((option for option in options if option in by_name), path.name)


def enter(pairs: Pairs, by_name: dict[str, list[str]], key: str, labels: FilmLabels) -> Problem | None:
    """Give a film its labels, or say why that cannot be.

    Args:
        pairs: receives them.
        by_name: of `index`.
        key: the annotation's name of the film.
        labels: of that film.
    """
    films = by_name.get(normal(key, by_name), [])
    name = f"{PurePosixPath(key).name[:80]!r}"
    if not films:
        fix, public = "add the image or remove its labels", "labels refer to a missing image"
        return Problem("", f"labels refer to missing image {name}", fix, labels.line, public)
    if len(films) > 1:
        return Problem("a name of one film", f"{name}, which {len(films)} have", "rename the films", labels.line)
    if films[0] in pairs.labels:
        return Problem("every film once", f"{name} a second time", "remove one of the two", labels.line)
    pairs.labels[films[0]] = labels
    return None


def class_names(files: FileAccess) -> dict[str, str]:
    """Names of YOLO's class numbers, from a `data.yaml` (or another .yaml with `names`), `classes.txt` or `*.names`."""
    for name in files.names():
        file = PurePosixPath(name).name.lower()
        try:
            if file.endswith((".yaml", ".yml")):
                listed = YAML(typ="safe").load(text_of(files.read(name)))
                names = listed.get("names") if isinstance(listed, dict) else None
                if names:
                    pairs = names.items() if isinstance(names, dict) else enumerate(names)
                    return {str(number): str(label) for number, label in pairs}
            elif file == "classes.txt" or file.endswith(".names"):
                lines = text_of(files.read(name)).split("\n")
                return {str(number): line.strip() for number, line in enumerate(lines) if line.strip()}
        except (YAMLError, Unreadable):
            continue
    return {}
