"""Links by which a reader sees other files than the audit."""

import os
from pathlib import Path

import pytest

from stages.common.core.errors import UserError
from tests.helpers.params import change_params
from tests.helpers.processes import run
from tools.audit.check_files import check_ignored
from tools.audit.check_links import check_links, public_name, way_of
from tools.audit.clean_clone import verify_commit
from tools.audit.compare import compare
from tools.audit.findings import Check
from tools.audit.trace import Project


def test_a_link_that_is_another_file_for_a_reader_who_stands_elsewhere_is_named(own: Path) -> None:
    (own / "predictions").mkdir()
    (own / "reports/comparison.csv").rename(own / "predictions/good.csv")
    (own / "reports/predictions").mkdir()
    (own / "reports/predictions/good.csv").write_text("row,f1\nadaptive,1\n")
    (own / "reports/comparison.csv").symlink_to("/proc/self/cwd/predictions/good.csv")
    assert run(own / "reports", "cat", "comparison.csv") == "row,f1\nadaptive,1\n"  # the attack works
    assert named(own) == ["reports/comparison.csv"]
    same, sentence = compare(Project(own), "HEAD")
    assert not same
    assert sentence.endswith("changed since they were made are reports/comparison.csv")
    with pytest.raises(UserError, match="found these links"):  # of which a clone has copies
        verify_commit(own, "HEAD", [])


def test_a_link_of_weights_that_is_another_file_for_each_reader_is_named(own: Path) -> None:
    """They are no input that DVC knows of."""
    weights = own / "data/weights/mine.safetensors"
    weights.parent.mkdir(exist_ok=True)
    weights.symlink_to("/proc/self/cwd/good.safetensors")
    found = Project(own)
    for stage in found.lock.stages.values():
        if "train.network" in stage.params:
            network = {"architecture": "Unet", "weights": "data/weights/mine.safetensors"}
            stage.params["train.network"] = network
    check_links(found, check := Check())
    assert [finding.name for finding in check.findings] == ["data/weights/mine.safetensors"]


def test_a_file_of_a_hospitals_export_is_not_called_by_its_name(own: Path) -> None:
    change_params(own, {"ingest": {"sources": [{"source": "hospital", "annotations": "none"}]}})
    (own / "data/incoming/DOE_JANE").mkdir()
    (own / "data/incoming/DOE_JANE/IM1").symlink_to("/proc/self/cwd/x")
    assert public_name(own, "data/incoming/DOE_JANE/IM1") == "data/incoming: a file in it"
    assert public_name(own, "data/raw/manifest.csv") == "data/raw/manifest.csv"
    check = Check()
    check_ignored(Project(own), check)
    check_links(Project(own), check)
    assert not any("DOE" in finding.name + finding.message for finding in check.findings)


def test_links_on_the_way_to_an_output_and_of_documents_are_named(own: Path, tmp_path: Path) -> None:
    (own / "models/adaptive").rename(tmp_path / "adaptive")
    (own / "models/adaptive").symlink_to(tmp_path / "adaptive")
    (own / "prov.json").symlink_to("nothing")
    assert named(own) == ["models/adaptive/seed-1-fold-1", "prov.json"]


def test_links_into_the_cache_are_dvcs_own_unless_they_leave_it(own: Path, tmp_path: Path) -> None:
    run(own, "dvc", "config", "--local", "cache.type", "symlink")
    run(own, "dvc", "checkout", "--relink")
    assert (own / "reports/comparison.csv").is_symlink()
    assert named(own) == []
    cached = (own / "reports/comparison.csv").readlink()
    cached.rename(tmp_path / "elsewhere.csv")
    cached.symlink_to(tmp_path / "elsewhere.csv")
    assert named(own) == ["reports/comparison.csv"]


def test_the_way_of_a_path_is_that_of_the_system_and_has_no_end_where_each_program_has_its_own(tmp_path: Path) -> None:
    (tmp_path / "a/b").mkdir(parents=True)
    for name, target in (("up", "a/b/.."), ("far", "up/b/../../a"), ("round", "round"), ("own", "/dev/fd/0"),
                         ("proc", "../" * 20 + "proc/self/cwd")):  # fmt: skip
        (tmp_path / name).symlink_to(target)
    for name in ("up/b", "far/b", "a/../far"):
        assert way_of(tmp_path / name) == os.path.realpath(tmp_path / name)
    assert [way_of(tmp_path / name) for name in ("round", "own", "proc/x")] == ["", "", ""]


def named(project: Path) -> list[str]:
    check = Check()
    check_links(Project(project), check)
    return [finding.name for finding in sorted(check.findings)]
