"""Hashes are cut in text, and nothing else."""

import pytest

from tools.audit.render import brief, shortened

MD5 = "0123456789abcdef0123456789abcdef"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (MD5, "0123456789ab"),
        (f"{MD5}.dir", "0123456789ab.dir"),
        (2 * MD5, "0123456789ab"),
        ("not committed", "not committed"),
        ("uncommitted-changes-of-a-stage", "uncommitted-changes-of-a-stage"),
        ("", ""),
    ],
)
def test_only_hashes_are_shortened(text: str, shown: str) -> None:
    assert shortened(text) == brief("md5", text) == shown
