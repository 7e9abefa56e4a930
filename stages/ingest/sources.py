"""The doors: a Kaggle archive, a hospital's DICOM export, a local folder. Each yields Records."""

import csv
import hashlib
import hmac
import os
import zipfile
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from io import StringIO
from pathlib import Path, PurePosixPath

import numpy as np

from stages.common.errors import Fault
from stages.ingest.boxes import read_coco, read_voc, read_yolo
from stages.ingest.films import SUFFIXES, decode_picture, read_dicom, spacing
from stages.ingest.records import Record, image_id

MAX_MEMBER_BYTES = 512 * 2**20
KEY_VARIABLE = "PSEUDONYM_KEY_FILE"
IMAGE_COLUMNS, PATIENT_COLUMNS = ("image_id", "filename", "filestem", "image"), ("patient_id", "patient", "group")


def pseudonym(key: bytes, kind: str, value: str) -> str:
    """Keyed HMAC-SHA256 of an identifier, 16 hex digits: one name per person, and only the key links back."""
    return hmac.new(key, f"{kind}\0{value.strip()}".encode(), hashlib.sha256).hexdigest()[:16]


def read_key() -> bytes:
    """The pseudonym key of this site: the content of the file that PSEUDONYM_KEY_FILE names, at least 32 bytes.

    Raises:
        Fault: no such variable or file, or a key short enough to be guessed.
    """
    path = os.environ.get(KEY_VARIABLE, "")
    if not path or not Path(path).is_file():
        raise Fault(
            f"{KEY_VARIABLE}: expected the path of a secret key outside the repository, found {path or 'nothing'!r}; "
            "make one with `head -c 32 /dev/urandom > FILE`, keep it safe, and export the variable"
        )
    key = Path(path).read_bytes()
    if len(key) < 32:
        raise Fault(f"{KEY_VARIABLE}: expected at least 32 random bytes, found {len(key)}; make a longer key")
    return key


def kaggle_archive(path: Path, source: str, licence: str) -> Iterator[Callable[[], Record]]:
    """Films of a Kaggle zip: `**/images/NAME.png|jpg` with `**/labels/NAME.txt` (YOLO), `dataset.csv` for patients.

    Yields one closure per film, so that reading a film fails by itself and the others can still be checked.
    """
    try:
        archive = zipfile.ZipFile(path)
    except (OSError, zipfile.BadZipFile) as error:
        raise Fault(f"{path.name}: expected a zip archive, found {error}; download it again") from None
    names = {name for name in archive.namelist() if not name.endswith("/")}
    tables = [table_rows(decode(member(archive, n), n), n) for n in sorted(names) if n.endswith("dataset.csv")]
    patients = {name: found["patient"] for table in tables for name, found in table.items() if found["patient"]}

    def read(name: str) -> Record:
        content = member(archive, name)
        pixels = decode_picture(content, f"{path.name}/{name}")
        stem = PurePosixPath(name).stem
        label = str(PurePosixPath(name).parent.parent / "labels" / f"{stem}.txt")
        if label not in names:
            raise Fault(
                f"{path.name}/{name}: expected its boxes in {label} (empty for no fracture), found no such file"
            )
        text = decode(member(archive, label), f"{path.name}/{label}")
        boxes = read_yolo(text, pixels.shape[1], pixels.shape[0], f"{path.name}/{label}")
        patient = pseudonym(b"public data set", "patient", f"{source}/{patients.get(stem, stem)}")
        return picture_record(content, pixels, stem, source, name, patient, licence, boxes)

    for name in sorted(names):
        if PurePosixPath(name).parent.name == "images" and name.lower().endswith(SUFFIXES):
            yield partial(read, name)


def member(archive: zipfile.ZipFile, name: str) -> bytes:
    """A member's bytes; never written to disk, so that paths in the archive cannot point anywhere."""
    size = archive.getinfo(name).file_size
    if size > MAX_MEMBER_BYTES:
        raise Fault(f"{name}: expected a member of at most {MAX_MEMBER_BYTES} bytes, found {size}; unpack it by hand")
    try:
        return archive.read(name)
    except (zipfile.BadZipFile, zlib.error, OSError, RuntimeError) as error:  # RuntimeError: locked by a password
        raise Fault(f"{name}: expected a whole archive member, found {error}; download the archive again") from None


def decode(content: bytes, name: str) -> str:
    """The text of a label file or table, with or without a byte-order mark.

    Raises:
        Fault: not UTF-8.
    """
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise Fault(
            f"{name}: expected text in UTF-8, found another encoding ({error.reason}); save it as UTF-8"
        ) from None


def hospital_export(folder: Path, source: str, licence: str, key: bytes) -> Iterator[Callable[[], Record]]:
    """Films of a DICOM export: every `*.dcm` below `folder` with PASCAL VOC boxes in an `.xml` of the same name.

    Identifying attributes never leave this function: patients and films are named by keyed pseudonyms, file
    names are dropped, and only pixels, modality, spacing and photometric interpretation are passed on.
    """

    def read(number: int, path: Path) -> Record:
        # File names in an export may hold names and dates, so messages name a film by its place in the sorted list.
        name = f"DICOM file {number} of the export (sorted by path)"
        content = path.read_bytes()
        dataset, pixels = read_dicom(content, name)
        annotation = path.with_suffix(".xml")
        if not annotation.exists():
            raise Fault(f"{name}: expected a PASCAL VOC .xml beside it (without objects for no fracture), found none")
        boxes = read_voc(annotation.read_bytes(), pixels.shape[1], pixels.shape[0], f"{name}, its .xml")
        patient, film = str(dataset.get("PatientID") or ""), str(dataset.get("SOPInstanceUID") or "")
        if not patient or not film:
            raise Fault(f"{name}: expected PatientID and SOPInstanceUID, found one of them empty; export it again")
        return Record(
            image_id=f"h-{pseudonym(key, 'film', film)}",
            source=source,
            source_file="",
            sha256=hashlib.sha256(content).hexdigest(),
            patient_id=pseudonym(key, "patient", patient),
            modality=str(dataset.Modality),
            spacing_mm=spacing(dataset),
            photometric=str(dataset.PhotometricInterpretation),
            licence=licence,
            pixels=pixels,
            boxes=boxes,
        )

    for number, path in enumerate(sorted(folder.rglob("*.dcm")), start=1):
        yield partial(read, number, path)


def local_folder(folder: Path, annotations: str, licence: str) -> Iterator[Callable[[], Record]]:
    """Films of a folder tree with COCO (one `*.json`), VOC (`NAME.xml`) or YOLO (`NAME.txt`) boxes anywhere in it.

    A film without an annotation is a film without a fracture. A CSV with an image column (image_id, filename,
    filestem or image) may give `patient_id` (or `group`) and `split`; a film without patient is its own patient.
    """
    tables = [table_rows(decode(path.read_bytes(), path.name), path.name) for path in sorted(folder.rglob("*.csv"))]
    known = {name: found for table in tables for name, found in table.items()}
    coco = coco_boxes(folder) if annotations == "coco" else {}
    suffix = {"voc": ".xml", "yolo": ".txt"}.get(annotations, "")
    beside = {path.stem: path for path in sorted(folder.rglob(f"*{suffix}"))} if suffix else {}

    def read(path: Path) -> Record:
        name = path.relative_to(folder).as_posix()
        content = path.read_bytes()
        pixels = decode_picture(content, name)
        height, width = pixels.shape
        if annotations == "coco":
            boxes = coco.get(path.name, np.zeros((0, 4)))
        elif path.stem not in beside:
            boxes = np.zeros((0, 4))
        elif annotations == "voc":
            boxes = read_voc(beside[path.stem].read_bytes(), width, height, beside[path.stem].name)
        else:
            label = beside[path.stem].name
            boxes = read_yolo(decode(beside[path.stem].read_bytes(), label), width, height, label)
        found = known.get(path.name) or known.get(path.stem) or {"patient": "", "split": ""}
        patient = pseudonym(b"public data set", "patient", f"folder/{found['patient'] or path.stem}")
        return picture_record(content, pixels, path.stem, "folder", name, patient, licence, boxes, found["split"])

    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() in SUFFIXES and path.is_file():
            yield partial(read, path)


def coco_boxes(folder: Path) -> dict[str, np.ndarray]:
    """The boxes of the folder's one COCO file (other JSON files, such as VIA's, hold no `annotations`)."""
    found = [path for path in sorted(folder.rglob("*.json")) if '"annotations"' in path.read_text(errors="replace")]
    if len(found) != 1:
        raise Fault(
            f"{folder}: expected one COCO .json, found {len(found)}; "
            "leave one, or choose `ingest.annotations: voc` or `yolo`"
        )
    return read_coco(found[0])


def table_rows(text: str, name: str) -> dict[str, dict[str, str]]:
    """Rows of a CSV by image name, as {patient, split}; a CSV without an image column is not about images: no rows.

    Raises:
        Fault: an image stands in the table twice.
    """
    reader = csv.DictReader(StringIO(text))
    columns = reader.fieldnames or []
    image = next((column for column in IMAGE_COLUMNS if column in columns), None)
    if image is None:
        return {}
    patient = next((column for column in PATIENT_COLUMNS if column in columns), "")
    rows: dict[str, dict[str, str]] = {}
    for line in reader:
        if line[image] in rows:
            raise Fault(f"{name}: expected one row per image, found {line[image]} twice; remove one row")
        rows[line[image]] = {"patient": line.get(patient) or "", "split": line.get("split") or ""}
    return rows


def picture_record(
    content: bytes,
    pixels: np.ndarray,
    stem: str,
    source: str,
    file: str,
    patient: str,
    licence: str,
    boxes: np.ndarray,
    split: str = "",
) -> Record:
    """A Record of an ordinary picture, which states neither modality (hence OT, DICOM's "other") nor spacing."""
    return Record(
        image_id=image_id(stem),
        source=source,
        source_file=file,
        sha256=hashlib.sha256(content).hexdigest(),
        patient_id=patient,
        modality="OT",
        spacing_mm=None,
        photometric="MONOCHROME2",
        licence=licence,
        pixels=pixels,
        boxes=boxes,
        split=split,
    )
