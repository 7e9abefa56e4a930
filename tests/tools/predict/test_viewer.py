"""What the viewer is given of a prediction lies where the prediction's mask lies, however the film is stored."""

import base64
from collections.abc import Callable
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Page
from pydicom import Dataset
from pydicom.pixels import apply_windowing

from stages.common.data.geometry import Affine
from stages.common.data.records import Reference
from tests.helpers.pages import cut_texts, require_accessible, settled
from tests.helpers.pictures import pixels
from tests.helpers.stub_model import stub_model
from tools.predict import batch
from tools.predict.films import DecodedFilm
from tools.predict.index import HEADINGS, write_pages
from tools.predict.model import Prediction, to_film
from tools.predict.outputs import FilmFacts, ModelFacts, viewed, write_prediction

SHAPE, SIZE = (90, 60), 32
MODEL: ModelFacts = {"name": "adaptive", "weights_sha256": "", "params_sha256": "", "threshold": 0.5}

FLIPS = [(False, False), (True, False), (False, True), (True, True)]


@pytest.mark.parametrize("flips", FLIPS)
def test_layers_lie_where_the_mask_does(flips: tuple[bool, bool]) -> None:
    affine = Affine(0.4, 0.4, 3.0, -2.0)
    grid = np.zeros((SIZE, SIZE), np.float32)
    grid[5:11, 8:12] = 0.9
    probability = to_film(grid, affine, SHAPE)
    prediction = Prediction(probability, probability >= 0.5, [], grid, affine, None, 0.0, None, 0.0, 1.0)
    film = DecodedFilm(np.zeros(SHAPE, np.uint8), flips=flips)
    found = viewed(film, prediction, MODEL)
    assert found["label"] is None
    content = base64.b64decode(found["models"][0]["probability"].removeprefix("data:image/png;base64,"))
    rows, columns = np.nonzero(np.asarray(Image.open(BytesIO(content))) >= 255 * 0.5)
    left, top, width, height = found["grid"]
    stored = np.nonzero(film.as_stored(prediction.mask))
    assert top + height / SIZE * (rows.mean() + 0.5) == pytest.approx(stored[0].mean() + 0.5, abs=1)
    assert left + width / SIZE * (columns.mean() + 0.5) == pytest.approx(stored[1].mean() + 0.5, abs=1)


@pytest.mark.parametrize("flips", FLIPS)
def test_a_box_is_mirrored_as_its_film_is(flips: tuple[bool, bool]) -> None:
    mask = np.zeros(SHAPE, bool)
    mask[10:25, 30:33] = True
    film = DecodedFilm(mask.astype(np.uint8), flips=flips)
    left, top, right, bottom = film.box_as_stored((30, 10, 33, 25))
    stored = np.zeros(SHAPE, bool)
    stored[top:bottom, left:right] = True
    np.testing.assert_array_equal(stored, film.as_stored(mask))


def test_the_window_works_on_12_bits_of_a_deep_film_which_are_loaded_when_it_moves(
    visit: Callable[..., Page], tmp_path: Path
) -> None:
    film = np.tile(32_000 + 4 * np.arange(300), (200, 1)).astype(np.uint16)  # 5 steps of 8 bits, 75 of 12
    film[0, :2] = 0, 65_535
    empty = np.zeros(film.shape, np.float32)
    grid, affine = np.zeros((SIZE, SIZE), np.float32), Affine(0.1, 0.1, 0.0, 0.0)
    prediction = Prediction(empty, empty > 0, [], grid, affine, None, 0.0, None, 0.0, 1.0)
    facts: FilmFacts = {"warning": "", "model": MODEL, "code": {"version": "", "commit": ""}, "input_sha256": "",
                        "device": "", "options": {"average": False, "tta": False, "format": ["png"]}}  # fmt: skip
    (tmp_path / "deep").mkdir()
    write_prediction(tmp_path / "deep", DecodedFilm(film, flips=(True, False)), prediction, facts, ["png"])
    write_pages(tmp_path, {}, "uncertainty", ["png"])
    page = visit(tmp_path / "index.html", 700, 900)
    page.emulate_media(reduced_motion="reduce")
    page.locator("a[href^='#film']").click()
    page.locator("#viewer figcaption:has-text('marked')").wait_for()
    with page.expect_request("**/levels.js"):
        for name, value in (("centre", "127"), ("width", "5")):
            page.locator(f"#viewer [data-set={name}]").fill(value)
    window = Dataset()
    window.WindowCenter, window.WindowWidth, window.VOILUTFunction = 127, 5, "LINEAR_EXACT"
    window.BitsStored, window.PixelRepresentation, window.PhotometricInterpretation = 8, 0, "MONOCHROME2"
    expected = apply_windowing(film[100, ::-1] / 65_535 * 255, window)
    box = page.locator("#viewer .pane .film").first
    for _ in range(50):  # until the grey levels are here
        picture = pixels(box.screenshot())[:, :, 0]
        row = picture[len(picture) // 2]
        if len(np.unique(row)) > 50:
            break
        page.wait_for_timeout(100)
    scale = min(len(row) / 300, box.bounding_box()["height"] / 200)  # type: ignore[index]
    columns = ((len(row) - 300 * scale) / 2 + scale * (np.arange(300) + 0.5)).astype(int)
    assert np.abs(row[columns] - expected).mean() < 3
    page.keyboard.press("r")
    settled(page)
    assert len(np.unique(pixels(box.screenshot())[100:-100, 20:-20])) < 12, "the picture of 8 bits again"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Predictions of every kind that the page has a heading for, among them one whose name has no place to break."""
    place = tmp_path_factory.mktemp("page")
    films, output = place / "films", place / "out"
    films.mkdir()
    ramp = np.tile(np.arange(120, dtype=np.uint8), (90, 1))
    for name in ("marked.png", f"{'1.2.840.113619.' * 9}7.png"):
        bright = ramp.copy()
        bright[20:50, 30:70] = 250
        Image.fromarray(bright).save(films / name)
    (films / "damaged.png").write_bytes(b"no film")
    (films / "notes.txt").write_bytes(b"text")
    for name in ("unfamiliar", "not marked"):
        (place / name).mkdir()
        Image.fromarray(ramp).save(place / name / f"{name}.png")
    one = stub_model()
    with pytest.MonkeyPatch.context() as patch:
        for source, limit, cut in (("unfamiliar", 0.0, 0.5), ("not marked", 1e9, 0.99), ("films", 1e9, 0.5)):
            reference: Reference = {**one.recipe.familiar, "limit": limit}
            model = replace(one, recipe=replace(one.recipe, familiar=reference, cut=cut))
            patch.setattr(batch, "open_model", lambda *_, model=model, **__: model)
            batch.predict_films([str(place / source)], "stub", output, ["png", "json"])
    found = (output / "index.html").read_text()
    assert [heading for heading in HEADINGS.values() if heading not in found] == []
    return output


@pytest.mark.slow
@pytest.mark.parametrize(("width", "scheme"), [(390, "light"), (1024, "dark"), (1440, "light")])
def test_a_page_of_predictions_has_nothing_cut_and_nothing_that_axe_would_mend(
    width: int, scheme: Literal["light", "dark"], folder: Path, visit: Callable[..., Page]
) -> None:
    page = visit(folder / "index.html", width, 900)
    page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert cut_texts(page.locator("body")) == []
    require_accessible(page)
    page.locator("a[href^='#film']").first.click()
    page.locator("#viewer figcaption:has-text('marked')").wait_for()
    assert page.locator("#viewer-title").inner_text() == "unfamiliar.png unfamiliar"
    page.keyboard.press("?")
    page.keyboard.press("p")
    assert cut_texts(page.locator("#viewer")) == []
    require_accessible(page)
