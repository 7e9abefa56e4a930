"""dvc.lock as DVC writes it, and as a kill or a full disk leaves it."""

import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from pydantic import ValidationError

from stages.common.core.errors import UserError
from tests.helpers.paths import ROOT
from tools.audit.check_params import differences
from tools.audit.check_record import LockedFile, check_lock_form
from tools.audit.dvc_lock import Lock, read_stages
from tools.audit.findings import Check
from tools.audit.trace import Project
from tools.audit.yaml_files import read_yaml

TEXT = (ROOT / "dvc.lock").read_text()


@pytest.mark.slow
def test_a_lock_that_was_cut_off_anywhere_is_damaged_or_lacks_stages() -> None:
    names = {name: set[str]() for name in Lock(TEXT).stages}
    damaged = 0
    for length in range(0, len(TEXT) - 2, 97):
        try:
            Lock(TEXT[:length], names)
        except UserError:
            damaged += 1
    assert damaged > 20


@pytest.mark.parametrize("text", ["", "\0" * 4096, "schema: '2.0'\n", "stages: 3\n", "stages:\n  ingest: x\n", "[1]"])
def test_what_is_no_lock_is_one_sentence(text: str) -> None:
    with pytest.raises(UserError, match=r"dvc\.lock: expected the stages that ran, found a damaged file"):
        Lock(text)


@pytest.mark.parametrize("path", ["/home/me/thesis", "../thesis", "data/../../thesis"])
def test_an_output_that_lies_elsewhere_is_refused_since_a_rerun_would_remove_it(path: str) -> None:
    entry = {"cmd": "x", "outs": [{"path": path, "md5": "0" * 32}]}
    said = r"dvc\.lock: expected outputs of ingest in the project, found '(/home/me|\.\.)/thesis'"
    with pytest.raises(UserError, match=said):
        read_stages({"ingest": entry})


@pytest.mark.parametrize("text", ["a: 1\na: 2\n", "a: 1\n---\na: 2\n", "a: [", "\0"])
def test_params_that_say_something_twice_or_nothing_are_one_sentence(text: str) -> None:
    with pytest.raises(UserError, match=r"params\.yaml: expected one YAML document with each key once"):
        read_yaml("params.yaml", text)


def test_a_yes_is_no_number_among_parameters() -> None:
    pairs = [(True, 1), ([True], [1]), ({"mirror": False}, {"mirror": 0}), ([{"flip": [True]}], [{"flip": [1]}])]
    assert all(list(differences("evaluate", *pair)) for pair in pairs)
    assert not any(list(differences("evaluate", *pair)) for pair in [(1, 1.0), ([True, 0.0], [True, 0])])


@pytest.mark.parametrize("pair", [({"seed": None}, {}), ({}, {"seed": None}), ([{"seed": None}], [{}])])
def test_a_parameter_that_is_not_there_is_none_that_is_null(pair: tuple[Any, Any]) -> None:
    """A trace would show it, and DVC takes the stage for changed."""
    assert list(differences("train", *pair))


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("stages:\n", "stages:\n# - path: reports/comparison.csv\n#   md5: 00000000000000000000000000000000\n"),
        ("schema: '2.0'", "schema: &version '2.0'"),
        ("schema: '2.0'", "schema: !!str 2.0"),
        ("schema: '2.0'\n", "%YAML 1.1\n---\nschema: '2.0'\n"),
        ("size: ", "size: +"),
        ("      hash: md5\n      md5: ([0-9a-f.dir]+)\n", r"      md5: \1\n      hash: md5\n"),
        ("    cmd: (.*)\n((?:    .*\n)*?)    outs:", r"\2    cmd: \1\n    outs:"),
        ("\n", "\r\n"),
    ],
    ids=["comment", "anchor", "tag", "directive", "number", "keys of a file", "keys of a stage", "ends of lines"],
)
def test_a_lock_that_dvc_writes_in_another_form_is_named(before: str, after: str, tmp_path: Path) -> None:
    """Programs read the same in it, and who looks a hash up by hand reads another."""
    project = cast("Project", SimpleNamespace(root=tmp_path))
    for content, count in ((TEXT, 0), (re.sub(before, after, TEXT), 1)):
        (tmp_path / "dvc.lock").write_bytes(content.encode())
        check = Check()
        check_lock_form(project, check)
        assert len(check.findings) == count


@pytest.mark.parametrize("count", ["size", "nfiles"])
def test_a_file_has_no_size_below_0(count: str) -> None:
    file = {"path": "data/raw", "hash": "md5", "md5": "0" * 32 + ".dir", "size": 0, "nfiles": 0}
    LockedFile.model_validate(file)
    with pytest.raises(ValidationError, match=count):
        LockedFile.model_validate(file | {count: -1})
