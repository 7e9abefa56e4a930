"""The comment for a pull request replaces no file of others."""

from pathlib import Path

import pytest

from scripts.comment import HEADING, main
from stages.common.core.errors import UserError


@pytest.mark.parametrize(
    ("content", "refused"),
    [
        ("dear diary", r"notes\.md: expected a new file or one of this command's, found another"),
        (None, r"notes\.md: expected a new file or one of this command's, found another"),
        (f"{HEADING}\n", r"reports/curves/baseline_history\.csv"),
    ],
    ids=["another file", "a link", "an earlier comment"],
)
def test_only_an_earlier_comment_is_replaced(content: str | None, refused: str, tmp_path: Path) -> None:
    """A project without a run has no curves, which are asked for once the place is known to be free."""
    target = tmp_path / "notes.md"
    if content is None:
        target.symlink_to("nowhere")
    else:
        target.write_text(content)
    with pytest.raises(UserError, match=refused):
        main(target, tmp_path)
    assert target.is_symlink() or target.read_text() == content
