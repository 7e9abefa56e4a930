"""Words by which tables, pages and logs name a patient or a film."""

import csv
import re
from collections.abc import Iterable
from functools import lru_cache
from html.entities import codepoint2name
from io import StringIO
from mmap import ACCESS_READ, mmap
from pathlib import Path
from unicodedata import normalize
from urllib.parse import quote

import stages
import tools
from stages.ingest.annotations.film_names import FILM_SUFFIXES
from stages.ingest.dicom.pseudonyms import PSEUDONYM

COLUMNS = ("image_id", "patient_id", "group")
LEAST = 4  # characters of a word that is looked for outside of these columns; `1` and `a` stand in every text
NUMBER = re.compile(r"[\d.,+_-]{1,14}|\d+|[\d.]+e[+-]?\d+")  # numbers and days, which stand in tables of anything
KEYED = re.compile(f"(h-)?{PSEUDONYM}")  # a pseudonym, or a hospital's image id: nothing else contains it
FURTHER = (".txt", ".xml", ".json", ".csv", ".tsv", ".npy", ".npz", ".nii", ".nrrd", ".pdf", ".svg", ".html", ".zip")
NO_TEXT = (".png", ".jpg", ".dcm", ".safetensors", ".onnx", ".pt")  # pictures are known by their names
# `\n` before a word is a letter in JSON, and no part of the word. So is `%2F` before it in an address.
BEFORE = rb"(?:(?<![\w.-])|(?<=\\[bfnrt])|(?<=%2[Ff]))"
NOTHING = rb"(?!)"


class Words:
    """Pseudonyms, image ids and names of source files without suffix.

    Attributes:
        words: all of them.
        common: those that many texts have, whatever they are about: numbers, days, and words of the pipeline's own
            texts, such as `image`. They count in the columns of tables, and where a film's suffix follows.
        pattern: finds the others in any text. A word of digits only, or a short one, counts in columns alone.

    Args:
        words: of a patient, or of films.
    """

    def __init__(self, words: Iterable[str]) -> None:
        self.words = set(words)
        keyed = {word for word in self.words if KEYED.fullmatch(word)}
        plain = {word for word in self.words - keyed if len(word) >= LEAST and not word.isdigit()}
        self.common = {word for word in plain if NUMBER.fullmatch(word)} | of_own_text(stands_alone(plain), plain)
        files = self.common - of_own_text(names_file(self.common), self.common)
        alternatives = [word.encode() for word in sorted(keyed)]
        alternatives += [stands_alone(plain - self.common).pattern] if plain - self.common else []
        alternatives += [names_file(files).pattern] if files else []
        self.pattern = re.compile(b"|".join(alternatives) or NOTHING)

    def stand_in(self, path: Path, name: str = "") -> bool:
        """Whether a file has one of the words; False for a picture, for weights, and for a file that is gone.

        Args:
            path: of the file.
            name: that tells its kind, where `path` is an object of a cache; blank where nothing does.
        """
        if not self.words or name.lower().endswith(NO_TEXT) or not path.is_file() or not path.stat().st_size:
            return False
        with path.open("rb") as file, mmap(file.fileno(), 0, access=ACCESS_READ) as content:
            return bool(self.pattern.search(content)) or self.stand_in_columns(content)

    def stand_in_columns(self, content: mmap) -> bool:
        """Whether the bytes are a table that has one of the words in a column of films or patients."""
        head = content[:1000].split(b"\n")[0].decode(errors="replace")
        if not set(head.strip().split(",")) & set(COLUMNS):
            return False
        rows = csv.DictReader(StringIO(content[:].decode(errors="replace")))
        return any(row.get(column) in self.words for row in rows for column in COLUMNS)


@lru_cache(maxsize=1)
def own_text() -> bytes:
    """The pipeline's own code, templates and locks: the words of these stand in outputs, whatever film is read."""
    folders = (Path(package.__path__[0]) for package in (stages, tools))
    files = (path for folder in folders for path in sorted(folder.rglob("*")) if path.suffix != ".pyc")
    return b"\n".join(path.read_bytes() for path in files if path.is_file())


def of_own_text(pattern: re.Pattern[bytes], words: set[str]) -> set[str]:
    """Those of some words that a pattern of them, `stands_alone` or `names_file`, finds in the pipeline's own text."""
    found = {match[1] for match in pattern.finditer(own_text())} if words else set()
    return {word for word in words if word.encode(errors="replace") in found}


def stands_alone(words: Iterable[str]) -> re.Pattern[bytes]:
    """Finds words that are no part of another one: `hand7` names hand7.png, and neither hand7.2 nor hand7-2."""
    suffixes = "|".join(suffix[1:] for suffix in (*FILM_SUFFIXES, *FURTHER)).encode()
    return re.compile(BEFORE + either(words) + rb"(?![\w-]|\.(?!(?i:" + suffixes + rb")\b)\w)")


def names_file(words: Iterable[str]) -> re.Pattern[bytes]:
    """Finds words that the suffix of a film follows."""
    suffixes = "|".join(map(re.escape, FILM_SUFFIXES)).encode()
    return re.compile(BEFORE + either(words) + rb"(?i:" + suffixes + rb")(?![\w-])")


def either(words: Iterable[str]) -> bytes:
    """A pattern of any of the words, which it captures, as texts, JSON, HTML and addresses spell them."""
    forms = {normalize(form, word) for word in words for form in ("NFC", "NFD")} | {*words}
    return rb"(" + (b"|".join(b"".join(map(spelled, form)) for form in sorted(forms)) or NOTHING) + rb")"


@lru_cache(maxsize=4096)
def spelled(letter: str) -> bytes:
    """A pattern of a character by itself, and by the escapes of JSON, Python, HTML and addresses."""
    if letter.isascii() and (letter.isalnum() or letter in "._-"):
        return re.escape(letter.encode())
    code = ord(letter)
    units = letter.encode("utf-16-be", "surrogatepass").hex()
    json = "".join(rf"\\u{units[at : at + 4]}" for at in range(0, len(units), 4))
    python = rf"\\x{code:02x}" if code < 0x100 else rf"\\U{code:08x}"
    address = re.escape(quote(letter, safe="", errors="replace"))
    entities = [f"&#0*{code};", f"&#x0*{code:x};"] + [f"&{name};" for name in [codepoint2name.get(code)] if name]
    escapes = "|".join([json, python, address, *entities]).encode()
    plus = rb"|\+" if letter == " " else b""
    return rb"(?:" + re.escape(letter.encode(errors="replace")) + rb"|(?i:" + escapes + rb")" + plus + rb")"
