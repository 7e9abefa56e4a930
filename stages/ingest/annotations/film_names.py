"""How annotations name a film: in which spelling, and in which folder."""

import re
from collections import defaultdict
from collections.abc import Callable, Iterable
from pathlib import PurePosixPath
from unicodedata import normalize
from urllib.parse import unquote

from stages.ingest.pictures import SUFFIXES

DICOM_SUFFIXES = (".dcm", ".dicom", ".ima")
# What may stand behind a film's name; a UID's last number is none of these.
FILM_SUFFIXES = (*SUFFIXES, *DICOM_SUFFIXES)
# Which Label Studio puts before the name of an uploaded file. Eight decimal digits alone may be the name's own (a date,
# a number of the hospital), unless other names of the same export have one with letters.
EXPORTED = re.compile("^(?=[0-9]*[a-f])[0-9a-f]{8}-")
EXPORTED_AMONG_OTHERS = re.compile("^[0-9a-f]{8}-")
LOCAL_STORAGE = "/local-files/?d="  # the folder of a server of Label Studio that reads films itself, in their addresses
FIRST_CHANNEL = re.compile("_0000$")  # which nnU-Net puts behind it
# How Roboflow names the copies that it makes of hand.png: hand_png.rf.0b9d4...jpg
AUGMENTED = re.compile(r"(.+)_(?:png|jpe?g|jfif|webp|bmp|tiff?)\.rf\.[0-9a-z]+", re.IGNORECASE)

Index = list[dict[str, list[str]]]


def without_suffix(name: str) -> str:
    """The name without the suffix of a film."""
    suffix = next((suffix for suffix in FILM_SUFFIXES if name.lower().endswith(suffix)), "")
    return name[: len(name) - len(suffix)] or name


def original_of(name: str) -> str:
    """The name without suffix of the film that a film is an augmented copy of (Roboflow); blank where it is none."""
    copy = AUGMENTED.fullmatch(without_suffix(PurePosixPath(name).name))
    return copy[1] if copy else ""


def without_storage(name: str) -> str:
    """The name of a film in the local storage of a server of Label Studio without its folders; others as they are."""
    _, local, path = name.partition(LOCAL_STORAGE)
    return PurePosixPath(unquote(path)).name if local else name


def suffix_of(name: str) -> str:
    """The suffix of a file's name in lower case; blank where it is no word, such as the last number of a UID."""
    suffix = PurePosixPath(name).suffix.lower()
    return suffix if suffix[1:].isascii() and suffix[1:].isalnum() and not suffix[1:].isdecimal() else ""


def folded(name: str) -> str:
    """The name without regard to suffix, case, percent-encoding and the composition of Unicode."""
    return without_suffix(normalize("NFC", unquote(name)).casefold())


def prefix_of(names: Iterable[str]) -> re.Pattern[str]:
    """What the exporter put before the names that one export gives to films, with folders or without."""
    lettered = any(EXPORTED.match(PurePosixPath(name.replace("\\", "/")).name) for name in names)
    return EXPORTED_AMONG_OTHERS if lettered else EXPORTED


def bare(name: str, prefix: re.Pattern[str] | None) -> set[str]:
    """The folded name without what exporters add; a film's own name keeps what looks like an exporter's prefix."""
    text = folded(name)
    return {prefix.sub("", text)} if prefix else {text, FIRST_CHANNEL.sub("", text)}


Level = Callable[[str, re.Pattern[str] | None], set[str]]
# The ways to read a name without folders, the closest first: the spellings of a film's name (prefix None), or of an
# annotation's with that prefix of its exporter.
LEVELS: tuple[Level, ...] = (
    lambda name, prefix: {name},
    lambda name, prefix: {without_suffix(name)},
    lambda name, prefix: {folded(name)},
    bare,
)


def by_spelling(paths: Iterable[str], prefix: re.Pattern[str] | None, level: Level) -> dict[str, list[str]]:
    """Paths by the spellings of their names at one of LEVELS."""
    found: dict[str, list[str]] = defaultdict(list)
    for path in paths:
        for key in level(PurePosixPath(path).name, prefix):
            found[key].append(path)
    return found


def index_films(films: list[str]) -> Index:
    """The films by the spellings of their names, a dictionary for each of LEVELS."""
    return [by_spelling(films, None, level) for level in LEVELS]


def plain_number(text: str) -> str:
    """A number in one spelling, whatever a spreadsheet made of it: 12 of `012`, `12.0` and ` 12`; blank for others."""
    number = re.fullmatch(r"0*(\d+)(\.0+)?", text.strip())
    return number[1] if number else ""


def index_numbers(films: list[str]) -> dict[str, list[str]]:
    """The films whose names are numbers, by `plain_number`."""
    numbered: dict[str, list[str]] = defaultdict(list)
    for film in films:
        if (stem := without_suffix(PurePosixPath(film).name)).isdecimal():
            numbered[plain_number(stem)].append(film)
    return numbered


def films_numbered(cell: str, numbered: dict[str, list[str]]) -> list[str]:
    """The films that a spreadsheet's cell means which is no film's name as it stands: it lost the zeros in front.

    Args:
        cell: the film's name, with folders or without.
        numbered: of `index_numbers`.
    """
    stated = PurePosixPath(cell.replace("\\", "/"))
    same = numbered.get(plain_number(without_suffix(stated.name)), [])
    return [film for film in same if agrees(stated, PurePosixPath(film))]


def films_named(key: str, file: str, index: Index, prefix: re.Pattern[str] = EXPORTED) -> list[str]:
    """The films that an annotation can mean: in the closest spelling that a film has in the folder that is stated.

    Args:
        key: the annotation's name of the film, with folders or without.
        file: the annotation file; of several films the nearest to it are meant.
        index: of `index_films`.
        prefix: of `prefix_of`, for the names in that file.
    """
    if key in index[0].get(PurePosixPath(key).name, []):  # also where a backslash is part of the film's name
        return [key]
    stated = PurePosixPath(key.replace("\\", "/"))
    for by_name, level in zip(index, LEVELS, strict=True):
        named = [film for name in level(stated.name, prefix) for film in by_name.get(name, [])]
        films = [film for film in named if agrees(stated, PurePosixPath(film))]
        if films:
            closest = [film for film in films if film == stated.as_posix()]
            return closest or nearest(stated.parent if stated.parent.parts else PurePosixPath(file).parent, films)
    return []


def steps_between(one: PurePosixPath, other: PurePosixPath) -> int:
    """How far two folders are apart: the parts that only one of both has, once equal ends are taken away.

    images/p1 and labels/p1 are 2 apart, images/p1 and labels/p2 are 4.
    """
    a, b = list(one.parts), list(other.parts)
    while a and b and a[0] == b[0]:
        a, b = a[1:], b[1:]
    while a and b and a[-1] == b[-1]:
        a, b = a[:-1], b[:-1]
    return len(a) + len(b)


def nearest(folder: PurePosixPath, names: list[str]) -> list[str]:
    """Those of `names` whose folders are the fewest steps from `folder`."""
    steps = {name: steps_between(folder, PurePosixPath(name).parent) for name in names}
    return [name for name in names if steps[name] == min(steps.values())]


def agrees(stated: PurePosixPath, film: PurePosixPath) -> bool:
    """Whether a film lies in the folder that an annotation states, as far as both say where that is."""
    a, b = stated.parent.parts, film.parent.parts
    shared = min(len(a), len(b))
    return a[len(a) - shared :] == b[len(b) - shared :]
