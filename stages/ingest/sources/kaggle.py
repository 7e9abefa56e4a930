"""Kaggle data sets: one version, fetched once, resumed when cut, and held to the hashes that were pinned.

kagglehub does the talking (endpoints, credentials, checksums, ranges). Its own last step unpacks the archive without
looking at it; here the archive stays packed in kagglehub's cache, and `file_access.Archive` reads its members.

Run, to fetch and pin the Kaggle data sets of `ingest.sources`: wrist fetch kaggle
"""

import hashlib
import logging
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tqdm import tqdm

from stages.common.core.errors import UserError, error_list
from stages.common.core.files import write_text
from stages.common.data.layout import PINS
from stages.ingest.file_access import Archive
from stages.ingest.params import Kaggle, Limits

TRIES = 4
AGAIN = "run the same command again: it goes on where it stopped"
LOGIN = "put a token from kaggle.com/settings into KAGGLE_API_TOKEN or ~/.kaggle/access_token"


def pin_file(entry: Kaggle, pins: Path = PINS) -> Path:
    return pins / f"{entry.handle.replace('/', '--')}--v{entry.version}.sha256"


def read_pins(entry: Kaggle, pins: Path = PINS) -> dict[str, str]:
    """The sha256 of every file of a data set by name, as `sha256sum` writes them.

    Raises:
        UserError: the data set was never fetched and pinned.
    """
    path = pin_file(entry, pins)
    if not path.exists():
        raise UserError(
            f"{path}: expected the hashes of {entry.handle} version {entry.version}, found no such file; "
            "run `wrist fetch kaggle`, look at what it says, and commit the file"
        )
    lines = path.read_text().splitlines()
    return {name: digest for digest, _, name in (line.partition("  ") for line in lines)}


def write_pins(entry: Kaggle, archive: Archive, pins: Path = PINS) -> int:
    """Pin every file of an archive; what was pinned before must be what is there now. Returns the number of files.

    Raises:
        UserError: names the files that are not what they were.
    """
    hashes = {name: hashlib.sha256(archive.read(name)).hexdigest() for name in tqdm(archive.names(), disable=None)}
    if pin_file(entry, pins).exists():
        compare(entry, read_pins(entry, pins), hashes)
    write_text(pin_file(entry, pins), "".join(f"{digest}  {name}\n" for name, digest in sorted(hashes.items())))
    return len(hashes)


def compare(entry: Kaggle, pinned: dict[str, str], hashes: dict[str, str]) -> None:
    """Raise a UserError that names what is new, gone or changed since a data set was pinned; a hash '' is unknown."""
    findings = [f"{name}: gone" for name in sorted(pinned.keys() - hashes.keys())]
    findings += [f"{name}: new" for name in sorted(hashes.keys() - pinned.keys())]
    both = sorted(pinned.keys() & hashes.keys())
    findings += [f"{name}: changed" for name in both if hashes[name] and hashes[name] != pinned[name]]
    if findings:
        raise error_list(
            f"{entry.handle} version {entry.version} is not what {pin_file(entry).name} pins; find out why, and remove "
            "the pin file to accept it",
            findings,
        )


def obtain(entry: Kaggle, inbox: Path, limits: Limits) -> Archive:
    """The archive of a data set: the copy in the inbox that the entry names, else kagglehub's, fetched if need be."""
    label = f"{entry.handle}/v{entry.version}"
    if entry.archive:
        path = inbox / entry.archive
        if not path.is_file():
            raise UserError(
                f"{entry.handle}: expected its archive at {path}, found none; copy it there, or correct `archive` in "
                "ingest.sources"
            )
        return Archive(path, limits, label)
    return Archive(download(entry), limits, label)


def download(entry: Kaggle) -> Path:
    """The path of the downloaded archive in kagglehub's cache; without a connection when it is there already.

    A cut connection is taken up again where it broke, a few times by itself and in any later call. kagglehub checks
    the MD5 that the storage states.

    Raises:
        UserError: what Kaggle or the network said, in a sentence with the fix.
    """
    from kagglehub.cache import get_cached_archive_path
    from kagglehub.handle import DatasetHandle

    owner, name = entry.handle.split("/")
    handle = DatasetHandle(owner=owner, dataset=name, version=entry.version)
    path = Path(get_cached_archive_path(handle))
    done = path.with_name(f"{path.name}.complete")
    if path.exists() and done.exists():
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    logging.getLogger("kagglehub").setLevel(logging.ERROR)
    for left in reversed(range(TRIES)):
        try:
            fetch(handle, path)
            break
        except Broken as cut:
            if not left:
                size = path.stat().st_size if path.exists() else 0
                raise UserError(
                    f"{entry.handle}: expected a whole download, found the connection cut {TRIES} times "
                    f"({size / 2**20:.1f} MB are here; {cut}); {AGAIN}"
                ) from None
            time.sleep(0.5 * (TRIES - left))
    done.touch()
    return path


class Broken(Exception):
    """A connection that ended too early."""


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
        raise UserError(f"{handle}: {explain(error.response)}") from None
    except DataCorruptionError:
        raise UserError(
            f"{handle}: expected the MD5 that Kaggle states, found another; the file was removed, run it again"
        ) from None
    except (requests.ConnectionError, requests.exceptions.ChunkedEncodingError, requests.Timeout) as error:
        raise Broken(type(error).__name__) from None
    except (OSError, ValueError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise  # a full disk: the stage's shell has the sentence
        raise UserError(
            f"{handle}: expected Kaggle's credentials or answer, found {type(error).__name__}; {LOGIN}"
        ) from None


def explain(response: Any) -> str:
    """A sentence for what Kaggle answered; neither its text nor the request is quoted, since they hold credentials."""
    status, waits = response.status_code, response.headers.get("Retry-After", "")
    sentences = {
        401: f"expected valid Kaggle credentials, found none or expired ones (401); {LOGIN}",
        403: "expected permission, found none (403); open its page on kaggle.com as this user and accept its rules",
        404: "expected this data set and version, found neither (404); correct handle and version in ingest.sources",
        429: "expected to be served, found too many requests (429); "
        f"wait {waits + ' seconds' if waits.isdecimal() else 'some minutes'}, then {AGAIN}",
    }
    return sentences.get(status, f"expected an answer, found an error of Kaggle's ({status}); try again later")


def statements(entries: list[Kaggle]) -> Iterator[str]:
    """What a person should know of the chosen sets before their first byte is fetched."""
    for entry in entries:
        yield f"{entry.handle} version {entry.version}, licence: {entry.licence}"
        if entry.warning:
            yield f"  warning: {entry.warning}"
