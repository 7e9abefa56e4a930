"""From which data/raw a run of DVC's run cache had what it read."""

from stages.common.data.layout import RAW
from tools.audit.dvc_lock import Stage
from tools.audit.versions import makers_of, raws_behind

RAW_PATH = str(RAW)


def stage(deps: dict[str, str], outs: dict[str, str]) -> Stage:
    return Stage("", "", deps, {}, outs)


def behind(run: Stage, *known: Stage) -> set[str]:
    return raws_behind(run, makers_of([*known, run]), {})


FIRST = stage({"inbox": "i1", "stages/ingest/main.py": "c"}, {RAW_PATH: "r1", "reports/data_quality.md": "q1"})
SECOND = stage({"inbox": "i2"}, {RAW_PATH: "r2", "reports/data_quality.md": "q2"})
PREPARED = stage({RAW_PATH: "r1"}, {"data/preprocessed": "p1"})
DATASET = stage({"data/preprocessed": "p1", RAW_PATH: "r1"}, {"data/dataset": "d1"})
TRAINED = stage({"data/dataset": "d1", "data/weights/w": "w"}, {"models/a": "m1"})
EVERY = (FIRST, SECOND, PREPARED, DATASET)


def test_a_training_had_the_films_of_the_data_that_its_records_lead_to() -> None:
    assert behind(TRAINED, *EVERY) == {"r1"}
    assert behind(stage({"models/a": "m1", "data/dataset": "d1"}, {"e": "e1"}), *EVERY, TRAINED) == {"r1"}
    assert behind(FIRST) == {"r1"}
    assert behind(PREPARED, *EVERY) == {"r1"}


def test_the_same_bytes_of_two_data_may_be_of_both() -> None:
    """A film that no side has is in none of them."""
    again = stage({"data/preprocessed": "p1", RAW_PATH: "r2"}, {"data/dataset": "d1"})
    assert behind(TRAINED, *EVERY, again) == {"r1", "r2"}


def test_what_no_record_says_may_be_any() -> None:
    assert behind(stage({"data/dataset": "d9"}, {"models/a": "m9"}), *EVERY) == {""}
    assert behind(stage({"models": "all"}, {"reports/index.html": "h"}), *EVERY, TRAINED) == {""}
    assert behind(stage({"b": "1"}, {"a": "1"}), stage({"a": "1"}, {"b": "1"})) == {""}
    assert behind(stage({}, {"models/a": "m9"})) == {""}
