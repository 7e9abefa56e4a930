"""dvc.lock as DVC writes it, and as a kill or a full disk leaves it."""

import pytest

from stages.common.core.errors import UserError
from tests.helpers.paths import ROOT
from tools.audit.dvc_lock import Lock, read_stages, read_yaml

TEXT = (ROOT / "dvc.lock").read_text()


@pytest.mark.slow
def test_a_lock_that_was_cut_off_anywhere_is_damaged_or_lacks_stages() -> None:
    names = set(Lock(TEXT).stages)
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
    with pytest.raises(UserError, match=rf"dvc\.lock: expected outputs of ingest in the project, found '{path}'"):
        read_stages({"ingest": entry})


@pytest.mark.parametrize("text", ["a: 1\na: 2\n", "a: 1\n---\na: 2\n", "a: [", "\0"])
def test_params_that_say_something_twice_or_nothing_are_one_sentence(text: str) -> None:
    with pytest.raises(UserError, match=r"params\.yaml: expected one YAML document with each key once"):
        read_yaml("params.yaml", text)
