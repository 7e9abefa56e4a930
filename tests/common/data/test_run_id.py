from argparse import ArgumentParser

import pytest

from stages.common.data.run_id import Run, add_run_arguments


def parse(*words: str) -> Run:
    parser = ArgumentParser()
    add_run_arguments(parser)
    return Run(**vars(parser.parse_args(words)))


def test_a_run_is_read_from_a_command_and_names_its_stage_and_folder() -> None:
    run = parse("adaptive", "20", "3")
    assert run == Run("adaptive", 20, 3)
    assert str(run) == "adaptive-20-3"
    assert run.folder.as_posix() == "adaptive/seed-20-fold-3"
    assert parse("baseline") == Run("baseline", 1, 1)


@pytest.mark.parametrize(
    "words", [(), ("base",), ("adaptive", "x"), ("adaptive", "-1"), ("adaptive", "1", "0"), ("adaptive", "1", "1", "1")]
)
def test_other_words_are_refused(words: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        parse(*words)
    assert "error: " in capsys.readouterr().err
