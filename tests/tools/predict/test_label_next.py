"""Which films to label next."""

import csv
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.spatial.distance import jensenshannon
from scipy.stats import entropy

from stages.common.core.files import read_json
from tests.helpers.commands import wrist
from tests.helpers.stub_model import stub_model
from tools.predict import batch
from tools.predict.label_next import disagreement, label_ranks, uncertainty
from tools.predict.model import LogitFunction


def test_uncertainty_and_disagreement_are_those_of_scipy() -> None:
    each = np.random.default_rng(1).random((2, 5, 4), dtype=np.float32)
    mean = each.mean(axis=0).ravel()
    assert uncertainty(each) == pytest.approx(np.mean([entropy([p, 1 - p], base=2) for p in mean]), rel=1e-6)
    pairs = zip(each[0].ravel(), each[1].ravel(), strict=True)
    apart = [jensenshannon([p, 1 - p], [q, 1 - q], base=2) ** 2 for p, q in pairs]
    assert disagreement(each) == pytest.approx(np.mean(apart), rel=1e-4)


def test_networks_that_agree_are_unsure_together() -> None:
    half, sure = np.full((3, 2, 2), 0.5, np.float32), np.stack([np.zeros((2, 2)), np.ones((2, 2))])
    assert (uncertainty(half), disagreement(half)) == (1, 0)
    assert (uncertainty(sure), disagreement(sure)) == (1, 1), "each is sure, of the contrary"
    assert (uncertainty(sure[:1]), disagreement(sure[:1])) == (0, None)


def test_the_film_to_label_first_has_the_largest_value_and_blanks_have_no_place() -> None:
    assert label_ranks({"b": 0.1, "a": 0.1, "c": None, "d": 0.4}) == {"d": 1, "a": 2, "b": 3}


def one_of_two(sure: int) -> LogitFunction:
    """A network that is as sure as that of a film that is brighter on one side, and unsure of all others."""

    def logits(inputs: np.ndarray) -> np.ndarray:
        films = inputs[:, 0].astype(float)
        left, right = (half.mean(axis=(1, 2)) for half in np.array_split(films, 2, axis=2))
        level = np.where(np.abs(left - right) > 30, sure, 0).astype(np.float32)
        return np.broadcast_to(level[:, None, None], films.shape)

    return logits


@pytest.mark.parametrize(("options", "first"), [(("disagreement", "--average"), "b.png"), (("uncertainty",), "a.png")])
def test_the_table_the_page_and_the_tools_have_the_films_in_the_order_to_label(
    options: tuple[str, ...], first: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a.png both networks are unsure, and agree; of b.png they are surer, and contradict each other."""
    one = stub_model()
    recipe = replace(one.recipe, temperatures=[1.0, 1.0], film_calibration=None)
    two = replace(one, networks=[one_of_two(4), one_of_two(-2)], recipe=recipe)
    monkeypatch.setattr(batch, "open_model", lambda *_, **__: two)
    (tmp_path / "films").mkdir()
    ramp = np.tile(np.arange(60, dtype=np.uint8), (60, 1))
    for name, film in (("a.png", ramp.T), ("b.png", ramp)):
        Image.fromarray(film).save(tmp_path / "films" / name)
    output = tmp_path / "out"
    call = ["predict", str(tmp_path / "films"), "--output", str(output), "--format", "json,coco"]
    assert wrist(*call, "--label-next", *options) == 0
    with (output / "summary.csv").open(newline="") as file:
        rows = {row["film"]: row for row in csv.DictReader(file)}
    assert float(rows["a.png"]["uncertainty"]) > float(rows["b.png"]["uncertainty"]) > 0.9
    assert float(rows["b.png"]["disagreement"]) > 0.4 > 0.001 > float(rows["a.png"]["disagreement"])
    second = "b.png" if first == "a.png" else "a.png"
    assert {film: row["label_next"] for film, row in rows.items()} == {first: "1", second: "2"}
    page = (output / "index.html").read_text()
    places = re.findall(r"<h3>(.+?)</h3>.*?place among the films to label next: (\d+)", page, re.DOTALL)
    assert sorted(places, key=lambda item: item[1]) == [(first, "1"), (second, "2")]
    images = read_json(output / "predicted_annotations/coco.json")["images"]
    assert [image["file_name"] for image in images] == [first, second]
