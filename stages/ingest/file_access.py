"""Where files come from: a folder, or a zip archive that is taken for hostile until shown otherwise."""

import os
import stat
import unicodedata
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Protocol

from stages.common.core.errors import UserError, error_list
from stages.common.core.printed import one_line
from stages.ingest.params import Limits
from stages.ingest.problems import Unreadable

SMALL = 2**20  # bytes; below this no ratio is a bomb
# What macOS, Windows and Synology put into folders by themselves; `._a.png` holds attributes of a.png, not a film, and
# `~$a.xlsx` who has a.xlsx open in Excel.
SYSTEM_NAMES = {".ds_store", "thumbs.db", "ehthumbs.db", "desktop.ini"}
SYSTEM_FOLDERS = {"__macosx", ".spotlight-v100", ".trashes", ".fseventsd", "@eadir", "$recycle.bin"}


class FileAccess(Protocol):
    """Named files, with `/` between folders."""

    @property
    def label(self) -> str:
        """What messages call it."""

    def all_names(self) -> list[str]:
        """All files, sorted."""

    def names(self) -> list[str]:
        """All files but those of operating systems, sorted."""
        return [name for name in self.all_names() if not is_system_file(name)]

    def system_files(self) -> list[str]:
        """The files that an operating system put there by itself."""
        return [name for name in self.all_names() if is_system_file(name)]

    def read(self, name: str) -> bytes:
        """The bytes of one file; raises Unreadable when it is damaged or too large."""

    def called(self, name: str) -> str:
        """What messages call a file."""
        return printable(name)


@dataclass(frozen=True)
class Folder(FileAccess):
    """label: what messages call it. of_hospital: whether names of its files may be a patient's."""

    path: Path
    limits: Limits
    label: str = ""
    of_hospital: bool = False

    def called(self, name: str) -> str:
        return numbered(self.all_names())[name] if self.of_hospital else printable(name)

    def all_names(self) -> list[str]:
        names = []
        for folder, folders, files in os.walk(self.path, onerror=self.refuse):
            if any(self.is_link(Path(folder) / name) for name in folders):
                raise UserError(
                    f"{self.label or 'the inbox'}: expected folders, found a link to one, whose films neither ingest "
                    "nor DVC looks for; put the folder itself in its place"
                )
            names += [(Path(folder) / file).relative_to(self.path).as_posix() for file in files]
        return sorted(names)

    def is_link(self, path: Path) -> bool:
        try:
            return path.is_symlink()
        except OSError as error:
            self.refuse(error)
            raise

    def refuse(self, error: OSError) -> None:
        """What cannot be looked at would lose its films without a word. Its name may be a patient's."""
        raise UserError(
            f"{self.label or 'the inbox'}: expected files and folders that can be read, found one that cannot "
            f"({error.strerror}); make it readable"
        ) from None

    def read(self, name: str) -> bytes:
        return self.head(name, -1)

    def head(self, name: str, size: int) -> bytes:
        """The first bytes of a file, all of them for -1; raises as `read` does."""
        return read_file(self.path / name, self.limits.file_mb, "raise ingest.limits.file_mb", size)


def read_file(path: Path, most: int, fix: str, size: int = -1) -> bytes:
    """The first bytes of a file, all of them for -1.

    Args:
        path: of the file.
        most: MB that it may have.
        fix: what to do about a larger one.
        size: bytes.
    Raises:
        Unreadable: it is no file, is larger, or cannot be read.
    """
    try:
        facts = path.stat()
        if not stat.S_ISREG(facts.st_mode):  # a pipe that nobody writes to is waited for, a device has no end
            raise Unreadable("a file", "a pipe, socket or device", "remove it")
        if facts.st_size > most * 2**20:
            raise Unreadable(f"a file of at most {most} MB", f"{facts.st_size / 2**20:.0f} MB", fix)
        with path.open("rb") as file:
            return file.read(size)
    except OSError as error:  # whose text holds the path, and that a patient's name
        fix = "make it readable" if path.exists() else "bring it back, or remove the link to it"
        raise Unreadable("a file that can be read", f"{error.strerror}", fix) from None


@dataclass(frozen=True)
class Archive(FileAccess):
    """A zip, read member by member in memory: nothing is unpacked, so no name in it can point anywhere."""

    path: Path
    limits: Limits
    label: str = ""

    def all_names(self) -> list[str]:
        return sorted(members(self.path, self.limits, stamp(self.path)))

    def read(self, name: str) -> bytes:
        now = stamp(self.path)
        info = members(self.path, self.limits, now)[name]
        try:
            with open_zip(self.path, now).open(info) as file:
                content = file.read(info.file_size + 1)
            if len(content) != info.file_size:
                raise EOFError(f"{len(content)} of {info.file_size} bytes")
        except MemoryError:
            raise
        except NotImplementedError:
            raise Unreadable("a zip member", "a way of compression that Python cannot read", "pack it again") from None
        except Exception:  # of a damaged member each way of compression has its own
            raise Unreadable("a whole archive member", "a damaged one", "download the archive again") from None
        return content


@dataclass(frozen=True)
class Joined(FileAccess):
    """Files of one folder; the members of an archive lie below its name without `.zip`."""

    folder: Path
    files: tuple[str, ...]
    limits: Limits
    label: str = ""

    def all_names(self) -> list[str]:
        plain = [name for name in self.files if name not in self.archives]
        members = [f"{top}/{name}" for top, archive in self.by_top.items() for name in archive.all_names()]
        return sorted(plain + members)

    def read(self, name: str) -> bytes:
        top, _, member = name.partition("/")
        return self.by_top[top].read(member) if member else Folder(self.folder, self.limits).read(name)

    @property
    def archives(self) -> list[str]:
        return [name for name in self.files if name.lower().endswith(".zip")]

    @property
    def by_top(self) -> dict[str, Archive]:
        return {name[: -len(".zip")]: Archive(self.folder / name, self.limits) for name in self.archives}


def is_system_file(name: str) -> bool:
    """Whether an operating system, and no person, put a file of this name into a folder."""
    path = PurePosixPath(name.lower())
    return (
        path.name in SYSTEM_NAMES
        or path.name.startswith(("._", "~$"))
        or not SYSTEM_FOLDERS.isdisjoint(path.parts[:-1])
    )


def numbered(names: Iterable[str]) -> dict[str, str]:
    """What messages and tables call the files of a hospital's export, by their names, which may hold a patient's.

    Args:
        names: of all files, sorted.
    """
    return {name: f"file {number} of the export (sorted by path)" for number, name in enumerate(names, start=1)}


def printable(name: str) -> str:
    """A file's name, with escapes such as \\udce4 for bytes that are no UTF-8, and for all that a terminal obeys."""
    return "".join(one if unicodedata.category(one) == "Zs" else one_line(one) for one in name)  # Zs: kinds of blanks


def stamp(path: Path) -> int:
    """When an archive was last written, so that what is remembered of it goes with it."""
    return path.stat().st_mtime_ns if path.exists() else 0


@lru_cache(maxsize=8)
def open_zip(path: Path, written: int) -> zipfile.ZipFile:
    """The archive, opened once in a process; `written` is its stamp."""
    try:
        return zipfile.ZipFile(path)
    except OSError as error:  # whose text holds the path
        raise UserError(f"{path.name}: expected a file that can be read ({error.strerror}); make it readable") from None
    except MemoryError:
        raise
    except Exception:  # a damaged list of members fails in many ways
        raise UserError(
            f"{path.name}: expected a zip archive, found another file or half of one; download it again"
        ) from None


@lru_cache(maxsize=8)
def members(path: Path, limits: Limits, written: int) -> dict[str, zipfile.ZipInfo]:
    """The files of an archive by name, after all of them have been looked at.

    Raises:
        UserError: a member that could write elsewhere, a link, a lock, a bomb, or names that are one on file systems
            that ignore case or spell accents otherwise.
    """
    infos = [info for info in open_zip(path, written).infolist() if not info.filename.endswith("/")]
    findings = [f"{info.filename[:120]!r}: {why}" for info in infos if (why := hostile(info, limits))]
    originals: dict[str, str] = {}
    for info in infos:
        folded = unicodedata.normalize("NFC", info.filename).casefold()
        if folded in originals:
            findings.append(
                f"{info.filename[:120]!r}: is one file with {originals[folded][:120]!r} where case is ignored"
            )
        originals.setdefault(folded, info.filename)
    total = sum(info.file_size for info in infos)
    if total > limits.archive_gb * 2**30:
        findings.append(f"{total / 2**30:.1f} GB unpacked where ingest.limits.archive_gb allows {limits.archive_gb}")
    if findings:
        raise error_list(f"{path.name}: not opened, since its members are not what a data set needs", findings)
    return {info.filename: info for info in infos}


def hostile(info: zipfile.ZipInfo, limits: Limits) -> str:
    """Why a member is refused; '' if it is harmless."""
    name = info.orig_filename
    pure = PurePosixPath(name.replace("\\", "/"))
    if pure.is_absolute() or ".." in pure.parts or (len(name) > 1 and name[1] == ":") or "\0" in name:
        return "a path that leads out of the archive"
    if not pure.parts:
        return "no name"
    if "\\" in name:
        return "a backslash in its path"
    kind = stat.S_IFMT(info.external_attr >> 16)
    if kind not in (0, stat.S_IFREG):
        return "a link or device, not a file"
    if info.flag_bits & 1:
        return "locked by a password"
    if info.file_size > limits.file_mb * 2**20:
        return f"{info.file_size / 2**20:.0f} MB where ingest.limits.file_mb allows {limits.file_mb}"
    if info.file_size > max(SMALL, limits.archive_ratio * info.compress_size):
        return f"unpacks to more than {limits.archive_ratio} times its size (ingest.limits.archive_ratio)"
    return ""
