"""Which annotation belongs to which film, in a folder or archive of both."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import PurePosixPath
from typing import Any, TypeVar

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from stages.common.core.errors import UserError
from stages.ingest.annotations.coco import read_coco
from stages.ingest.annotations.csv_table import read_csv
from stages.ingest.annotations.cvat import read_cvat
from stages.ingest.annotations.film_names import (
    LEVELS,
    by_spelling,
    films_named,
    films_numbered,
    index_films,
    index_numbers,
    nearest,
    prefix_of,
)
from stages.ingest.annotations.label_studio import read_label_studio
from stages.ingest.annotations.labelme import read_labelme
from stages.ingest.annotations.labels import FilmLabels, Labels
from stages.ingest.annotations.mask import SUFFIXES as MASK_SUFFIXES
from stages.ingest.annotations.mask import film_of, is_mask, read_labelmap, read_mask
from stages.ingest.annotations.text_file import text_of
from stages.ingest.annotations.via import read_via
from stages.ingest.annotations.voc import read_voc
from stages.ingest.annotations.yolo import read_yolo
from stages.ingest.file_access import FileAccess
from stages.ingest.params import AnnotatedSource, Format
from stages.ingest.problems import Problem, Unreadable

Reader = Callable[[bytes], Labels]
Entry = TypeVar("Entry", bound=AnnotatedSource)
# A file per film, of the film's name.
OF_ONE: dict[Format, tuple[str, Reader]] = {
    "yolo": (".txt", read_yolo),
    "voc": (".xml", read_voc),
    "voc_devkit": (".xml", partial(read_voc, devkit=True)),
    "labelme": (".json", read_labelme),
    "masks": (".png", read_mask),
}
# Files of many films, known by what must stand in them.
OF_MANY: dict[Format, tuple[str, tuple[bytes, ...], Reader]] = {
    "coco": (".json", (b'"images"', b'"annotations"'), read_coco),
    "label_studio": (".json", (b'"annotations"', b'"data"', b'"result"'), read_label_studio),
    "via": (".json", (b'"filename"', b'"regions"'), read_via),
    "cvat": (".xml", (b"<annotations",), read_cvat),
    "csv": (".csv", (b"xmin",), read_csv),
}
LARGEST_YAML = 2**20  # characters of a data.yaml
LOOKS = 20  # files that are opened to find out their format


@dataclass
class Pairs:
    """Per film its labels or its label file, and what belongs to no film as (file, problem).

    elsewhere: files that look like labels in a format other than the stated one, with that format; only looked for
    where films have no labels.
    """

    labels: dict[str, FilmLabels] = field(default_factory=dict)
    file_of: dict[str, str] = field(default_factory=dict)
    problems: list[tuple[str, Problem]] = field(default_factory=list)
    elsewhere: dict[str, Format] = field(default_factory=dict)


def pair(files: FileAccess, films: list[str], entry: AnnotatedSource) -> Pairs:
    """Find the annotations of films in the format that their source states.

    Args:
        files: of the source.
        films: their names in `files`.
        entry: of the source in params.yaml.
    Raises:
        UserError: no film has any, and that would make all of them films without a fracture.
    """
    format_ = entry.annotations
    if format_ == "yolo":
        refuse_pose(files)
    pairs = in_format(files, films, format_)
    nothing = not pairs.labels and not pairs.file_of and not pairs.problems
    if films and nothing and entry.unlabelled == "no_fracture" and format_ != "none":
        others = [other for other in (*OF_ONE, *OF_MANY) if other != format_ and looks_like(files, other)]
        hint = f"the files look like {' or '.join(others)}" if others else "no file looks like another format"
        raise UserError(
            f"{files.label or 'the inbox'}: expected {format_} labels of its {len(films)} films, found none that "
            f"belongs to a film; {hint}; correct `annotations`, or set it to none if all films are free of fractures"
        )
    look_elsewhere(files, films, format_, pairs)
    return pairs


def in_format(files: FileAccess, films: list[str], format_: Format) -> Pairs:
    """The labels that a source has in one format; arguments as for `pair`."""
    if format_ == "none":
        return Pairs()
    return files_of_one(files, films, format_) if format_ in OF_ONE else files_of_many(files, films, format_)


def look_elsewhere(files: FileAccess, films: list[str], format_: Format, pairs: Pairs) -> None:
    """Refuse the films without labels that have shapes in another format: they would count as free of fractures.

    Where params state that there are no labels, the files are named and nothing is refused.

    A picture is a mask only where its name says so: in a hospital's folder others may be previews of films.

    Args:
        files, films: as for `pair`.
        format_: that the source states.
        pairs: the labels in it; receives the problems.
    """
    known = {*pairs.labels, *pairs.file_of, *(name for name, _ in pairs.problems)}
    bare = dict.fromkeys(film for film in films if film not in known)
    of_xml = ("voc", "voc_devkit")  # of the same look
    for other in (*OF_ONE, *OF_MANY):
        same = other == format_ or other == "voc_devkit" or (other in of_xml and format_ in of_xml)
        if same or not bare or not looks_like(files, other, None):
            continue
        found = in_format(files, films, other)
        for film in list(bare):
            file = found.file_of.get(film, "")
            if other == "masks" and not is_mask(file):
                continue
            if film in found.labels and not found.labels[film].shapes:
                continue
            if file and (film in found.labels or holds_shapes(files, file, OF_ONE[other][1])):
                pairs.elsewhere[file] = other
                del bare[film]
                if format_ != "none":
                    pairs.problems.append((film, other_format(format_, file, other)))
        pairs.elsewhere |= {file: other for file, _ in found.problems if file not in films}


def other_format(format_: Format, file: str, other: Format) -> Problem:
    """A film without labels in the stated format that has some in another."""
    expected = f"{format_} labels, as `annotations` says"
    fix = "bring all labels into one format, or take the others out"
    name = PurePosixPath(file).name
    return Problem(expected, f"{name!r}, which looks like {other}", fix, public=f"labels that look like {other}")


def files_of_one(files: FileAccess, films: list[str], format_: Format) -> Pairs:
    """One label file for one film: of its name, and of all of that name the nearest folder's."""
    _, reader = OF_ONE[format_]
    pairs = Pairs()
    named, doubled = label_files(files, films, format_, pairs)
    folders = {PurePosixPath(film).parent for film in films}
    left_films, left_labels = dict.fromkeys(films), dict.fromkeys(named)
    prefix = prefix_of(named)
    for level in LEVELS:
        of_labels = by_spelling(left_labels, prefix, level)
        for key, same in by_spelling(left_films, None, level).items():
            films_left = [film for film in same if film in left_films]
            labels_left = [label for label in of_labels.get(key, []) if label in left_labels]
            for film, chosen in pair_same_name(films_left, labels_left, folders).items():
                del left_films[film]
                for label in chosen:
                    left_labels.pop(label, None)
                if len(chosen) == 1 and named[chosen[0]] not in doubled:
                    pairs.file_of[film] = named[chosen[0]]
                else:
                    pairs.problems.append((film, one_of(2 if len(chosen) == 1 else len(chosen))))
    for label in sorted(left_labels):
        if holds_shapes(files, named[label], reader):
            problem = Problem("a film of the same name", "none", "add the film or remove its labels")
            pairs.problems.append((named[label], problem))
    return pairs


def label_files(files: FileAccess, films: list[str], format_: Format, pairs: Pairs) -> tuple[dict[str, str], set[str]]:
    """The label files by the film that their names mean, and those of them beside which there is another.

    hand.xml and hand.XML are two, and so are the masks hand_mask.png and hand-seg.png.

    Args:
        files: of the source.
        films: their names in `files`; a mask is a picture that is none of them.
        format_: of OF_ONE.
        pairs: gets the second of two.
    """
    suffixes = MASK_SUFFIXES if format_ == "masks" else (OF_ONE[format_][0],)
    named: dict[str, str] = {}
    doubled, own = set[str](), set(films)
    for name in files.names():
        if name.lower().endswith(suffixes) and name not in own:
            film = film_of(name) if format_ == "masks" else name[: -len(suffixes[0])]
            first = named.setdefault(film, name)
            if first != name:
                doubled.add(first)
                problem = Problem("one label file of a film's name", "a second one", "remove all but one")
                pairs.problems.append((name, problem))
    return named, doubled


def with_format(files: FileAccess, entry: Entry) -> Entry:
    """An entry of params.yaml with the format of its labels: what it states, or for `auto` as its files look.

    Raises:
        UserError: they look like none, or like several.
    """
    took = detected(files) if entry.annotations == "auto" else entry.annotations
    return entry.model_copy(update={"annotations": took})


def detected(files: FileAccess) -> Format:
    """The format of a source's labels, as its files look. Files of voc_devkit look like those of voc.

    Raises:
        UserError: they look like none, or like several.
    """
    candidates = [format_ for format_ in (*OF_ONE, *OF_MANY) if format_ != "voc_devkit"]
    alike = [format_ for format_ in candidates if looks_like(files, format_, None)]
    if len(alike) == 1:
        return alike[0]
    raise UserError(
        f"{files.label or 'the inbox'}: expected labels in one format for `annotations: auto`, found "
        f"{' and '.join(alike) or 'none that is known'}; write the format in `annotations` (none: no film has a "
        "fracture)"
    )


def one_of(count: int) -> Problem:
    """A film that has several label files, or none of its own (0)."""
    if count:
        return Problem("one label file of the film's name", f"{count}", "remove all but one")
    actual, fix = "one that as many other films may claim", "put each label file beside its film"
    return Problem("a label file of the film's own", actual, fix, public=actual)


def pair_same_name(films: list[str], labels: list[str], film_folders: set[PurePosixPath]) -> dict[str, list[str]]:
    """The label files of films that share a name: one each, several that are equally near, or [] for another's.

    Args:
        films: of one name, in different folders or with different suffixes.
        labels: label files of that name, without their suffix.
        film_folders: of all films; a label in one of them belongs to no film elsewhere.
    Returns:
        By film; a film without any label is left out.
    """
    allowed = {label: [film for film in films if may_serve(label, film, film_folders)] for label in labels}
    near_films = {label: nearest(PurePosixPath(label).parent, those) for label, those in allowed.items() if those}
    chosen = {}
    for film in films:
        near = nearest(PurePosixPath(film).parent, [label for label in near_films if film in allowed[label]])
        claimed = [label for label in near if film in near_films[label]]
        if claimed:
            alone = len(claimed) > 1 or near_films[claimed[0]] == [film]
            chosen[film] = claimed if alone else []
    return chosen


def may_serve(label: str, film: str, film_folders: set[PurePosixPath]) -> bool:
    """Whether a label can belong to a film: not where it lies among other films, beside or apart from this one's."""
    here, there = PurePosixPath(label).parent, PurePosixPath(film).parent
    return here not in film_folders or here == there or here in there.parents or there in here.parents


def looks_like(files: FileAccess, format_: Format, looks: int | None = LOOKS) -> bool:
    """Whether one of the first `looks` files with the format's suffix holds labels in it; None for all."""
    suffix, *marks, reader = OF_ONE.get(format_) or OF_MANY[format_]
    if format_ == "masks":
        return any(is_mask(name) for name in files.names() if name.lower().endswith(MASK_SUFFIXES))
    candidates = [name for name in files.names() if name.lower().endswith(suffix)][:looks]
    if format_ in OF_ONE:
        return any(holds_shapes(files, name, reader) for name in candidates)
    return any(has_marks(files, name, marks[0]) for name in candidates)


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
    pairs, index = Pairs(), index_films(films)
    numbered = index_numbers(films) if format_ == "csv" else {}
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
        prefix = prefix_of(labels.films)
        for key, film_labels in labels.films.items():
            film = films_named(key, file, index, prefix) or films_numbered(key, numbered)
            problem = enter(pairs, film, key, film_labels)
            if problem:  # also of the films: which labels are theirs is not known
                pairs.problems += [(file, problem), *((name, replace(problem, line=0)) for name in film)]
            else:
                pairs.file_of[film[0]] = file
    return pairs


def has_marks(files: FileAccess, name: str, marks: tuple[bytes, ...]) -> bool:
    """Whether a file holds what every file of its format holds."""
    try:
        content = files.read(name)
    except Unreadable:
        return False
    return all(mark in content for mark in marks)


def enter(pairs: Pairs, films: list[str], key: str, labels: FilmLabels) -> Problem | None:
    """Give a film its labels, or say why that cannot be.

    Args:
        pairs: receives them.
        films: of `films_named`.
        key: the annotation's name of the film.
        labels: of that film.
    """
    name = f"{key[-80:]!r}"
    if not films:
        fix, public = "add the image or remove its labels", "labels refer to a missing image"
        return Problem("", f"labels refer to missing image {name}", fix, labels.line, public)
    if len(films) > 1:
        return Problem("a name of one film", f"{name}, which {len(films)} have", "rename the films", labels.line)
    if films[0] in pairs.labels:
        return Problem("every film once", f"{name} a second time", "remove one of the two", labels.line)
    pairs.labels[films[0]] = labels
    return None


def class_names(files: FileAccess, format_: Format) -> tuple[list[str], dict[str, str]]:
    """The files with names of YOLO's class numbers or of masks' colours, and these names.

    Both are empty where there is none, or the format names its classes itself.

    Raises:
        UserError: two files have other names, so that a number or colour is one class here and another there.
    """
    readers = {"yolo": names_of_numbers, "masks": names_of_colours}
    found, named = list[str](), dict[str, str]()
    for name in files.names() if format_ in readers else ():
        names = readers[format_](files, name)
        if any(named.get(key, label) != label for key, label in names.items()):
            raise UserError(
                f"{files.label or 'the inbox'}: expected one list of the names of classes, found "
                f"{files.called(found[0])} and {files.called(name)}, which differ; correct one, or take it out with "
                "`exclude`"
            )
        found += [name] if names else []
        named |= names
    return found, named


def names_of_numbers(files: FileAccess, name: str) -> dict[str, str]:
    """Classes of YOLO by number: of `data.yaml` (or another .yaml with `names`), `classes.txt` or `*.names`."""
    file = PurePosixPath(name).name.lower()
    names = data_yaml(files, name).get("names")
    if names and isinstance(names, (dict, list)):
        pairs = names.items() if isinstance(names, dict) else enumerate(names)
        named = {str(number): label for number, label in pairs}
        # A list in place of a name can be one of a few lines that stands for billions of items (YAML's aliases).
        return {number: str(label) for number, label in named.items() if isinstance(label, str | int | float)}
    if file == "classes.txt" or file.endswith(".names"):
        lines = text_or_nothing(files, name).split("\n")
        return {str(number): line.strip() for number, line in enumerate(lines) if line.strip()}
    return {}


def names_of_colours(files: FileAccess, name: str) -> dict[str, str]:
    """Classes of masks by colour: of CVAT's `labelmap.txt`."""
    is_map = PurePosixPath(name).name.lower() == "labelmap.txt"
    return read_labelmap(text_or_nothing(files, name)) if is_map else {}


def text_or_nothing(files: FileAccess, name: str) -> str:
    """The text of a file; blank where it is none."""
    try:
        return text_of(files.read(name))
    except Unreadable:
        return ""


def data_yaml(files: FileAccess, name: str) -> dict[str, Any]:
    """The mapping in a file such as YOLO's data.yaml; empty where the file is none."""
    if not name.lower().endswith((".yaml", ".yml")):
        return {}
    text = text_or_nothing(files, name)
    if len(text) > LARGEST_YAML:
        return {}
    try:
        content = YAML(typ="safe", pure=True).load(text)  # the faster reader dies of ten thousand brackets
    except (YAMLError, ValueError, TypeError, RecursionError):  # of dates that are none, keys that are lists, nesting
        return {}
    return content if isinstance(content, dict) else {}


def refuse_pose(files: FileAccess) -> None:
    """Raise a UserError where a data.yaml says that YOLO labels are key points: they read like polygons."""
    for name in files.names():
        if "kpt_shape" in data_yaml(files, name):
            raise UserError(
                f"{files.called(name)}: expected YOLO labels of boxes or polygons, found `kpt_shape`, which says that "
                "they are key points (YOLO pose); export detection or segmentation labels"
            )
