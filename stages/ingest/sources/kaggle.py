"""Kaggle data sets: one version, fetched once, resumed when cut, and held to the hashes that were pinned.

kagglehub does the talking (endpoints, credentials, checksums, ranges). Its own last step unpacks the archive without
looking at it; here the archive stays packed in kagglehub's cache, and `file_access.Archive` reads its members.

Run, to fetch and pin the Kaggle data sets of `ingest.sources`: wrist fetch kaggle
"""

import hashlib
import logging
import re
from functools import partial
from pathlib import Path
from typing import Any

from tqdm import tqdm

from stages.common.core.errors import UserError, error_list
from stages.common.core.files import write_text
from stages.common.data.layout import PINS
from stages.ingest.file_access import Archive, printable
from stages.ingest.params import Kaggle, Limits
from stages.ingest.problems import Unreadable
from stages.ingest.sources.pins import SHA256, compare, need_pins
from stages.ingest.sources.retry import Broken, explain, persist, why_cut, why_no_answer

LOGIN = "put a token from kaggle.com/settings into KAGGLE_API_TOKEN or ~/.kaggle/access_token"
ANSWERS = {
    401: f"expected valid Kaggle credentials, found none or expired ones (401); {LOGIN}",
    403: "expected permission, found none (403); open its page on kaggle.com as this user and accept its rules",
    404: "expected this data set and version, found neither (404); correct handle and version in ingest.sources",
}


def pin_file(entry: Kaggle, pins: Path = PINS) -> Path:
    return pins / f"{entry.handle.replace('/', '--')}--v{entry.version}.sha256"


def read_pins(entry: Kaggle, pins: Path = PINS) -> dict[str, str]:
    """The sha256 of every file of a data set by name.

    Raises:
        UserError: the data set was never fetched and pinned, or the file is not as `write_pins` writes it.
    """
    path = need_pins(pin_file(entry, pins), entry.title, "wrist fetch kaggle")
    text = path.read_bytes().decode(errors="replace")  # with the line ends that stand there
    hashes = {name: digest for digest, _, name in (line.partition("  ") for line in text.split("\n")[:-1])}
    sound = "\r" not in text and all(re.fullmatch(SHA256, digest) for digest in hashes.values())
    if pin_text(hashes) != text or not sound:
        raise UserError(
            f"{path}: expected the SHA-256 and the name of each file, each once, as `sha256sum` writes them, found "
            "something else; restore the committed file"
        )
    return hashes


def pin_text(hashes: dict[str, str]) -> str:
    """A file of pins, as `sha256sum` writes it, sorted by name."""
    return "".join(f"{digest}  {name}\n" for name, digest in sorted(hashes.items()))


def write_pins(entry: Kaggle, archive: Archive, pins: Path = PINS) -> int:
    """Pin every file of an archive; what was pinned before must be what is there now. Returns the number of files.

    Raises:
        UserError: names the files that cannot be read, or are not what they were.
    """
    hashes, damaged = dict[str, str](), list[str]()
    for name in tqdm(archive.names(), disable=None):
        try:
            hashes[name] = hashlib.sha256(archive.read(name)).hexdigest()
        except Unreadable as error:
            damaged.append(error.problem.sentence(printable(name)))
    if damaged:
        raise error_list(f"{entry.title}: expected files that can be read, found others", damaged)
    if pin_file(entry, pins).exists():
        check_pins(entry, hashes, pins)
    write_text(pin_file(entry, pins), pin_text(hashes))
    return len(hashes)


def digest_of(archive: Archive, name: str) -> str:
    """The SHA-256 of a file of an archive; of a damaged one a word that is none."""
    try:
        return hashlib.sha256(archive.read(name)).hexdigest()
    except Unreadable:
        return "damaged"


def check_pins(entry: Kaggle, hashes: dict[str, str], pins: Path = PINS) -> None:
    """Raise a UserError that names what is new, gone or changed since a data set was pinned."""
    compare(pin_file(entry, pins), entry.title, read_pins(entry, pins), hashes)


def obtain(entry: Kaggle, inbox: Path, limits: Limits) -> Archive:
    """The archive of a data set: the copy in the inbox that the entry names, else kagglehub's, fetched if need be."""
    if entry.archive:
        path = inbox / entry.archive
        if not path.is_file():
            raise UserError(
                f"{entry.handle}: expected its archive at {path}, found none; copy it there, or correct `archive` in "
                "ingest.sources"
            )
        return Archive(path, limits, entry.label)
    return Archive(download(entry), limits, entry.label)


def in_cache(entry: Kaggle) -> tuple[Any, Path, Path]:
    """kagglehub's handle of a data set, where it keeps the archive, and the mark that this is whole."""
    from kagglehub.cache import get_cached_archive_path
    from kagglehub.handle import DatasetHandle

    owner, name = entry.handle.split("/")
    handle = DatasetHandle(owner=owner, dataset=name, version=entry.version)
    path = Path(get_cached_archive_path(handle))
    return handle, path, path.with_name(f"{path.name}.complete")


def is_here(entry: Kaggle) -> bool:
    """Whether the archive of a data set was downloaded whole."""
    _, path, done = in_cache(entry)
    return path.exists() and done.exists()


def download(entry: Kaggle) -> Path:
    """The path of the downloaded archive in kagglehub's cache; without a connection when it is there already.

    A cut connection is taken up again where it broke, a few times by itself and in any later call. kagglehub checks
    the MD5 that the storage states.

    Raises:
        UserError: what Kaggle or the network said, in a sentence with the fix.
    """
    handle, path, done = in_cache(entry)
    if is_here(entry):
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    logging.getLogger("kagglehub").setLevel(logging.ERROR)
    persist(entry.handle, path, partial(fetch, handle, path))
    done.touch()
    return path


def fetch(handle: Any, path: Path) -> None:
    """One attempt, which goes on from what `path` holds already."""
    import requests
    from kagglehub.clients import build_kaggle_client, download_file
    from kagglehub.exceptions import DataCorruptionError, handle_call
    from kagglesdk.datasets.types.dataset_api_service import ApiDownloadDatasetRequest

    request = ApiDownloadDatasetRequest()
    request.owner_slug, request.dataset_slug = handle.owner, handle.dataset
    request.dataset_version_number = handle.version
    try:
        with build_kaggle_client() as client:
            api = client.datasets.dataset_api_client
            response = handle_call(lambda: api.download_dataset(request), handle)
            download_file(response, str(path), handle)
    except requests.HTTPError as error:
        raise UserError(f"{handle}: {explain(error.response, ANSWERS, 'Kaggle')}") from None
    except DataCorruptionError:
        raise UserError(
            f"{handle}: expected the MD5 that Kaggle states, found another; the file was removed, run it again"
        ) from None
    except (requests.ConnectionError, requests.exceptions.ChunkedEncodingError, requests.Timeout) as error:
        raise Broken(why_cut(error)) from None
    except (OSError, ValueError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise  # a full disk: the stage's shell has the sentence
        raise UserError(f"{handle}: expected an answer of Kaggle's, found {why_no_answer(error)}; {LOGIN}") from None
