"""The films: manifest, split and data set against one another, against their pictures, and for leaks."""

import re
import struct
import zlib
from collections import defaultdict
from collections.abc import Iterator, Set
from itertools import pairwise, product
from pathlib import Path, PurePosixPath
from typing import Any, TypeGuard, get_args, get_type_hints

import numpy as np
import pandas as pd
from PIL import Image

from stages.common.core.errors import UserError
from stages.common.core.files import read_png
from stages.common.core.hashing import sha256
from stages.common.data.layout import (
    DATASET,
    LEVELS,
    PARAMS,
    PREPROCESSED,
    RAW,
    USED,
    WITHDRAWN_PINS,
    Picture,
    dataset_file,
    fold_columns,
    image_file,
)
from stages.common.data.rows import AnnotationRow, Role
from stages.common.data.tables import ANNOTATIONS, FILES, MANIFEST, PREPARED, SPLIT, THRESHOLDS, WITHDRAWN
from stages.ingest.annotations.film_names import without_suffix
from stages.ingest.dicom.pseudonyms import PSEUDONYM
from stages.ingest.sources.pins import SHA256
from stages.ingest.types import image_id
from stages.ingest.withdrawn import NUMBERS, film_pseudonym, read_withdrawn, under_another_key
from tools.audit.findings import Check
from tools.audit.tables import compare_lists, compare_tables, first_line, read_table, without_path
from tools.audit.trace import Project
from tools.audit.yaml_files import settings_of

MANIFEST_CSV, SPLIT_CSV = str(RAW / MANIFEST.name), str(DATASET / SPLIT.name)
ESCAPE = re.compile(r"\\(?:[nrt]|x[0-9a-f]{2}|u[0-9a-f]{4}|U[0-9a-f]{8})")  # of a character that no id has
MOST_ESCAPES = 10
GREY = ("L", "I;16")  # modes of pictures that stages write
PLAIN = re.compile(rb"IHDR(IDAT)+IEND")  # the names of all that is in them
COPIED = ["image_id", "patient_id", "group", "source", "modality"]


def check_films(project: Project, check: Check) -> None:
    """The tables of films: each film once, the same facts in each table, and no leak between the sides of a fold."""
    manifest = read_table(project, check, RAW, MANIFEST)
    files = read_table(project, check, RAW, FILES)
    annotations = read_table(project, check, RAW, ANNOTATIONS)
    if manifest is not None and files is not None and annotations is not None:
        check_manifest(check, manifest, files, annotations)
    if manifest is not None:
        numbers = read_numbers(project, check, manifest)
        known = {pseudonym: pseudonym for pseudonym in (*manifest["patient_id"], *numbers)} | films_by_hash(manifest)
        check_withdrawn(project.root, check, known, set(manifest["key_id"]) - {""})
        for folder, columns in ((PREPROCESSED, PREPARED), (LEVELS, THRESHOLDS)):
            table = read_table(project, check, folder, columns)
            if table is not None and check.whole(MANIFEST_CSV):
                path = str(folder / columns.name)
                compare_lists(check, path, list(table["image_id"]), list(manifest["image_id"]), MANIFEST_CSV)
    split = read_table(project, check, DATASET, SPLIT)
    if split is None or manifest is None:
        return
    folds = list(fold_columns(split))
    if folds != list(range(1, len(folds) + 1)):
        check.add(f"{SPLIT_CSV}: folds", "mismatch", f"expected folds from 1 on, found {folds}")
    expected = manifest[COPIED].assign(fracture=manifest["fractures"] > 0)
    if check.whole(MANIFEST_CSV):
        compare_tables(check, SPLIT_CSV, split, expected)
    if list(split["image_id"]) == list(manifest["image_id"]):
        check_leaks(check, split, manifest[["patient_id", "group", "pixel_sha256"]])


def check_manifest(check: Check, manifest: pd.DataFrame, files: pd.DataFrame, annotations: pd.DataFrame) -> None:
    """The manifest against the lists of source files and of shapes.

    Args:
        check: gets the findings.
        manifest, files, annotations: of data/raw.
    """
    ids = list(manifest["image_id"])
    if not compare_lists(check, MANIFEST_CSV, ids, sorted(set(ids))):
        return
    for image, file in zip(ids, manifest["source_file"], strict=True):
        if file and image not in (called := ids_of(PurePosixPath(file).name)):
            message = f"the film of {file} is called {' or '.join(sorted(called))}"
            check.add(f"{MANIFEST_CSV}: {image}/source_file", "mismatch", message)
    films = files[files["role"] == "film"].drop_duplicates("image_id").set_index("image_id")
    compare_lists(check, str(RAW / FILES.name), sorted(films.index), ids)
    check_files_table(check, files, ids)
    for image in sorted(set(annotations["image_id"]) - set(ids)):
        check.add(f"{RAW / ANNOTATIONS.name}: {image}", "extra", "the manifest has no such film")
    check_annotations(check, annotations, files, set(manifest["image_id"][manifest["key_id"] != ""]))
    if not check.whole(str(RAW / FILES.name), str(RAW / ANNOTATIONS.name)):
        return
    shapes = annotations["image_id"].value_counts()
    smallest = manifest.groupby("group")["patient_id"].transform("min")
    of_pictures = (manifest["key_id"] == "").to_numpy()  # a hospital's films have a key, and no names
    expected = pd.DataFrame(
        {
            "image_id": ids,
            "file": [image_file(Path(), image).as_posix() for image in ids],
            "source": films.loc[ids, "source"].to_list(),
            "source_file": films.loc[ids, "file"].where(of_pictures, "").to_list(),
            "sha256": films.loc[ids, "sha256"].to_list(),
            "group": smallest.to_list(),
            "licence": films.loc[ids, "licence"].to_list(),
            "fractures": [int(shapes.get(image, 0)) for image in ids],
        }
    )
    compare_tables(check, MANIFEST_CSV, manifest, expected)


def ids_of(name: str) -> set[str]:
    """The ids that the film of a file may have, whose name is printed: what looks like an escape may be the name's own.

    Of many escapes all are taken for such, or none.
    """
    plain = without_suffix(name)
    texts, escapes = ESCAPE.split(plain), ESCAPE.findall(plain)
    choices = product((False, True), repeat=len(escapes)) if len(escapes) <= MOST_ESCAPES else ()
    kinds = [*choices, [False] * len(escapes), [True] * len(escapes)]
    shown = ([one if is_own else "\0" for one, is_own in zip(escapes, kind, strict=True)] for kind in kinds)
    return {image_id("".join(map("".join, zip(texts, [*between, ""], strict=True)))) for between in shown}


def check_annotations(check: Check, annotations: pd.DataFrame, files: pd.DataFrame, of_hospitals: Set[str]) -> None:
    """The kind of each shape, and the file that has it: one of the film's label files, but for films of hospitals.

    Args:
        check: gets the findings.
        annotations, files: of data/raw.
        of_hospitals: image ids of the films whose files are not named.
    """
    labels = files[files["role"] == "labels"].groupby("image_id")["file"].agg(set).to_dict()
    kinds = get_args(get_type_hints(AnnotationRow)["kind"])
    for number, row in enumerate(ANNOTATIONS.rows(annotations), start=1):
        where = f"{RAW / ANNOTATIONS.name}: row {number} ({row['image_id']})"
        if row["kind"] not in kinds:
            check.add(f"{where}/kind", "mismatch", f"{row['kind']!r} stands there, expected {' or '.join(kinds)}")
        if row["line"] < 0:
            check.add(f"{where}/line", "mismatch", f"{row['line']} stands there, and lines are counted from 1")
        if row["image_id"] in of_hospitals:
            expected, message = {""}, "and files of hospitals are not named"
        else:
            expected, message = labels.get(row["image_id"], set()), f"and {FILES.name} has no such label file of it"
        if row["file"] not in expected:
            check.add(f"{where}/file", "mismatch", f"{row['file']!r} stands there, {message}")


def check_files_table(check: Check, files: pd.DataFrame, ids: list[str]) -> None:
    """The list of source files: each once, those of a film together, in the order of their roles.

    Args:
        check: gets the findings.
        files: of data/raw.
        ids: of the manifest.
    """
    path = RAW / FILES.name
    for image in sorted({*files["image_id"]} - set(ids)):
        check.add(f"{path}: {image}", "extra", "the manifest has no such film")
    for image in files["image_id"][files.duplicated()]:
        check.add(f"{path}: {image}", "mismatch", "a file stands there twice")
    for image in files["image_id"][~files["sha256"].str.fullmatch(SHA256)]:
        check.add(f"{path}: {image}/sha256", "mismatch", "it is no SHA-256 (64 of 0-9 and a-f)")
    by_file, films = ["source", "file"], files[files["role"] == "film"]
    counts = (files.groupby(by_file)["sha256"].nunique(), films.groupby(by_file)["image_id"].nunique())
    for source, file in sorted({name for count in counts for name in count.index[count > 1]}):
        check.add(f"{path}: {source}: {file}", "mismatch", "it has several SHA-256, or is several films")
    roles = get_args(Role)
    for role in sorted({*files["role"]} - set(roles)):
        check.add(f"{path}: {role}", "mismatch", "a file has no such role")
    if not check.whole(str(path)):
        return
    order = list(zip(files["image_id"], files["role"].map(roles.index), strict=True))
    if order != sorted(order):
        check.add(f"{path}: order", "mismatch", f"expected the order of the manifest, of a film {', '.join(roles)}")


def read_numbers(project: Project, check: Check, manifest: pd.DataFrame) -> set[str]:
    """The pseudonyms of the numbers of a hospital's patients, by a table that has one of each of them.

    Args:
        project: that has the table, where it has films of a hospital.
        check: gets the findings.
        manifest: of data/raw.
    """
    known = sorted(set(manifest["patient_id"][manifest["key_id"] != ""]))
    table = read_table(project, check, RAW, NUMBERS) if known else None
    if table is None:
        return set()
    path = str(RAW / NUMBERS.name)
    if check.whole(MANIFEST_CSV):
        compare_lists(check, path, list(table["patient_id"]), known, f"the patients of hospitals in {MANIFEST_CSV}")
    for patient, number in zip(table["patient_id"], table["number_id"], strict=True):
        if not re.fullmatch(PSEUDONYM, number):  # a spreadsheet makes a number of one without letters
            check.add(f"{path}: {patient}/number_id", "mismatch", f"{number!r:.40} is no pseudonym")
    return set(table["number_id"])


def films_by_hash(manifest: pd.DataFrame) -> dict[str, str]:
    """Image ids by the pseudonyms of films, by which one of a patient who withdrew is known again."""
    columns = zip(manifest["image_id"], manifest["sha256"], manifest["pixel_sha256"], strict=True)
    return {film_pseudonym(digest): image for image, *digests in columns for digest in digests}


def check_withdrawn(root: Path, check: Check, known: dict[str, str], keys: set[str]) -> None:
    """The films without those of patients who withdrew.

    Args:
        root: of the project.
        check: gets the findings.
        known: what is here by the pseudonyms of patients, of their numbers and of films.
        keys: that made them.
    """
    copied, pinned = RAW / WITHDRAWN.name, WITHDRAWN_PINS
    if not check.whole(str(copied), str(pinned)):
        return
    try:
        expected = read_withdrawn(root / pinned)
    except UserError as error:
        check.add(str(pinned), "mismatch", without_path(error, root / pinned))
        return
    if bytes_of(root / copied) != bytes_of(root / pinned):
        check.add(str(copied), "mismatch", f"it is not {pinned}, which ingest copies")
    for row in expected:
        if what := known.get(row["patient_id"]):
            check.add(f"{MANIFEST_CSV}: {what}", "mismatch", f"{pinned} says that this patient withdrew")
    for key in sorted(keys):
        for row in under_another_key(expected, key):
            message = f"withdrew under the key {row['key_id']}; films here have pseudonyms of {key}, and may be theirs"
            check.add(f"{pinned}: {row['patient_id']}", "mismatch", message)


def bytes_of(path: Path) -> bytes:
    """The content of a file; nothing where there is none."""
    return path.read_bytes() if path.is_file() else b""


def check_leaks(check: Check, split: pd.DataFrame, facts: pd.DataFrame) -> None:
    """No patient, no group and no film with the pixels of another on two sides of a fold.

    Args:
        check: gets the findings.
        split: of data/dataset.
        facts: columns whose values must not stand on two sides, in the rows of `split`.
    """
    for column in fold_columns(split).values():
        used = split[column].isin(USED)
        for image, word in zip(split["image_id"], split[column], strict=True):
            if word not in (*USED, "unused"):
                check.add(f"{SPLIT_CSV}: {image}/{column}", "mismatch", f"there is no side {word!r}")
        for key in facts:
            sides = split[column][used].groupby(facts[key][used]).agg(lambda words: sorted(set(words)))
            for value, words in sides.items():
                if len(words) > 1:
                    message = f"{column}: {key} {value} stands in {' and '.join(words)}"
                    check.add(f"{SPLIT_CSV}: {value}", "mismatch", message)


def check_raw(project: Project, check: Check) -> None:
    """Every raw picture by the SHA-256, the size and the hash of its pixels that the manifest has."""
    from stages.ingest.quality.duplicates import pixel_hash

    manifest = read_table(project, check, RAW, MANIFEST)
    if manifest is None:
        return
    hashes: dict[str, str] = {}
    for row in MANIFEST.rows(manifest):
        path, cell = project.root / RAW / row["file"], f"{MANIFEST_CSV}: {row['image_id']}"
        if not check.whole(str(RAW / row["file"])) or not path.is_file():
            continue
        pixels = read_picture(path)
        if pixels is None:
            check.add(
                str(RAW / row["file"]), "mismatch", "expected a plain grey picture, found one that can look other"
            )
            continue
        hashes[row["image_id"]] = pixel_hash(pixels)
        facts = {"file_sha256": sha256(path), "pixel_sha256": hashes[row["image_id"]]}
        size = {"width": pixels.shape[1], "height": pixels.shape[0], "bits": pixels.dtype.itemsize * 8}
        for key, value in (facts | size).items():
            if row[key] != value:  # type: ignore[literal-required]
                check.add(f"{cell}/{key}", "mismatch", f"{row[key]} stands there, {value} is here")  # type: ignore[literal-required]


def check_prepared(project: Project, check: Check) -> None:
    """Whether each film's place is on the square, and how much of it lies there; only a rerun shows where it lies."""
    from stages.preprocess.process_film import kept_share

    manifest, prepared = (
        read_table(project, check, folder, table) for folder, table in ((RAW, MANIFEST), (PREPROCESSED, PREPARED))
    )
    if manifest is None or prepared is None:
        return
    pixels = {row["image_id"]: row["width"] * row["height"] for row in MANIFEST.rows(manifest)}
    side = settings_of(project.root, "preprocess").size if check.whole(str(PARAMS)) else None
    for row in PREPARED.rows(prepared):
        place = f"{PREPROCESSED / PREPARED.name}: {row['image_id']}"
        for one, other in (("top", "bottom"), ("left", "right")):
            first, last = row[one], row[other]  # type: ignore[literal-required]
            if side is not None and not 0 <= first < last <= side:
                check.add(f"{place}/{other}", "mismatch", f"from {first} to {last} is no place on a square of {side}")
        size = pixels.get(row["image_id"], 0)
        expected = kept_share(row, size) if size * row["scale_x"] * row["scale_y"] else None
        if row["kept_share"] != expected:
            message = f"{row['kept_share']} stands there, {expected} follows from the film's size, place and scale"
            check.add(f"{place}/kept_share", "mismatch", message)


def check_dataset(project: Project, check: Check) -> None:
    """The split and every picture of the data set, made anew from the prepared films and their shapes.

    A film that stands in the data set twice, under two names, is a leak also where the raw films differ.
    """
    from stages.annotate.main import shapes_by_film
    from stages.annotate.split import assign, further_folds

    tables = [read_table(project, check, folder, table) for folder, table in (
        (RAW, MANIFEST), (RAW, ANNOTATIONS), (PREPROCESSED, PREPARED), (DATASET, SPLIT)
    )]  # fmt: skip
    if any(table is None for table in tables) or not check.whole(str(PARAMS), *map(str, (RAW, PREPROCESSED, LEVELS))):
        return
    films, annotations, prepared, split = (table for table in tables if table is not None)
    settings = settings_of(project.root, "annotate")
    films["fracture"] = films["fractures"] > 0
    try:
        sides = assign(films, settings.split)
        expected = pd.concat(
            [films["image_id"], sides.rename("split"), further_folds(films, sides, settings.split)], axis=1
        )
        grids = {row["image_id"]: row for row in PREPARED.rows(prepared)}
        shapes = shapes_by_film(ANNOTATIONS.rows(annotations))
        rows = [
            check_film(project, check, film, grids[film["image_id"]], shapes[film["image_id"]], side, settings.mask)
            for film, side in zip(MANIFEST.rows(films), sides, strict=True)
        ]
    except (UserError, ValueError, KeyError, IndexError, Image.DecompressionBombError) as error:
        check.add(str(DATASET), "mismatch", f"it cannot follow from {RAW} and {PREPROCESSED}: {first_line(error)}")
        return
    if check.whole(SPLIT_CSV):
        facts = SPLIT.frame(rows)
        compare_tables(check, SPLIT_CSV, split, expected.join(facts[facts.columns.difference(expected.columns)]), True)
    check_copies(project, check, split)


def check_film(project: Project, check: Check, film: Any, grid: Any, shapes: list[Any], side: Any, mask: Any) -> Any:
    """The pictures of a film in the data set against those that they are made of; returns its row of split.csv.

    Args:
        project: whose pictures are read.
        check: gets the findings.
        film: its row of the manifest.
        grid: its row of data/preprocessed.
        shapes: in pixels of the raw film.
        side: of the first fold.
        mask: how masks are drawn, of params.yaml.
    """
    from stages.annotate.main import affine_of, split_row
    from stages.annotate.masks import draw_mask

    image = film["image_id"]
    prepared = [image_file(folder, image) for folder in (PREPROCESSED, LEVELS)]
    sources = {source: read_picture(project.root / source) for source in prepared}
    for source, pixels in sources.items():
        if not is_plain(pixels):
            check.add(str(source), "mismatch", "expected a plain grey picture of 8 bits: this can look otherwise")
    picture, levels = (
        read_png(project.root / source) if pixels is None else pixels for source, pixels in sources.items()
    )
    on_grid = [shape.mapped(affine_of(grid)) for shape in shapes]
    drawn = draw_mask(on_grid, levels.shape, mask, levels)
    expected: dict[Picture, np.ndarray] = {"image": picture, "levels": levels, "mask": drawn * np.uint8(255)}
    for kind, pixels in expected.items():
        path = dataset_file(DATASET, side, image, kind)
        if side in USED and check.whole(str(path), SPLIT_CSV):
            found = read_picture(project.root / path)
            if not is_plain(found) or not np.array_equal(found, pixels):
                check.add(str(path), "mismatch", f"it is not what follows from {RAW}, {PREPROCESSED} and {LEVELS}")
    return split_row(film, grid, side, on_grid, drawn)


def read_picture(path: Path) -> np.ndarray | None:
    """A picture in shades of grey, or None where there is none.

    One with a palette, a second frame, a transparent colour or a scale of brightness of its own would show a reader
    another picture than a program. One with a wrong checksum some programs show and others refuse, and nobody sees
    what stands behind the pixels.
    """
    try:
        pixels = read_png(path)
        with Image.open(path) as image:
            is_grey = image.mode in GREY
        return pixels if is_grey and holds_only(path.read_bytes(), pixels) else None
    except (UserError, OSError, ValueError, struct.error, zlib.error, Image.DecompressionBombError):
        return None


def holds_only(content: bytes, pixels: np.ndarray) -> bool:
    """Whether a PNG is nothing but its pixels, row below row.

    Args:
        content: of the file.
        pixels: that were read from it, uint8 or uint16 (H, W).
    """
    parts = list(chunks(content))
    height, width = pixels.shape
    rows = height * (1 + width * pixels.itemsize)  # a byte before each row says how it is stored
    header = struct.pack(">IIBBBBB", width, height, pixels.itemsize * 8, 0, 0, 0, 0)
    if not PLAIN.fullmatch(b"".join(name for name, _ in parts)) or (parts[0][1], parts[-1][1]) != (header, b""):
        return False
    stream = zlib.decompressobj()
    unpacked = stream.decompress(b"".join(data for _, data in parts[1:-1]), rows + 1)
    return len(unpacked) == rows and stream.eof and not stream.unused_data


def is_plain(pixels: np.ndarray | None) -> TypeGuard[np.ndarray]:
    """Whether `read_picture` found a picture of 8 bits: in one of 16, what a program takes for white is black."""
    return pixels is not None and pixels.dtype == np.uint8


def chunks(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Name and content of each part of a PNG; of others behind its end, if something stands there.

    Raises:
        ValueError: a part has another checksum than it says.
        struct.error: what stands there is no part.
    """
    offset, head, tail = len(b"\x89PNG\r\n\x1a\n"), struct.Struct(">I4s"), struct.Struct(">I")
    while offset < len(content):
        length, name = head.unpack_from(content, offset)
        end = offset + head.size + length
        data = content[offset + head.size : end]
        if tail.unpack_from(content, end)[0] != zlib.crc32(name + data):
            raise ValueError(f"{name!r}: the checksum is wrong")
        yield name, data
        offset = end + tail.size


def check_copies(project: Project, check: Check, split: pd.DataFrame) -> None:
    """No two films of equal pixels on two sides of a fold of the data set."""
    from stages.ingest.quality.duplicates import pixel_hash

    if not check.whole(str(DATASET)):
        return
    used = split[split["split"].isin(USED)]
    names = defaultdict(list)
    for image, side in zip(used["image_id"], used["split"], strict=True):
        names[pixel_hash(read_png(project.root / dataset_file(DATASET, side, image)))].append(image)
    for one, other in twins(names):
        for column in fold_columns(split).values():
            sides = set(split.set_index("image_id").loc[[one, other], column]) & set(USED)
            if len(sides) > 1:
                message = f"{column}: {one} and {other} have the same pixels and stand in {' and '.join(sorted(sides))}"
                check.add(f"{DATASET}: {other}", "mismatch", message)


def twins(names: dict[str, list[str]]) -> Iterator[tuple[str, str]]:
    """Neighbours among films of one hash."""
    for images in names.values():
        yield from pairwise(images)
