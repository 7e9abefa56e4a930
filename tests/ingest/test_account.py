"""The account of a source; that of a whole folder stands in test_main."""

from stages.ingest.account import Account, account_for
from stages.ingest.params import Folder as FolderSource
from stages.ingest.problems import Problem, Refusal
from stages.ingest.types import FilmResult, SourceFilm, SourcePlan


def test_films_of_withdrawn_patients_and_refused_films_are_counted_apart() -> None:
    entry = FolderSource(annotations="voc")
    films = [SourceFilm(name, "s", entry, None, name, name) for name in ("a", "b", "c")]  # type: ignore[arg-type]
    plan = SourcePlan("s", dict.fromkeys(["a", "b", "c", "d"], "of no use here"), films)
    plan.refusals.append(Refusal("s", "d", Problem("", "bad", "")))
    refused = FilmResult("b", "s", "b")
    taken = FilmResult("a", "s", "a", row={"image_id": "a"})  # type: ignore[typeddict-item]
    account = account_for(plan, [taken, refused])
    assert account.sentence == "s: 4 files = 1 films + 0 label files + 0 tables + 2 refused + 1 left out"
    assert account.reasons == ["s: 1 file of patients who withdrew"]


def test_an_empty_source_has_an_account() -> None:
    assert Account("s").seen == 0
