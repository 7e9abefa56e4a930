"""The one record of a refusal, and its sentence."""

import pytest

from stages.ingest.problems import Problem, Refusal

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
