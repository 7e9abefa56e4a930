"""Public data sets that anybody can fetch by HTTPS: one version, resumed when cut, and held to size and SHA-256.

Archives stay packed; `file_access.Archive` reads their members.

Run, to fetch and pin the files of the `url` entries of `ingest.sources`: wrist fetch url
"""

import csv
import os
import re
import zipfile
from dataclasses import dataclass, replace
from functools import partial
from io import StringIO
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tqdm import tqdm

from stages.common.core.errors import UserError
from stages.common.core.files import write_text
from stages.common.core.hashing import sha256
from stages.common.data.layout import PINS
from stages.ingest.file_access import Joined
from stages.ingest.params import Limits, RemoteFile, Url
from stages.ingest.sources.pins import SHA256, compare, need_pins
from stages.ingest.sources.retry import Broken, explain, persist, why_cut, why_no_answer

COMMAND = "wrist fetch url"
BLOCK = 2**16  # bytes; what is cut within one is fetched again
WAIT = (30, 60)  # seconds: for a connection, and for its next bytes
COLUMNS = ["file", "bytes", "sha256", "address"]
ANSWERS = {
    status: f"expected a file, found none at its address ({status}); correct `address` in ingest.sources"
    for status in (404, 410)
} | {
    status: f"expected a file that anybody can fetch, found that this one needs leave ({status}); get it by hand"
    for status in (401, 403)
}


@dataclass(frozen=True)
class Pin:
    """What a file must be. bytes: 0 for unknown. sha256: blank for unknown. address: where it was fetched."""

    bytes: int = 0
    sha256: str = ""
    address: str = ""


def pin_file(entry: Url, pins: Path = PINS) -> Path:
    return pins / f"{entry.name}--v{entry.version}.csv"


def read_pins(entry: Url, pins: Path = PINS) -> dict[str, Pin]:
    """Size and SHA-256 of every file of a data set, by name.

    Raises:
        UserError: the data set was never fetched and pinned, or the table is not as `write_pins` writes it, or the
            entry names other files now, or states another size or SHA-256.
    """
    path = need_pins(pin_file(entry, pins), entry.title, COMMAND)
    try:
        text = path.read_bytes().decode()  # with the line ends that stand there
        _, *rows = list(csv.reader(StringIO(text, newline=""), strict=True))
        known = {name: Pin(int(size), digest, address) for name, size, digest, address in rows}
        sound = all(pin.bytes > 0 and re.fullmatch(SHA256, pin.sha256) for pin in known.values())
        if pin_text(known) != text or not sound:
            raise ValueError
    except (csv.Error, ValueError):
        raise UserError(
            f"{path}: expected the columns {', '.join(COLUMNS)}, and each file once with its size and SHA-256, found "
            "something else; restore the committed file"
        ) from None
    hashes = {name: pin.sha256 for name, pin in known.items()}
    compare(path, entry.title, hashes, {file.name: file.sha256 for file in entry.files})
    for file in entry.files:
        if file.bytes not in (0, known[file.name].bytes):
            raise UserError(
                f"{path}: expected {file.bytes} bytes for {file.name}, as `bytes` of its entry states, found "
                f"{known[file.name].bytes}; find out why, and remove the pin file to fetch it anew"
            )
    return known


def require_addresses(entry: Url, known: dict[str, Pin], pins: Path = PINS) -> None:
    """Refuse pins of files that were fetched from elsewhere than the entry says.

    Raises:
        UserError: an address differs.
    """
    if moved := [file.name for file in entry.files if known[file.name].address != file.address]:
        raise UserError(
            f"{pin_file(entry, pins)}: expected the address of {', '.join(moved)} in ingest.sources, found another; "
            f"`{COMMAND}` notes the new one, if the file is the same"
        )


def write_pins(entry: Url, known: dict[str, Pin], pins: Path = PINS) -> None:
    table = {file.name: replace(known[file.name], address=file.address) for file in entry.files}
    write_text(pin_file(entry, pins), pin_text(table))


def pin_text(known: dict[str, Pin]) -> str:
    """A table of pins."""
    text = StringIO()
    rows = [[name, pin.bytes, pin.sha256, pin.address] for name, pin in known.items()]
    csv.writer(text, lineterminator="\n").writerows([COLUMNS, *rows])
    return text.getvalue()


def folder_of(entry: Url, inbox: Path) -> Path:
    """Where the files of a data set lie: the folder in the inbox that the entry names, else a cache of the user's."""
    if entry.downloaded:
        return inbox / entry.downloaded
    cache = os.environ.get("WRIST_DOWNLOADS") or Path.home() / ".cache" / "wrist-downloads"
    return Path(cache) / entry.name / f"v{entry.version}"


def files_of(entry: Url, inbox: Path, limits: Limits) -> Joined:
    """The files of a data set, which are there; an archive that is hostile raises a UserError at the first look."""
    names = tuple(file.name for file in entry.files)
    return Joined(folder_of(entry, inbox), names, limits, f"{entry.name}/v{entry.version}")


def obtain(entry: Url, inbox: Path, limits: Limits, pins: Path = PINS) -> Joined:
    """The files of a data set, after each was compared with its pin.

    Raises:
        UserError: one is missing or is not what was pinned.
    """
    known, folder = read_pins(entry, pins), folder_of(entry, inbox)
    require_addresses(entry, known, pins)
    for file in entry.files:
        path = folder / file.name
        if not path.is_file():
            raise missing(entry, path)
        check(path, known[file.name], f"{entry.title} is not what {pin_file(entry).name} pins: {file.name}")
    return files_of(entry, inbox, limits)


def fetch_and_pin(entry: Url, inbox: Path, limits: Limits, pins: Path = PINS) -> dict[str, Pin]:
    """Fetch what is not here yet, compare all files with their pins or with what the entry states, and pin them.

    Returns:
        What each file is, by name.
    Raises:
        UserError: a file cannot be fetched or is not what it must be, or an archive is hostile.
    """
    folder, first = folder_of(entry, inbox), not pin_file(entry, pins).exists()
    stated = {file.name: Pin(file.bytes, file.sha256) for file in entry.files}
    known = stated if first else read_pins(entry, pins)
    what = f"what {'its entry states' if first else pin_file(entry).name + ' pins'}"
    facts = {}
    for file in entry.files:
        path = folder / file.name
        if path.is_file():
            facts[file.name] = check(path, known[file.name], f"{file.name} of {entry.title} is not {what}")
        elif entry.downloaded:
            raise missing(entry, path)
        else:
            facts[file.name] = download(file, path, known[file.name], limits)
    files_of(entry, inbox, limits).all_names()
    write_pins(entry, facts, pins)
    return facts


def missing(entry: Url, path: Path) -> UserError:
    fix = f"copy it there, or correct `downloaded` of {entry.name}" if entry.downloaded else f"run `{COMMAND}`"
    return UserError(f"{path}: expected a file of {entry.title}, found none; {fix}")


def check(path: Path, pin: Pin, otherwise: str) -> Pin:
    """Size and SHA-256 of a file.

    Args:
        path: of the file.
        pin: what it must be.
        otherwise: how a message begins where it is not.
    """
    facts = Pin(path.stat().st_size, sha256(path))
    for expected, actual, unit in ((pin.bytes, facts.bytes, " bytes"), (pin.sha256, facts.sha256, " as SHA-256")):
        if expected and expected != actual:
            raise UserError(
                f"{otherwise}: expected {expected}{unit}, found {actual}; find out why, and remove {path} to fetch it "
                "again"
            )
    return facts


def download(file: RemoteFile, path: Path, pin: Pin, limits: Limits) -> Pin:
    """Fetch a file whole or not at all; what a cut connection left is taken up again by this or a later call.

    Args:
        file: name and address.
        path: where it goes.
        pin: what it must be.
        limits: no more bytes than `archive_gb` are taken.
    Returns:
        What it is.
    Raises:
        UserError: what the server or the network said, or the file is not what it must be.
    """
    part = path.with_name(f"{path.name}.part")
    part.parent.mkdir(parents=True, exist_ok=True)
    otherwise = f"; without a connection fetch {file.address} elsewhere and see `downloaded` of the source url"
    persist(file.name, part, partial(attempt, file, part, pin.bytes, limits), otherwise)
    try:
        facts = check(part, pin, f"{file.name} from {urlsplit(file.address).hostname} is not what is pinned or stated")
        if file.name.lower().endswith(".zip") and not zipfile.is_zipfile(part):
            with part.open("rb") as content:
                page = content.read(512).lstrip()[:1] == b"<"
            what = "a web page" if page else "something else, or a part of one"
            raise UserError(f"{file.name}: expected a zip archive at {file.address}, found {what}; look at it there")
    except UserError:
        discard(part)
        raise
    part.replace(path)
    discard(part)
    return facts


def discard(part: Path) -> None:
    """Remove what was fetched of a file."""
    part.unlink(missing_ok=True)
    validator_of(part).unlink(missing_ok=True)


def validator_of(part: Path) -> Path:
    """The file that holds the ETag, or the time of the last change, of what was fetched."""
    return part.with_name(f"{part.name}.etag")


def attempt(file: RemoteFile, part: Path, size: int, limits: Limits) -> None:
    """One attempt, which goes on from what `part` holds already, as long as the server's file is the same one."""
    import requests

    there, validator = part.stat().st_size if part.exists() else 0, validator_of(part)
    headers = {"Accept-Encoding": "identity"}
    if there and (same := validator.read_text() if validator.exists() else ""):
        headers |= {"Range": f"bytes={there}-", "If-Range": same}
    session = requests.Session()
    session.adapters.pop("http://")
    try:
        with session, session.get(file.address, headers=headers, stream=True, timeout=WAIT) as answer:
            receive(answer, file, part, size, limits)
    except requests.exceptions.InvalidSchema:
        raise UserError(f"{file.name}: expected addresses with https, found a redirect to another; use none") from None
    except requests.exceptions.SSLError:
        raise UserError(
            f"{file.name}: expected a certificate of {urlsplit(file.address).hostname} that this machine trusts, found "
            "another; behind a proxy that signs itself set REQUESTS_CA_BUNDLE to its certificate"
        ) from None
    except (requests.ConnectionError, requests.exceptions.ChunkedEncodingError, requests.Timeout) as error:
        raise Broken(why_cut(error)) from None
    except (requests.RequestException, ValueError) as error:
        raise UserError(f"{file.name}: expected an answer, found {why_no_answer(error)}; correct `address`") from None


def receive(answer: Any, file: RemoteFile, part: Path, size: int, limits: Limits) -> None:
    """Write what a server sends behind what `part` holds, or in place of it where the server begins anew.

    Args:
        answer: of requests, whose body was not read yet.
        file, part, limits: as for `download`.
        size: of the whole file in bytes; 0 for unknown.
    """
    there = part.stat().st_size if part.exists() else 0
    if answer.status_code == 416:  # the server's file is not longer than what is here
        discard(part)
        raise Broken("the server's file is another now")
    resumed = answer.status_code == 206
    if resumed and not answer.headers.get("Content-Range", "").startswith(f"bytes {there}-"):
        discard(part)
        raise Broken("the server sent another range")
    if answer.status_code not in (200, 206):
        raise UserError(f"{file.name}: {explain(answer, ANSWERS, urlsplit(file.address).hostname or '')}")
    length = answer.headers.get("Content-Length", "")
    begin = there if resumed else 0
    whole = begin + int(length) if length.isdecimal() else size
    most = limits.archive_gb * 2**30
    if size and whole != size:
        raise UserError(
            f"{file.name}: expected {size} bytes at {file.address}, found {whole}; the data set changed: look at its "
            "page, and use the version that is there now"
        )
    if whole > most:
        raise UserError(
            f"{file.name}: {whole / 2**30:.1f} GB where ingest.limits.archive_gb allows {limits.archive_gb}"
        )
    tag = answer.headers.get("ETag", "")
    weak = not tag or tag.startswith("W/")  # RFC 9110, 13.1.5: a weak one does not say that the bytes are the same
    write_text(validator_of(part), answer.headers.get("Last-Modified", "") if weak else tag)
    with (
        part.open("ab" if resumed else "wb") as out,
        tqdm(desc=file.name, initial=begin, total=whole or None, unit="B", unit_scale=True, disable=None) as bar,
    ):
        for block in answer.iter_content(BLOCK):
            out.write(block)
            bar.update(len(block))
            if out.tell() > (whole or most):
                discard(part)
                raise UserError(f"{file.name}: more bytes than stated, or than ingest.limits.archive_gb allows")
