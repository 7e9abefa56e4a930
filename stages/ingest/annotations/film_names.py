"""How annotations name a film: in which spelling, and in which folder."""

import re
from collections import defaultdict
from collections.abc import Iterable
from pathlib import PurePosixPath
from unicodedata import normalize
from urllib.parse import unquote

# What may stand behind a film's name; a UID's last number is none of these.
FILM_SUFFIXES = (".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".tif", ".tiff", ".bmp", ".webp", ".dcm", ".dicom", ".ima")
EXPORTED = re.compile("^[0-9a-f]{8}-")  # which Label Studio puts before the name of an uploaded file
FIRST_CHANNEL = re.compile("_0000$")  # which nnU-Net puts behind it


def spellings(name: str, of_film: bool) -> list[set[str]]:
    """The ways to read a name without folders, the closest first: one set of equal ones per level.

    As written; without the suffix of a film; without regard to case, percent-encoding and the composition of Unicode;
    without what exporters add.

    Args:
        name: of a film, or of one in an annotation.
        of_film: whether it is a film's, which keeps an exporter's prefix as a part of its own.
    """
    stem = without_suffix(name)
    folded = without_suffix(normalize("NFC", unquote(name)).casefold())
    bare = {folded, FIRST_CHANNEL.sub("", folded)} if of_film else {EXPORTED.sub("", folded)}
    return [{name}, {stem}, {folded}, bare]


def without_suffix(name: str) -> str:
    """The name without the suffix of a film."""
    suffix = next((suffix for suffix in FILM_SUFFIXES if name.lower().endswith(suffix)), "")
    return name[: len(name) - len(suffix)] or name


def by_spelling(names: Iterable[str], of_film: bool, level: int) -> dict[str, list[str]]:
    """Paths by the spellings of their names at a level of `spellings`."""
    found: dict[str, list[str]] = defaultdict(list)
    for name in names:
        for key in spellings(PurePosixPath(name).name, of_film)[level]:
            found[key].append(name)
    return found


LEVELS = len(spellings("a", of_film=True))


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
