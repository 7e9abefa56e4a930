"""Words by which tables, pages and logs name a patient or a film."""

import csv
import re
from collections.abc import Iterable
from io import StringIO
from mmap import ACCESS_READ, mmap
from pathlib import Path

from stages.ingest.annotations.film_names import FILM_SUFFIXES
from stages.ingest.dicom.pseudonyms import PSEUDONYM

COLUMNS = ("image_id", "patient_id", "group")
LEAST = 4  # characters of a word that is looked for outside of these columns; `1` and `a` stand in every text
KEYED = re.compile(f"(h-)?{PSEUDONYM}")  # a pseudonym, or a hospital's image id: nothing else contains it
FURTHER = (".txt", ".xml", ".json", ".csv", ".tsv", ".npy", ".npz", ".nii", ".nrrd", ".pdf", ".svg", ".html", ".zip")
FILES = "|".join(suffix[1:] for suffix in (*FILM_SUFFIXES, *FURTHER))  # of films and of what people keep of them
NO_TEXT = (".png", ".jpg", ".dcm", ".safetensors", ".onnx", ".pt")  # pictures are known by their names


class Words:
    """Pseudonyms and image ids.

    Args:
        words: of a patient, names of source files without suffix among them. A word of digits only, or a short one,
            counts in the columns of a table alone.
    """

    def __init__(self, words: Iterable[str]) -> None:
        self.words = set(words)
        plain = [word for word in self.words if len(word) >= LEAST and not word.isdigit() and not KEYED.fullmatch(word)]
        keyed = b"|".join(re.escape(word.encode()) for word in sorted(self.words) if KEYED.fullmatch(word)) or b"(?!)"
        either = b"|".join(re.escape(word.encode()) for word in sorted(plain)) or b"(?!)"
        # `scan` names the film `scan.png`, and neither `scan.2` nor `scan-2`.
        other = rb"(?![\w-]|\.(?!(?i:" + FILES.encode() + rb")\b)\w)"
        # `\n` before a word is a letter in JSON, and no part of the word.
        # So is `%2F` before it in an address.
        before = rb"(?:(?<![\w.-])|(?<=\\[bfnrt])|(?<=%2[Ff]))"
        self.pattern = re.compile(before + rb"(?:" + either + rb")" + other + rb"|(?:" + keyed + rb")")

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
