import math
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest

from stages.common.analysis import figures
from stages.common.analysis.figures import sensitivity_at
from stages.common.analysis.image_level import image_level
from stages.report.image_level import shown

GAIN = "adaptive - baseline"
CURVE = pd.DataFrame({"probability": [0.9, 0.8, 0.7], "false_regions": [0.0, 0.5, 1.5], "sensitivity": [0.5, 0.5, 1.0]})


def run(brier: float | None, froc: pd.DataFrame = CURVE) -> Any:
    return SimpleNamespace(metrics={"image_level": {"brier": brier}}, froc=froc)


def table(scores: list[float]) -> pd.DataFrame:
    return pd.DataFrame({"seed": 1, "fractures": [1, 1, 0, 0], "probability_max": scores})


def test_the_section_has_figures_with_intervals_regions_and_calibration() -> None:
    patients = pd.Series(["a", "b", "c", "d"])
    models = {"baseline": table([0.9, 0.4, 0.5, 0.1]), "adaptive": table([0.9, 0.8, 0.5, 0.1])}
    runs = {"baseline": [run(0.2), run(None)], "adaptive": [run(None), run(None)]}
    section = shown(image_level(models, patients, GAIN), runs)
    assert section is not None
    assert (section["with_fracture"], section["without_fracture"]) == (2, 2)
    baseline, adaptive, gain = section["rows"]
    assert baseline[0] == "baseline"
    assert baseline[1].startswith("0.750 (")
    assert baseline[2].startswith("0.500 (")
    assert adaptive[1] == "1.000 (1.000 to 1.000)"
    assert gain[1].startswith("+0.250 (")
    assert section["more"] == [
        ("boxes found with at most 0.25 false regions per film", "0.500", "0.500"),
        ("boxes found with at most 1 false regions per film", "0.500", "0.500"),
        ("Brier score of the calibrated probability of a film", "0.2000", "–"),
        ("trainings whose validation films allow a calibration", "1 of 2", "0 of 2"),
    ]
    assert "<svg" in figures.froc({name: [run.froc for run in of_variant] for name, of_variant in runs.items()})["svg"]


@pytest.mark.parametrize(("films", "strict"), [(9, ["90 %", "95 %"]), (10, ["95 %"]), (19, ["95 %"]), (20, [])])
def test_a_specificity_that_so_few_films_make_perfect_is_named(films: int, strict: list[str]) -> None:
    scores = pd.DataFrame({"seed": 1, "fractures": [1] + [0] * films, "probability_max": 0.5})
    found = image_level({"baseline": scores, "adaptive": scores}, pd.Series(range(films + 1)).astype(str), GAIN)
    section = shown(found, {"baseline": [run(None)], "adaptive": [run(None)]})
    assert section is not None
    assert section["no_false_alarm"] == strict


def test_films_of_one_kind_have_no_section() -> None:
    one = table([0.9, 0.8, 0.5, 0.1]).assign(fractures=1)
    found = image_level({"baseline": one, "adaptive": one}, pd.Series(list("abcd")), GAIN)
    assert shown(found, {"baseline": [run(None)], "adaptive": [run(None)]}) is None


@pytest.mark.parametrize(("most", "expected"), [(0.0, 0.5), (0.5, 0.5), (1.4, 0.5), (1.5, 1.0), (9.0, 1.0)])
def test_the_curve_is_read_at_its_steps(most: float, expected: float) -> None:
    assert sensitivity_at(CURVE, most) == expected


def test_without_a_region_nothing_is_found_and_without_a_box_nothing_can_be() -> None:
    assert sensitivity_at(CURVE.iloc[:0], 1.0) == 0
    assert sensitivity_at(CURVE.iloc[1:], 0.25) == 0
    assert math.isnan(sensitivity_at(CURVE.assign(sensitivity=math.nan), 1.0))
