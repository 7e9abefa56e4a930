"""Byte code and git's objects, forged where nobody looks."""

import os
import py_compile
import zlib
from importlib.util import cache_from_source
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from tests.helpers.processes import run
from tools.audit.check_code import check_objects, is_forged, linked_folders, plugins
from tools.audit.findings import Check
from tools.audit.trace import Project

MODES = py_compile.PycInvalidationMode


@pytest.mark.parametrize("mode", MODES)
def test_byte_code_of_another_source_that_python_would_run_is_forged(mode: MODES, tmp_path: Path) -> None:
    source, cached = tmp_path / "a.py", Path(cache_from_source(str(tmp_path / "a.py")))
    source.write_text("GOOD = 1\n")
    py_compile.compile(str(source), invalidation_mode=mode)
    assert not is_forged(cached.read_bytes(), source)
    honest = cached.read_bytes()
    stamp = source.stat()
    source.write_text("EVIL = 1\n")
    py_compile.compile(str(source), invalidation_mode=mode)
    evil = cached.read_bytes()
    source.write_text("GOOD = 1\n")
    os.utime(source, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    assert is_forged(honest[:16] + evil[16:], source)
    assert is_forged(honest[:16] + b"no code", source)


def test_stale_byte_code_which_python_compiles_anew_is_none(tmp_path: Path) -> None:
    source = tmp_path / "a.py"
    source.write_text("A = 1\n")
    content = Path(py_compile.compile(str(source))).read_bytes()
    source.write_text("A = 22\n")
    assert not is_forged(content, source)


def test_an_object_of_git_that_is_not_what_its_name_says_is_named(tmp_path: Path) -> None:
    run(tmp_path, "git", "init", "-q")
    (tmp_path / "a").write_text("good")
    run(tmp_path, "git", "add", "a")
    run(tmp_path, "git", "-c", "user.name=t", "-c", "user.email=t@example.org", "commit", "-qm", "x")
    project, check = cast("Project", SimpleNamespace(root=tmp_path)), Check()
    check_objects(project, check)
    assert check.findings == []
    blob = run(tmp_path, "git", "rev-parse", "HEAD:a").strip()
    file = tmp_path / ".git/objects" / blob[:2] / blob[2:]
    file.unlink()
    file.write_bytes(zlib.compress(b"blob 4\0evil"))
    assert run(tmp_path, "git", "show", "HEAD:a") == "evil"
    check_objects(project, check)
    assert [finding.name for finding in check.findings] == ["git"]


def test_a_link_in_place_of_a_folder_of_the_commit_is_named(tmp_path: Path) -> None:
    """What Python imports through it no walk over the project's folders meets."""
    (tmp_path / "elsewhere/train").mkdir(parents=True)
    (tmp_path / "stages").symlink_to("elsewhere")
    assert linked_folders(tmp_path, ["stages/train/loop.py", "elsewhere/train/loop.py"]) == ["stages"]


def test_records_at_the_root_that_make_code_a_librarys_plugin_are_named(tmp_path: Path) -> None:
    for name in ("evil-1.0.dist-info", "Evil.EGG-INFO", "docs"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "entry_points.txt").write_text("[mlflow.request_header_provider]\nx=evil:X\n")
    (tmp_path / "own.egg-info").mkdir()  # as a build leaves it
    (tmp_path / "own.egg-info/entry_points.txt").write_text("[console_scripts]\nwrist = tools.wrist:main\n")
    assert list(plugins(tmp_path)) == ["Evil.EGG-INFO", "evil-1.0.dist-info"]
