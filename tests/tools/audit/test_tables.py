"""Records as an audit reads them, and lists of the cache that would lead it astray."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from stages.common.core.errors import UserError
from tools.audit.dvc_cache import listing, object_path, object_paths
from tools.audit.findings import Check
from tools.audit.tables import read_record, same
from tools.audit.trace import Project


@pytest.mark.parametrize("text", ['{"f1": 0.99, "f1": 0.4}', '{"a": {"f1": 0.99, "f1": 0.4}}', "[1]", "{", ""])
def test_a_record_that_says_something_twice_or_nothing_is_named(text: str, tmp_path: Path) -> None:
    """Programs take the last of two values, and a reader the first."""
    (tmp_path / "metrics.json").write_text(text)
    check = Check()
    assert read_record(cast("Project", SimpleNamespace(root=tmp_path)), check, Path("metrics.json")) is None
    assert [finding.name for finding in check.findings] == ["metrics.json"]


def test_no_record_leads_out_of_the_cache(tmp_path: Path) -> None:
    """What a list names as a patient's, withdraw removes."""
    (tmp_path / ".dvc").mkdir()
    good, folder = "0" * 32, "1" * 32 + ".dir"
    path = object_path(tmp_path, folder)
    path.parent.mkdir(parents=True)
    for name, md5 in (("a.png", f"../{tmp_path}/victim"), ("../a.png", good), ("/a.png", good), ("a.png", "")):
        path.write_text(json.dumps([{"relpath": name, "md5": md5}]))
        listing.cache_clear()
        assert listing(tmp_path, folder) is None
    path.write_text(json.dumps([{"relpath": "a/..b.png", "md5": good}]))
    listing.cache_clear()
    assert listing(tmp_path, folder) == {"a/..b.png": good}
    for md5 in (f"../{tmp_path}/victim", "", "..victim", f"{good}/../x"):
        with pytest.raises(UserError, match=r"dvc\.lock: expected the MD5"):
            object_paths(tmp_path, md5)


@pytest.mark.parametrize(("found", "expected"), [(True, 1), (False, 0.0), (1, True), (0.0, np.False_), ([True], [1])])
def test_a_yes_is_no_number(found: Any, expected: Any) -> None:
    assert not same(found, expected)
    assert same(found, found)
    assert same(expected, expected)


def test_numpys_yes_is_pythons() -> None:
    assert same(np.True_, True)
    assert not same(np.True_, False)
