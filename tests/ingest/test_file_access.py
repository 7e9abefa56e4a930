"""Archives are hostile until shown otherwise."""

import os
import stat
import struct
import warnings
import zipfile
from pathlib import Path

import pytest

from stages.common.core.errors import UserError
from stages.ingest.file_access import Archive, Folder
from stages.ingest.params import Limits
from stages.ingest.problems import Unreadable

LIMITS = Limits(megapixels=64, file_mb=4, archive_gb=1, archive_ratio=100)


def pack(folder: Path, *members: tuple[str | zipfile.ZipInfo, bytes], name: str = "set.zip") -> Archive:
    with zipfile.ZipFile(folder / name, "w", zipfile.ZIP_DEFLATED) as target:
        for member, content in members:
            target.writestr(member, content)
    return Archive(folder / name, LIMITS, "set.zip")


def link(name: str) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    return info


def test_a_harmless_archive_is_read(tmp_path: Path) -> None:
    archive = pack(tmp_path, ("b/x.txt", b"1"), ("a.txt", b""), ("c/", b""))
    assert archive.names() == ["a.txt", "b/x.txt"]
    assert archive.read("b/x.txt") == b"1"


@pytest.mark.parametrize(
    ("member", "why"),
    [
        ("../up.txt", "leads out"),
        ("a/../../up.txt", "leads out"),
        ("/etc/passwd", "leads out"),
        ("C:/windows.txt", "leads out"),
        ("..\\up.txt", "leads out"),
        ("a\\b.txt", "backslash"),
        (link("a.txt"), "a link or device"),
        (".", "no name"),
    ],
)
def test_a_name_that_could_write_elsewhere_is_refused(member: str | zipfile.ZipInfo, why: str, tmp_path: Path) -> None:
    archive = pack(tmp_path, ("fine.txt", b"1"), (member, b"2"))
    with pytest.raises(UserError, match=why) as fault:
        archive.names()
    assert "fine.txt" not in str(fault.value)
    with pytest.raises(UserError, match=why):
        archive.read("fine.txt")


@pytest.mark.parametrize("other", ["A/X.TXT", "a/x.txt"])
def test_names_that_fall_together_are_refused(other: str, tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # zipfile's own of a duplicate name
        archive = pack(tmp_path, ("a/x.txt", b"1"), (other, b"2"))
    with pytest.raises(UserError, match="where case is ignored"):
        archive.names()
    accents = pack(tmp_path, ("caf\u00e9", b"1"), ("cafe\u0301", b"2"), name="accents.zip")
    with pytest.raises(UserError, match="where case is ignored"):
        accents.names()


def test_bombs_are_refused_unopened(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="more than 100 times"):
        pack(tmp_path, ("zeros", bytes(3 * 2**20))).names()
    with pytest.raises(UserError, match=r"5 MB where ingest\.limits\.file_mb allows 4"):
        pack(tmp_path, ("zeros", bytes(5 * 2**20)), name="large.zip").names()


def test_the_sum_of_all_members_is_limited(tmp_path: Path) -> None:
    archive = pack(tmp_path, ("a", bytes(900_000)), ("b", bytes(900_000)))
    assert len(archive.names()) == 2
    none = LIMITS.model_copy(update={"archive_gb": 0})
    with pytest.raises(UserError, match="GB unpacked where"):
        Archive(tmp_path / "set.zip", none).names()


@pytest.mark.parametrize("claimed", [10, 3 * 2**20])
def test_a_member_that_lies_about_its_size_is_refused(claimed: int, tmp_path: Path) -> None:
    pack(tmp_path, ("a", bytes(900_000)))
    content = bytearray((tmp_path / "set.zip").read_bytes())
    offset = content.index(b"PK\x01\x02")
    content[offset + 20 : offset + 28] = struct.pack("<II", 100_000, claimed)
    (tmp_path / "set.zip").write_bytes(content)
    with pytest.raises(Unreadable) as refused:
        Archive(tmp_path / "set.zip", LIMITS).read("a")
    assert refused.value.problem.expected == "a whole archive member"


def test_a_locked_or_damaged_member_and_no_archive_at_all(tmp_path: Path) -> None:
    pack(tmp_path, ("a.txt", b"some text that is long enough" * 9))
    whole = (tmp_path / "set.zip").read_bytes()
    locked = bytearray(whole)
    for signature, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        locked[locked.index(signature) + flags] |= 1  # bit 0: encrypted (APPNOTE 4.4.4)
    (tmp_path / "locked.zip").write_bytes(locked)
    with pytest.raises(UserError, match="password"):
        Archive(tmp_path / "locked.zip", LIMITS).names()
    damaged = bytearray(whole)
    damaged[40] ^= 0xFF
    (tmp_path / "damaged.zip").write_bytes(damaged)
    with pytest.raises(Unreadable) as refused:
        Archive(tmp_path / "damaged.zip", LIMITS).read("a.txt")
    assert refused.value.problem.expected == "a whole archive member"
    (tmp_path / "no.zip").write_bytes(b"PK no")
    with pytest.raises(UserError, match=r"no\.zip: expected a zip archive"):
        Archive(tmp_path / "no.zip", LIMITS).names()


def test_a_folder_is_listed_and_its_large_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    (tmp_path / "b/x.png").write_bytes(b"1")
    (tmp_path / "a.png").write_bytes(bytes(5 * 2**20))
    folder = Folder(tmp_path, LIMITS)
    assert folder.names() == ["a.png", "b/x.png"]
    assert folder.read("b/x.png") == b"1"
    with pytest.raises(Unreadable, match="a file of at most 4 MB"):
        folder.read("a.png")


def test_a_link_to_a_folder_is_refused_since_its_films_would_vanish(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "in").mkdir()
    (tmp_path / "in/DOE").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UserError, match="found a link to one") as fault:
        Folder(tmp_path / "in", LIMITS).names()
    assert "DOE" not in str(fault.value)


def test_what_is_no_file_is_not_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "zero.png").symlink_to("/dev/zero")
    for name in Folder(tmp_path, LIMITS).names():
        with pytest.raises(Unreadable) as refused:
            Folder(tmp_path, LIMITS).read(name)
        assert refused.value.problem.actual == "a pipe, socket or device"


def test_a_damaged_member_is_named_without_the_words_of_a_library(tmp_path: Path) -> None:
    for method in (zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA):
        with zipfile.ZipFile(tmp_path / f"{method}.zip", "w", method) as target:
            target.writestr("a.txt", os.urandom(1000))
        content = bytearray((tmp_path / f"{method}.zip").read_bytes())
        content[200:300] = bytes(100)
        (tmp_path / f"{method}.zip").write_bytes(content)
        with pytest.raises(Unreadable) as refused:
            Archive(tmp_path / f"{method}.zip", LIMITS).read("a.txt")
        assert refused.value.problem.actual == "a damaged one"


@pytest.mark.parametrize(("place", "value"), [(6, 99), (8, 1 << 11), (24, 0xFFFFFFFF)])
def test_a_damaged_list_of_members_is_named_without_the_words_of_a_library(
    place: int, value: int, tmp_path: Path
) -> None:
    """A version that Python cannot read, a name that is not the UTF-8 that it says, and a size beyond the archive."""
    pack(tmp_path, ("b\xe4.txt".encode().decode(), b"text"))
    content = bytearray((tmp_path / "set.zip").read_bytes())
    entry = content.index(b"PK\x01\x02")
    width = 4 if place == 24 else 2
    content[entry + place : entry + place + width] = value.to_bytes(width, "little")
    content[entry + 46 + 1] = 0xE4  # of the name
    (tmp_path / "damaged.zip").write_bytes(content)
    with pytest.raises(UserError, match=r"^damaged\.zip: "):
        Archive(tmp_path / "damaged.zip", LIMITS).names()


def test_a_member_with_a_blank_name_is_refused(tmp_path: Path) -> None:
    pack(tmp_path, ("#.txt", b"text"))
    content = (tmp_path / "set.zip").read_bytes().replace(b"#.txt", b"\0.txt")
    (tmp_path / "blank.zip").write_bytes(content)
    with pytest.raises(UserError, match="leads out"):
        Archive(tmp_path / "blank.zip", LIMITS).names()
