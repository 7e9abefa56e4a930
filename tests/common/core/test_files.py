import errno
import os
import stat
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from stages.common.core.errors import UserError, error_list
from stages.common.core.files import (
    WRITERS,
    check_replaceable,
    new_folder,
    read_json,
    read_png,
    write_json,
    write_png,
    write_text,
)
from stages.common.data.tables import write_table


def test_a_failed_folder_leaves_the_last_good_one_and_no_rest(tmp_path: Path) -> None:
    with new_folder(tmp_path / "out") as out:
        (out / "a").write_text("good")
    with pytest.raises(RuntimeError, match="half written"), new_folder(tmp_path / "out") as out:
        (out / "a").write_text("bad")
        raise RuntimeError("half written")
    assert (tmp_path / "out/a").read_text() == "good"
    assert [p.name for p in tmp_path.iterdir()] == ["out"]


def test_a_new_folder_replaces_the_old_one_whole(tmp_path: Path) -> None:
    for name in ("first", "second"):
        with new_folder(tmp_path / "out") as out:
            (out / name).touch()
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["second"]


def test_what_a_killed_call_left_is_removed(tmp_path: Path) -> None:
    (tmp_path / ".out-partial-1").mkdir()
    (tmp_path / ".out-partial-1-old").mkdir()
    with new_folder(tmp_path / "out"):
        pass
    assert [p.name for p in tmp_path.iterdir()] == ["out"]


def test_two_calls_for_one_folder_build_apart(tmp_path: Path) -> None:
    with new_folder(tmp_path / "out") as orphan:
        (orphan / "a").write_text("orphan")
        with new_folder(tmp_path / "out") as successor:
            assert list(successor.iterdir()) == []
            (successor / "a").write_text("successor")
        assert (tmp_path / "out/a").read_text() == "successor"
        assert (orphan / "a").read_text() == "orphan"
    assert [p.name for p in tmp_path.iterdir()] == ["out"]


def test_only_a_commands_own_folder_is_replaced(tmp_path: Path) -> None:
    check_replaceable(tmp_path / "new", ("a",))
    (tmp_path / "new").mkdir()
    check_replaceable(tmp_path / "new", ("a",))
    (tmp_path / "new/a").touch()
    check_replaceable(tmp_path / "new", ("a",))
    (tmp_path / "new/thesis.odt").touch()
    with pytest.raises(UserError, match=r"new: expected a new folder or one of this command's, found one with 'thesis"):
        check_replaceable(tmp_path / "new", ("a",))
    with pytest.raises(UserError, match="found a file; name another"):
        check_replaceable(tmp_path / "new/a", ("a",))


def test_too_many_writers_of_one_folder_are_refused(tmp_path: Path) -> None:
    with ExitStack() as stack:
        for _ in range(WRITERS):
            stack.enter_context(new_folder(tmp_path / "out"))
        with pytest.raises(UserError, match="4 other processes write it now"), new_folder(tmp_path / "out"):
            pass


def test_a_folder_that_another_call_takes_away_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before it is locked, it looks like one that a killed call left."""
    opened = os.open

    def taken(path: Path, flags: int) -> int:
        if Path(path).name == ".out-partial-1" and Path(path).is_dir():
            Path(path).rmdir()
        return opened(path, flags)

    monkeypatch.setattr("stages.common.core.files.os.open", taken)
    with new_folder(tmp_path / "out") as out:
        assert out.name == ".out-partial-2"


def test_a_mount_point_is_refused_before_the_work() -> None:
    with pytest.raises(UserError, match="found a mount point; name a folder in it"), new_folder(Path("/proc")):
        raise AssertionError


def test_a_pipe_in_a_files_place_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "recipe.json")
    with pytest.raises(UserError, match=r"recipe\.json: expected a file, found a folder, pipe or device; remove it"):
        read_json(tmp_path / "recipe.json")


@pytest.mark.parametrize(("mask", "mode"), [(0o022, 0o644), (0o077, 0o600)])
def test_the_umask_is_kept(mask: int, mode: int, tmp_path: Path) -> None:
    before = os.umask(mask)
    try:
        write_text(tmp_path / "a.csv", "x")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a.csv").stat().st_mode) == mode


def test_what_a_killed_worker_left_is_no_output(tmp_path: Path) -> None:
    with new_folder(tmp_path / "out") as out:
        write_text(out / "images/a.csv", "good")
        (out / "images/.b.csv-partial-x").write_text("ha")
    assert [p.name for p in (tmp_path / "out").rglob("*")] == ["images", "a.csv"]


def test_the_old_folder_stays_until_the_new_one_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with new_folder(tmp_path / "out") as out:
        (out / "first").touch()
    listings, real = [], Path.rename

    def watched(self: Path, target: Path) -> Path:
        done = real(self, target)
        listings.append(sorted(p.name for p in tmp_path.rglob("*") if p.is_file()))
        return done

    monkeypatch.setattr(Path, "rename", watched)
    with new_folder(tmp_path / "out") as out:
        (out / "second").touch()
    assert listings == [["first", "second"]] * 2, "nothing is deleted between the renames"


def test_a_new_folder_that_cannot_get_its_name_leaves_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with new_folder(tmp_path / "out") as out:
        (out / "first").touch()
    real = Path.rename

    def full(self: Path, target: Path) -> Path:
        if self.name == ".out-partial-1":
            raise OSError(errno.ENOSPC, "no space")
        return real(self, target)

    monkeypatch.setattr(Path, "rename", full)
    with pytest.raises(OSError, match="no space"), new_folder(tmp_path / "out") as out:
        (out / "second").touch()
    assert [p.name for p in tmp_path.rglob("*")] == ["out", "first"]


def test_a_file_that_cannot_be_written_leaves_the_old_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_text(tmp_path / "a.csv", "good")

    def full(self: Path, target: Path) -> None:
        raise OSError(errno.ENOSPC, "no space")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(OSError, match="no space"):
        write_text(tmp_path / "a.csv", "bad")
    assert (tmp_path / "a.csv").read_text() == "good"
    assert [p.name for p in tmp_path.iterdir()] == ["a.csv"]


@given(arrays(np.uint16, (3, 5)), st.sampled_from([np.uint8, np.uint16]))
def test_png_is_lossless(image: np.ndarray, dtype: type) -> None:
    from tempfile import TemporaryDirectory

    image = image.astype(dtype)
    with TemporaryDirectory() as folder:
        write_png(Path(folder) / "x.png", image)
        decoded = read_png(Path(folder) / "x.png")
    assert decoded.dtype == dtype
    np.testing.assert_array_equal(decoded, image)


def test_pillow_reads_colours_and_masks_as_they_were_written(tmp_path: Path) -> None:
    colours, mask = np.random.default_rng(0).integers(0, 255, (5, 7, 3), dtype=np.uint8), np.eye(6, dtype=bool)
    write_png(tmp_path / "colours.png", colours)
    write_png(tmp_path / "mask.png", mask)
    np.testing.assert_array_equal(read_png(tmp_path / "colours.png"), colours)
    np.testing.assert_array_equal(read_png(tmp_path / "mask.png"), np.where(mask, 255, 0))


def test_png_refuses_floats_and_damaged_files(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="float64"):
        write_png(tmp_path / "x.png", np.zeros((2, 2)))
    (tmp_path / "x.png").write_bytes(b"\x89PNG nothing")
    with pytest.raises(UserError, match=r"x\.png.*expected a PNG"):
        read_png(tmp_path / "x.png")


def test_tables_keep_floats_exact(tmp_path: Path) -> None:
    write_table(tmp_path / "t.csv", pd.DataFrame({"x": [0.1 + 0.2, 1 / 3], "y": [1, 2]}))
    assert (tmp_path / "t.csv").read_bytes() == b"x,y\n0.30000000000000004,1\n0.3333333333333333,2\n"


def test_json_refuses_what_json_does_not_have(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="JSON compliant"):
        write_json(tmp_path / "x.json", {"f1": float("nan")})
    assert not (tmp_path / "x.json").exists()


def test_a_missing_file_names_the_mend(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="dvc repro"):
        read_json(tmp_path / "none.json")


def test_faults_lists_and_counts() -> None:
    text = str(error_list("bad", (f"n{i}" for i in range(30))))
    assert text.startswith("bad (30):\n  - n0")
    assert text.endswith("... and 10 more")
