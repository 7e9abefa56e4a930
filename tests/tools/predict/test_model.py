"""From a film to its prediction, on its own grid."""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from scipy.ndimage import map_coordinates
from scipy.special import logit
from skimage import data
from skimage.measure import label, regionprops

from stages.common.core.errors import UserError
from stages.common.core.files import read_json, read_png, write_json
from stages.common.data.geometry import Affine
from stages.common.data.layout import RAW, Input
from stages.common.data.records import ImageCalibration
from stages.common.data.tables import MANIFEST, PER_IMAGE
from stages.common.model.architecture import EMBEDDED, Pyramid
from stages.common.model.calibration import film_probability, to_probabilities
from stages.common.model.network import build, save_weights
from stages.evaluate.main import main as evaluate
from stages.evaluate.params import Params as Evaluate
from stages.preprocess.params import Clahe
from stages.preprocess.params import Params as Preprocess
from stages.train.pretrained import load_pretrained
from tests.helpers.params import read_yaml, write_yaml
from tests.helpers.paths import ROOT
from tools.audit.dvc_lock import Stage
from tools.predict.export import TOLERANCE, export, export_model
from tools.predict.model import Model, open_model, predict, prepared, regions_of, to_film
from tools.predict.recipe import ExportRecord, ran_with, read_export, read_recipe

pytestmark = pytest.mark.slow
RAN_WITH = ("ingest", "preprocess", "threshold")  # stages whose parameters are in a recipe
RUN = Path("reports/evaluation/adaptive/seed-1-fold-1")
NO_MODEL = "expected baseline, adaptive or a run below models/"


def raw_films(names: list[str]) -> list[np.ndarray]:
    files = MANIFEST.read(RAW).set_index("image_id")["file"]
    return [read_png(Path("data/raw") / files[name]) for name in names]


def test_the_test_set_through_predict_gives_the_masks_that_were_scored(project: Path) -> None:
    model = open_model("adaptive")
    names = list(PER_IMAGE.read(RUN)["image_id"])
    predictions = [predict(film, model) for film in raw_films(names)]
    assert any(one.mask.any() for one in predictions)
    for name, one in zip(names, predictions, strict=True):
        np.testing.assert_array_equal(one.grid >= model.recipe.cut, read_png(RUN / "mask" / f"{name}.png") > 0)


def test_a_temperature_of_evaluate_scales_the_probabilities_also_of_an_export(project: Path, tmp_path: Path) -> None:
    plain, scores = open_model("adaptive"), RUN / "metrics.json"
    names = list(PER_IMAGE.read(RUN)["image_id"])[:2]
    inputs = np.stack([prepared(film, plain)[1] for film in raw_films(names)])
    before = scores.read_text()
    try:
        write_json(scores, read_json(scores) | {"temperature": {"value": 2.5, "from": "validation"}})
        mild = open_model("adaptive")
        export(Path("models/adaptive/seed-1-fold-1"), tmp_path / "onnx", inputs)
    finally:
        scores.write_text(before)
    logits = plain.networks[0](inputs)
    np.testing.assert_array_equal(mild.probabilities(inputs), to_probabilities(logits, 2.5))
    exported = open_model(str(tmp_path / "onnx"))
    np.testing.assert_allclose(exported.probabilities(inputs), to_probabilities(logits, 2.5), atol=TOLERANCE)
    assert read_json(tmp_path / "onnx/recipe.json")["output"] == "logit"
    assert mild.recipe.sha256 != plain.recipe.sha256 == open_model("adaptive").recipe.sha256
    assert exported.recipe == mild.recipe
    model = tmp_path / "onnx/model.onnx"
    model.write_bytes(model.read_bytes() + b"\x7a\x00")  # an empty text that ONNX allows there
    with pytest.raises(UserError, match=r"model.onnx: expected the SHA-256 .* of recipe.json, found .*; export again"):
        open_model(str(tmp_path / "onnx"))


def test_a_model_that_was_evaluated_with_mirror_images_predicts_with_them_also_as_an_export(
    project: Path, tmp_path: Path
) -> None:
    kept = shutil.copytree(RUN, tmp_path / "kept")
    try:
        evaluate(Evaluate(folds=[1], threshold=0.3, temperature="none", mirror=True, boundary_px=3.0), "adaptive")
        model = open_model("adaptive")
        names = list(PER_IMAGE.read(RUN)["image_id"])
        grids = [predict(film, model).grid for film in raw_films(names)]
        for name, grid in zip(names, grids, strict=True):
            np.testing.assert_array_equal(grid >= 0.3, read_png(RUN / "mask" / f"{name}.png") > 0)
        inputs = np.stack([prepared(film, model)[1] for film in raw_films(names[:2])])
        export(Path("models/adaptive/seed-1-fold-1"), tmp_path / "onnx", inputs)
    finally:
        shutil.rmtree(RUN)
        shutil.copytree(kept, RUN)
    exported, plain = open_model(str(tmp_path / "onnx")), open_model("adaptive")
    np.testing.assert_allclose(exported.probabilities(inputs), np.stack(grids[:2]), atol=TOLERANCE)
    assert np.abs(plain.probabilities(inputs) - np.stack(grids[:2])).max() > 1e-3
    asked = open_model("adaptive", flip=True).probabilities(inputs)  # two films in a batch have other last bits
    np.testing.assert_allclose(asked, np.stack(grids[:2]), atol=1e-6)


def test_the_probability_of_a_fracture_is_that_of_evaluate_also_of_an_export(project: Path, tmp_path: Path) -> None:
    scores, table = RUN / "metrics.json", PER_IMAGE.read(RUN)
    films = raw_films(list(table["image_id"])[:2])
    calibration: ImageCalibration = {"slope": 1.5, "intercept": -0.25}
    before = scores.read_text()
    try:
        write_json(scores, read_json(scores) | {"image_level": {"calibration": calibration}})
        model = open_model("adaptive")
        export(Path("models/adaptive/seed-1-fold-1"), tmp_path / "onnx", np.stack([prepared(films[0], model)[1]]))
        several, mirrored = (open_model("adaptive", **{option: True}) for option in ("average", "flip"))
    finally:
        scores.write_text(before)
    expected = film_probability(table["probability_max"].to_numpy()[:2], calibration)
    exported = open_model(str(tmp_path / "onnx"))
    for one in (model, exported):
        found = [predict(film, one).fracture_probability for film in films]
        np.testing.assert_allclose(np.array(found, float), expected, atol=1e-3)
    # What it was fitted for is neither a mean over networks nor one over mirror images.
    assert [one.recipe.film_calibration for one in (several, mirrored)] == [None, None]
    assert predict(films[0], mirrored).fracture_probability is None


def test_a_pretrained_network_is_exported_at_512_pixels(project: Path, tmp_path: Path) -> None:
    """With its scaling and its encoder's padding."""
    network = Pyramid(encoder=EMBEDDED, weights="imagenet", channels=[16, 16, 16, 16, 16])
    made = build(network)
    load_pretrained(made, network)
    run, root = Path("models/adaptive/seed-1-fold-1"), tmp_path / "project"
    save_weights(root / run / "weights.safetensors", made.state_dict())
    write_json(root / run / "model.json", read_json(run / "model.json") | {"network": network.model_dump()})
    lock = Path("dvc.lock").read_text()
    params = "        preprocess:\n          size: 64\n"
    assert lock.count(params) == 2  # of the stage, and of the report, which prints all
    (root / "dvc.lock").write_text(lock.replace(params, params.replace("64", "512")))
    shutil.copytree(RUN, root / RUN)
    films = np.random.default_rng(0).integers(0, 256, (2, 1, 512, 512), np.uint8)
    assert export(root / run, tmp_path / "onnx", films, root) < TOLERANCE
    assert read_export(tmp_path / "onnx").recipe.preprocess.size == 512


@pytest.mark.parametrize("what", ["levels", "both"])
def test_levels_are_those_of_the_pipeline(what: Input, project: Path) -> None:
    model = open_model("adaptive")
    model = replace(model, recipe=replace(model.recipe, input=what))
    names = list(PER_IMAGE.read(RUN)["image_id"])[:3]
    for name, film in zip(names, raw_films(names), strict=True):
        _, inputs = prepared(film, model)
        np.testing.assert_array_equal(inputs[-1], read_png(Path(f"data/levels/images/{name}.png")))
        assert len(inputs) == (2 if what == "both" else 1)


def test_a_prediction_lies_where_the_film_shows_it(project: Path) -> None:
    """A network that marks what is bright must mark the bright square of the film, whatever its size and place."""
    model = replace(open_model("adaptive"), networks=[lambda films: logit(films[:, 0] / np.float32(255))])
    preprocess = Preprocess.model_validate({"size": 64, "steps": ["crop", "mat2gray", "imresize"]})
    recipe = replace(model.recipe, cut=0.6, preprocess=preprocess)
    for shape, box in (((300, 200), (80, 120, 120, 200)), ((900, 1400), (600, 300, 800, 420))):
        film = np.zeros(shape, np.uint16)
        film[shape[0] // 8 : -shape[0] // 8, shape[1] // 4 : -shape[1] // 4] = 20_000
        left, top, right, bottom = box
        film[top:bottom, left:right] = 60_000
        prediction = predict(film, replace(model, recipe=recipe), spacing=(0.2, 0.1))
        assert prediction.mask.shape == shape
        (region,) = prediction.regions
        coarse = max(shape) / 64  # pixels of the film in one of the network's
        np.testing.assert_allclose(region.box, box, atol=1.5 * coarse)
        assert region.area_mm2 == pytest.approx(region.area_px * 0.02)


def test_the_way_back_is_that_of_a_plain_interpolation() -> None:
    grid = cv2.GaussianBlur(np.random.default_rng(0).random((32, 32), np.float32), (5, 5), 1)
    affine = Affine(0.23, 0.19, -3.2, 1.7)
    y, x = np.mgrid[:120, :150] + 0.5
    places = [affine.scale_y * y + affine.shift_y - 0.5, affine.scale_x * x + affine.shift_x - 0.5]
    expected = map_coordinates(grid, places, order=1, mode="constant")
    interpolated = to_film(grid, affine, (120, 150))
    inside = (places[0] > 0) & (places[0] < 31) & (places[1] > 0) & (places[1] < 31)
    np.testing.assert_allclose(interpolated[inside], expected[inside], atol=0.02)  # OpenCV's weights have 5 bits
    assert (interpolated[(places[0] < -1) | (places[0] > 32) | (places[1] < -1) | (places[1] > 32)] == 0).all()


@pytest.mark.parametrize("shape", [(16, 16), (17, 900), (3000, 2200)])
@pytest.mark.parametrize("depth", [np.uint8, np.uint16])
def test_films_of_any_size_and_depth(shape: tuple[int, int], depth: type, project: Path) -> None:
    film = np.random.default_rng(0).integers(0, np.iinfo(depth).max, shape).astype(depth)
    prediction = predict(film, open_model("adaptive"))
    assert prediction.mask.shape == prediction.probability.shape == shape
    assert 0 <= prediction.probability.min() <= prediction.probability.max() <= 1


@pytest.mark.parametrize(
    "film", [np.zeros((40, 40), np.float32), np.zeros((40, 40, 3), np.uint8), np.zeros((8, 90), np.uint8)]
)
def test_what_is_no_grey_film_is_refused(film: np.ndarray, project: Path) -> None:
    with pytest.raises(UserError, match="expected a grey image, uint8 or uint16, of at least 16 x 16"):
        predict(film, open_model("adaptive"))


def test_averages_are_those_of_their_parts(project: Path) -> None:
    parts = [open_model(f"models/adaptive/seed-{seed}-fold-1") for seed in (1, 2)]
    _, inputs = prepared(raw_films(list(PER_IMAGE.read(RUN)["image_id"])[:1])[0], parts[0])
    alone = [part.probabilities(inputs[None]) for part in parts]
    whole = open_model("adaptive", average=True)
    np.testing.assert_allclose(whole.probabilities(inputs[None]), (alone[0] + alone[1]) / 2, atol=1e-6)
    assert whole.weights == " ".join(part.weights for part in parts)
    flipped = open_model("adaptive", flip=True).probabilities(inputs[None])
    mirror = parts[0].probabilities(np.ascontiguousarray(inputs[None, ..., ::-1]))[..., ::-1]
    np.testing.assert_allclose(flipped, (alone[0] + mirror) / 2, atol=1e-6)
    assert not np.allclose(flipped, alone[0], atol=1e-3)


def test_photographs_are_called_unfamiliar_and_test_films_are_not(project: Path) -> None:
    model = open_model("adaptive")
    for picture in (data.brick(), data.gravel(), np.zeros((300, 200), np.uint8)):  # 12 films teach little
        assert not predict(picture, model).familiar
    names = list(PER_IMAGE.read(RUN)["image_id"])
    assert np.mean([predict(film, model).familiar for film in raw_films(names)]) > 0.85


def test_regions_by_hand() -> None:
    mask = np.zeros((10, 12), bool)
    mask[1:3, 2:6] = mask[5, 5] = mask[6, 6] = True  # the last two touch at a corner
    chances = np.where(mask, 0.7, 0.0).astype(np.float32)
    chances[6, 6] = 0.9
    first, second = regions_of(mask, chances, (0.5, 0.5))
    assert (first.box, first.area_px, first.area_mm2) == ((5, 5, 7, 7), 2, 0.5)
    assert (second.box, second.area_px, second.area_mm2) == ((2, 1, 6, 3), 8, 2.0)
    assert (first.probability_max, first.probability_mean) == pytest.approx((0.9, 0.8))
    assert regions_of(mask, chances, None)[0].area_mm2 is None


def test_regions_are_those_of_scikit_image() -> None:
    rng = np.random.default_rng(0)
    probability = cv2.GaussianBlur(rng.random((90, 120), dtype=np.float32), (0, 0), 2)
    mask = probability > 0.53
    expected = {
        ((left, top, right, bottom), int(one.area), float(one.intensity_max), float(one.intensity_mean))
        for one in regionprops(label(mask, connectivity=2), intensity_image=probability)  # type: ignore[no-untyped-call]
        for top, left, bottom, right in [one.bbox]
    }
    regions = regions_of(mask, probability, None)
    assert len(regions) > 20
    assert {(one.box, one.area_px, one.probability_max, one.probability_mean) for one in regions} == expected


@pytest.mark.parametrize(("name", "message"), [("adaptiv", f"adaptiv: {NO_MODEL}"), ("baseline", "run `dvc repro`")])
def test_a_model_that_is_not_there_is_said(name: str, message: str, project: Path, tmp_path: Path) -> None:
    (tmp_path / name).mkdir()
    for file in ("params.yaml", "dvc.lock"):
        shutil.copy(project / file, tmp_path)
    with pytest.raises(UserError, match=message):
        open_model(name, root=tmp_path)


def test_a_name_that_is_blank_is_no_model(project: Path) -> None:
    with pytest.raises(UserError, match=f"a blank name: {NO_MODEL}"):
        open_model("", root=project)


@pytest.mark.parametrize(("name", "called"), [("adaptiv", "adaptiv"), ("", "a blank name")])
def test_what_is_no_model_is_not_exported(
    name: str, called: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=f"^{called}: {NO_MODEL}"):
        export_model(name, tmp_path / "exported")


def test_the_recipe_is_what_was_run_and_not_what_params_yaml_says_now(project: Path) -> None:
    model: Model = open_model("adaptive")
    assert model.recipe.preprocess.size == 64
    assert model.recipe.cut == read_json(RUN / "metrics.json")["threshold"]["value"] == 0.3


def test_limits_are_those_that_ingest_ran_with_also_in_an_export(tmp_path: Path) -> None:
    params = read_yaml(ROOT / "params.yaml")
    params["ingest"]["limits"] |= {"megapixels": 70, "file_mb": 600}
    ran = {name: {"cmd": "", "params": {"params.yaml": {name: params[name]}}} for name in RAN_WITH}
    write_yaml(tmp_path / "dvc.lock", {"stages": ran})
    scores = {"temperature": {"value": 1.0}, "threshold": {"value": 0.5}, "image_level": None, "mirror": False}
    write_json(tmp_path / RUN / "metrics.json", scores)
    record: Any = {"network": {"input": "image"}, "familiar": {"mean": [], "precision": [], "limit": 2.0}}
    recipe = read_recipe([tmp_path / "models/adaptive/seed-1-fold-1"], record, tmp_path)
    assert (recipe.megapixels, recipe.file_mb) == (70, 600)
    write_json(tmp_path / "recipe.json", ExportRecord(recipe, "", "", "logit", 1, 1).as_json())
    assert read_export(tmp_path).recipe == recipe


def test_a_recipe_has_all_keys_and_one_of_another_version_is_refused() -> None:
    steps = ["imresize", "clahe"]
    section: dict[str, Any] = {"size": 64, "steps": steps}
    lock = {"preprocess": Stage("preprocess", "", {}, {"preprocess": section}, {})}
    assert ran_with(lock, "preprocess", Preprocess).steps[1] == Clahe(clip=2.0, tiles=8)
    section["clahe"] = {"clip": 2.0}
    with pytest.raises(UserError, match=r"another version .*\n.*preprocess\.clahe: there is no such parameter"):
        ran_with(lock, "preprocess", Preprocess)


@pytest.mark.parametrize("content", [{}, {"recipe": {}}, {"recipe": {"preprocess": {"size": 64}}}])
def test_an_export_of_another_version_is_refused(content: dict[str, Any], tmp_path: Path) -> None:
    write_json(tmp_path / "recipe.json", content)
    with pytest.raises(UserError, match=r"recipe\.json: another version of this project wrote it; export it again"):
        read_export(tmp_path)
