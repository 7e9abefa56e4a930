"""The one record of a refusal, and its sentence."""

import pytest

from stages.ingest.problems import Problem, Refusal, in_words

LINE = Problem("a number", "'x'", "correct the row", 3)
MISSING = Problem(
    "", "labels refer to missing image 'doe.png'", "add the image", public="labels refer to a missing image"
)


@pytest.mark.parametrize(
    ("problem", "sentence"),
    [
        (LINE, "a.csv, line 3: expected a number, found 'x'; correct the row"),
        (LINE.redacted(), "a.csv, line 3: expected a number, found something else; correct the row"),
        (MISSING, "a.csv: labels refer to missing image 'doe.png'; add the image"),
        (MISSING.redacted(), "a.csv: labels refer to a missing image; add the image"),
    ],
)
def test_a_problem_in_words_and_without_what_may_be_a_patients(problem: Problem, sentence: str) -> None:
    assert problem.sentence("a.csv") == sentence


def test_a_refusal_names_the_film_and_the_file_that_has_the_problem() -> None:
    refusal = Refusal("folder", "a.png", LINE, "0f", cause="a.txt")
    assert refusal.row == {
        "source": "folder",
        "file": "a.png",
        "sha256": "0f",
        "reason": "a.txt, line 3: expected a number, found 'x'; correct the row",
    }
    assert Refusal("folder", "a.png", LINE).reason.startswith("a.png, line 3")


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (KeyError("DOE"), "a part that is missing"),
        (IndexError("DOE"), "a part that is missing"),
        (TypeError("DOE"), "a value of another kind than belongs there"),
        (AttributeError("DOE"), "a value of another kind than belongs there"),
        (UnicodeDecodeError("utf-8", b"DOE", 0, 1, "DOE"), "text in another encoding than it should have"),
        (ValueError("DOE"), "a value that does not belong there"),
        (OverflowError("DOE"), "a number too large, too small or undefined"),
        (MemoryError(), "more than the free memory holds"),
        (RecursionError("DOE"), "parts that are nested too deeply"),
        (EOFError("DOE"), "an end that comes too early"),
        (OSError("DOE"), "an end that comes too early, or damage"),
        (RuntimeError("DOE"), "a fault that has no name here"),
    ],
)
def test_what_no_code_foresaw_is_put_into_words_without_the_librarys(error: Exception, words: str) -> None:
    assert in_words(error) == words
