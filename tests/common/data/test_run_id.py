import pytest

from stages.common.core.errors import UserError
from stages.common.data.run_id import Run, parse_run


def test_a_run_is_read_from_a_command_and_names_its_stage_and_folder() -> None:
    run = parse_run(("adaptive", "20", "3"))
    assert run == Run("adaptive", 20, 3)
    assert str(run) == "adaptive-20-3"
    assert run.folder.as_posix() == "adaptive/seed-20-fold-3"
    assert parse_run(("baseline",)) == Run("baseline", 1, 1)


@pytest.mark.parametrize("words", [(), ("base",), ("adaptive", "x"), ("adaptive", "-1"), ("adaptive", "1", "1", "1")])
def test_what_is_none_is_said(words: tuple[str, ...]) -> None:
    with pytest.raises(UserError, match="expected baseline or adaptive, and a seed and a fold where they are not 1"):
        parse_run(words)
