"""The viewer of films as a person meets it, in a browser: what it shows is compared with the files of the stages."""

import json
import re
import shutil
from base64 import b64decode
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, Locator, Page, expect
from pydicom import Dataset
from pydicom.pixels import apply_windowing
from sklearn.metrics import f1_score

from stages import read_params
from stages.common.analysis import overlays
from stages.common.analysis.colours import LABELLED
from stages.common.core.files import read_png
from stages.common.data.layout import DATASET, PARAMS, RAW, REPORTS
from stages.common.data.tables import MANIFEST, PER_IMAGE, PREPARED, SPLIT
from stages.report import films as report_films
from stages.report.evaluations import read_runs
from stages.report.films import cards, read_films, to_mail
from stages.report.page import contents, render
from stages.report.results import RESULTS
from tests.helpers.pages import settled
from tests.helpers.pictures import pixels

pytestmark = pytest.mark.slow
RUN = "seed-1-fold-1"
MOVED, IN_STEP = 6, 2  # grey levels, on average


@pytest.fixture(scope="module")
def project(two_seeds: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return shutil.copytree(two_seeds, tmp_path_factory.mktemp("viewer"), dirs_exist_ok=True)


@pytest.fixture(scope="module")
def film(project: Path) -> str:
    """The test film of whose fracture the baseline finds most."""
    table = PER_IMAGE.read(project / "reports/evaluation/baseline" / RUN)
    return str(table.loc[table["tp"].idxmax(), "image_id"])


@pytest.fixture
def page(visit: Callable[..., Page], project: Path, film: str) -> Page:
    """The page with the film in the viewer."""
    return opened(visit(project / "reports/index.html", 1280, 900), film)


def opened(page: Page, film: str) -> Page:
    page.emulate_media(reduced_motion="reduce")  # films move to their place at once
    page.locator(f"[data-film='{film}'] .tiles").click()
    page.locator("#viewer figcaption:has-text('F1')").first.wait_for()
    settled(page)
    return page


def panes(page: Page) -> list[np.ndarray]:
    """What is seen of the film, without the pixels of the edge, which a pane may cover in part."""
    visible = [pane for pane in page.locator("#viewer .pane .film").all() if pane.is_visible()]
    return [pixels(pane.screenshot())[2:-2, 2:-2] for pane in visible]


def apart(one: np.ndarray, other: np.ndarray) -> float:
    """Mean difference of two pictures, 0..255."""
    return float(np.abs(one - other).mean())


def captions(page: Page) -> list[str]:
    return page.locator("#viewer figcaption").all_inner_texts()


def share_of(picture: np.ndarray, page: Page, name: str) -> float:
    """Of the pixels that have a colour of the legend."""
    colour = page.evaluate("name => getComputedStyle(document.documentElement).getPropertyValue(name)", f"--{name}")
    wanted = [int(value) for value in colour.removeprefix("rgb(").removesuffix(")").split(",")]
    return float((np.abs(picture - wanted) <= 3).all(axis=2).mean())


def probability(project: Path, film: str) -> np.ndarray:
    """The baseline's, in 255ths."""
    return read_png(project / f"reports/evaluation/baseline/{RUN}/probability/{film}.png")


def some_marks(project: Path, film: str, share: float) -> float:
    """A threshold that marks about that share of the film."""
    return round(float(np.quantile(probability(project, film), 1 - share)) / 255 * 200) / 200  # as the slider steps


def setting(page: Page, name: str) -> Locator:
    return page.locator(f"#viewer [data-set={name}]")


def test_a_film_is_loaded_at_its_own_resolution_when_it_is_opened_and_not_before(
    visit: Callable[..., Page], project: Path, film: str
) -> None:
    page = visit(project / "reports/index.html", 1280, 900)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url.rsplit("films/")[-1]))
    row = MANIFEST.read(project / "data/raw").set_index("image_id").loc[film]
    opened(page, film)
    own = {name for name in asked if not name.startswith(("tiles/", "data:"))}
    assert own == {f"layers/{film}.js", f"original/{film}.jpg"}
    size = page.evaluate("address => new Promise(done => { const image = new Image(); image.src = address; "
                         "image.onload = () => done([image.naturalWidth, image.naturalHeight]); })",
                         f"films/original/{film}.jpg")  # fmt: skip
    assert size == [row["width"], row["height"]]


def test_marks_lie_on_the_film_where_the_label_does(page: Page, project: Path, film: str) -> None:
    """The label's outline on the screen, against its pixels carried to the film by preprocess's map."""
    row = PREPARED.read(project / "data/preprocessed").set_index("image_id").loc[film]
    facts = MANIFEST.read(project / "data/raw").set_index("image_id").loc[film]
    rows, columns = np.nonzero(read_png(project / f"data/dataset/test_mask/{film}.png"))
    page.keyboard.press("o")
    page.keyboard.press("m")
    picture = panes(page)[0]
    found = np.argwhere((np.abs(picture - LABELLED) <= 3).all(axis=2))
    height, width = picture.shape[:2]
    scale = min(width / facts["width"], height / facts["height"])
    left, top = (width - scale * facts["width"]) / 2, (height - scale * facts["height"]) / 2
    for axis, first, place in ((1, columns, "x"), (0, rows, "y")):
        side, start = (left, row[f"scale_{place}"]) if axis else (top, row[f"scale_{place}"])
        expected = [side + scale * (edge - row[f"shift_{place}"]) / start for edge in (first.min(), first.max() + 1)]
        assert [found[:, axis].min(), found[:, axis].max()] == pytest.approx(expected, abs=2.5)


def test_scores_and_masks_follow_the_threshold(page: Page, project: Path, film: str) -> None:
    table = {
        name: PER_IMAGE.read(project / "reports/evaluation" / name / RUN).set_index("image_id").loc[film]
        for name in ("baseline", "adaptive")
    }
    for name, text in zip(table, captions(page), strict=True):
        scores = ", ".join(f"{key} {table[name][column]:.3f}" for key, column in
                           (("F1", "f1"), ("precision", "precision"), ("recall", "recall")))  # fmt: skip
        assert text == f"{name}, marked from 0.3: {scores}".replace("nan", "–")
    label = read_png(project / f"data/dataset/test_mask/{film}.png") > 0
    for share in (0.9, 0.3, 0.05):
        threshold = some_marks(project, film, share)
        setting(page, "threshold").fill(str(threshold))
        f1 = f1_score(label.ravel(), (probability(project, film) >= 255 * threshold).ravel())
        assert captions(page)[0].startswith(f"baseline, marked from {threshold}: F1 {f1:.3f}")
    setting(page, "threshold").fill("1")
    assert share_of(panes(page)[0], page, "found") == 0
    page.keyboard.press("r")
    assert "marked from 0.3" in captions(page)[0]


def test_the_threshold_moves_the_mask(page: Page, project: Path, film: str) -> None:
    """On the canvas above the film, as many of its pixels as the mask has, at the size at which the film is shown."""
    page.keyboard.press("l")  # without the label
    count = """canvas => {
      const {width, height} = canvas, copy = new OffscreenCanvas(width, height).getContext("2d");
      copy.drawImage(canvas, 0, 0);
      return copy.getImageData(0, 0, width, height).data.filter((value, index) => index % 4 === 3 && value > 0).length;
    }"""
    shown, marked = [], []
    for share in (0.02, 0.1, 0.3):
        threshold = some_marks(project, film, share)
        setting(page, "threshold").fill(str(threshold))
        shown.append(page.locator("#viewer .layers").first.evaluate(count))
        marked.append(int((probability(project, film) >= 255 * threshold).sum()))
    assert 0 < marked[0] < marked[1] < marked[2]
    ratios = np.divide(shown, marked)
    assert ratios == pytest.approx([ratios[0]] * 3, rel=0.05)
    assert ratios[0] > 20, "a pixel of the network is several on the screen"


def pinch(page: Page, x: float, y: float) -> None:
    """Two fingers go apart there."""
    screen = page.context.new_cdp_session(page)
    for kind, reach in (("touchStart", 30), ("touchMove", 50), ("touchMove", 90)):
        fingers = [{"x": x - reach, "y": y, "id": 0}, {"x": x + reach, "y": y, "id": 1}]
        screen.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": fingers})
    screen.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})


def test_both_panes_move_in_step_by_wheel_drag_pinch_and_keys_and_fit_again(page: Page) -> None:
    page.keyboard.press("h")
    left, right = start = panes(page)
    assert apart(left, right) < IN_STEP
    assert (np.ptp(left, axis=2) == 0).all(), "the film alone is grey"
    second = page.locator("#viewer .pane .film").nth(1)
    box = second.bounding_box()
    assert box
    page.mouse.move(box["x"] + 300, box["y"] + 200)
    page.mouse.wheel(0, -300)
    settled(page)
    zoomed = panes(page)
    assert apart(zoomed[0], left) > MOVED
    assert apart(*zoomed) < IN_STEP
    page.mouse.down()
    page.mouse.move(box["x"] + 200, box["y"] + 260, steps=4)
    page.mouse.up()
    settled(page)
    dragged = panes(page)
    assert apart(dragged[0], zoomed[0]) > MOVED
    assert apart(*dragged) < IN_STEP
    page.keyboard.press("Shift+ArrowRight")
    settled(page)
    shifted = panes(page)
    assert apart(shifted[0], dragged[0]) > MOVED
    pinch(page, box["x"] + 300, box["y"] + 200)
    settled(page)
    pinched = panes(page)
    assert apart(pinched[0], shifted[0]) > MOVED
    assert apart(*pinched) < IN_STEP
    page.keyboard.press("0")
    settled(page)
    assert apart(panes(page)[0], start[0]) < IN_STEP


def test_plus_and_minus_zoom_both_panes(page: Page) -> None:
    page.keyboard.press("h")
    start = panes(page)

    def lit() -> float:
        """Share of the pane that the film, which is nowhere black, covers."""
        settled(page)
        left, right = panes(page)
        assert apart(left, right) < IN_STEP
        return float((left.max(axis=2) > 0).mean())

    whole = lit()
    page.keyboard.press("+")
    larger = lit()
    page.keyboard.press("-")
    assert apart(panes(page)[0], start[0]) < IN_STEP
    page.keyboard.press("-")
    assert larger > 1.2 * whole
    assert lit() < whole / 1.5


def test_a_drag_sets_window_centre_and_width_when_it_is_told_to(page: Page) -> None:
    page.keyboard.press("h")
    before = panes(page)[0]
    page.keyboard.press("w")
    box = page.locator("#viewer .pane .film").first.bounding_box()
    assert box
    page.mouse.move(box["x"] + 100, box["y"] + 100)
    page.mouse.down()
    page.mouse.move(box["x"] + 40, box["y"] + 60, steps=3)
    page.mouse.up()
    centre, width = (float(setting(page, name).input_value()) for name in ("centre", "width"))
    assert page.locator("#viewer .value").all_inner_texts()[1:] == [f"{centre:g}", f"{width:g}"]
    assert (centre, width) == (pytest.approx(127.5 - 20, abs=1), pytest.approx(255 - 60, abs=1))
    window = Dataset()
    window.WindowCenter, window.WindowWidth, window.VOILUTFunction = centre, width, "LINEAR_EXACT"
    window.BitsStored, window.PixelRepresentation, window.PhotometricInterpretation = 8, 0, "MONOCHROME2"
    expected = apply_windowing(before.astype(np.uint8), window)
    inside = before.sum(axis=2) > 0  # beyond the film the ground stays black
    assert np.abs(panes(page)[0] - expected)[inside].mean() < 1.5
    page.keyboard.press("r")
    assert (panes(page)[0] == before).all()


def test_layers_come_as_fill_outline_and_probability_and_one_key_hides_them(
    page: Page, project: Path, film: str
) -> None:
    setting(page, "threshold").fill(str(some_marks(project, film, 0.3)))
    filled = panes(page)[0]
    page.keyboard.press("o")
    outlined = panes(page)[0]
    assert share_of(filled, page, "labelled") == 0
    assert share_of(outlined, page, "labelled") > 0
    assert share_of(outlined, page, "marked") > 0
    assert page.locator("#viewer [data-when]:visible").all_inner_texts() == ["marked", "label"]
    page.keyboard.press("o")
    page.keyboard.press("p")
    assert share_of(panes(page)[0], page, "marked") > 0, "no fill mixes with the probability's colour"
    assert page.locator("#viewer [data-when]:visible").all_inner_texts() == ["marked", "label", "probability"]
    page.keyboard.press("p")
    for key in ("m", "l"):
        page.keyboard.press(key)
    bare = panes(page)[0]
    page.keyboard.press("p")
    assert (np.ptp(bare, axis=2) == 0).all()
    assert np.ptp(panes(page)[0], axis=2).max() > 40
    page.keyboard.press("h")
    assert (panes(page)[0] == bare).all()


def test_a_film_has_an_address_and_the_keyboard_suffices(visit: Callable[..., Page], project: Path, film: str) -> None:
    page = visit(project / "reports/index.html", 1280, 900)
    page.locator("#grid .tiles").first.focus()
    page.keyboard.press("Enter")
    page.locator("#viewer figcaption:has-text('F1')").first.wait_for()
    title = page.locator("#viewer-title")
    first = title.inner_text()
    page.keyboard.press("ArrowRight")
    expect(title).not_to_have_text(first)
    assert page.url.endswith("#film=" + title.inner_text().split()[1])
    page.keyboard.press("ArrowLeft")
    expect(title).to_have_text(first)
    page.keyboard.press("v")
    page.locator("#viewer figcaption:has-text('F1')").first.wait_for()
    assert len(panes(page)) == 1
    expect(page.locator("#viewer-keys")).to_be_hidden()
    page.keyboard.press("?")
    assert len(page.locator("#viewer-keys dd").all()) > 15
    assert "Shift+←move left" in page.locator("#viewer-keys div").all_text_contents()
    page.keyboard.press("Escape")
    expect(page.locator("#viewer")).to_be_hidden()
    assert page.evaluate("document.activeElement.className") == "tiles"
    assert "#" not in page.url
    page.goto((project / "reports/index.html").as_uri() + f"#film={film}")
    expect(title).to_contain_text(film)
    page.go_back()
    expect(page.locator("#viewer")).to_be_hidden()


def test_the_order_of_the_page_is_that_of_the_viewer(visit: Callable[..., Page], project: Path) -> None:
    page = visit(project / "reports/index.html", 1280, 900)
    page.select_option("#sort", "baseline F1")
    order = [str(item.get_attribute("data-film")) for item in page.locator("#grid > li").all()]
    page.locator("#grid .tiles").first.click()
    for film in order:  # a film is opened after the address has changed, which no click or key waits for
        expect(page.locator("#viewer-title")).to_contain_text(film)
        page.keyboard.press("ArrowRight")
    expect(page.locator("#viewer-title")).to_contain_text(order[0])


def test_the_page_in_one_file_asks_for_nothing_and_says_what_it_leaves_out(
    visit: Callable[..., Page], project: Path, film: str, tmp_path: Path
) -> None:
    shutil.copy(project / "reports/to_mail.html", tmp_path)
    page = visit(tmp_path / "to_mail.html", 1280, 900, allowed=("data:",))
    note = page.locator(".note:has-text('One file')").inner_text()
    assert "the viewer shows them prepared, in 64 x 64 pixels" in note
    opened(page, film)
    assert "F1" in captions(page)[0]
    assert panes(page)[0].max() > 100


def test_a_film_without_its_files_is_said_and_the_one_before_is_not_shown_in_its_place(
    browser: Browser, project: Path, film: str
) -> None:
    own = shutil.copytree(project / "reports", project / "moved")
    page = browser.new_page()  # not `visit`, since the console tells of the missing file
    page.goto((own / "index.html").as_uri())
    order = [str(item.get_attribute("data-film")) for item in page.locator("[data-film]").all()]
    missing = order[(order.index(film) + 1) % len(order)]
    (own / f"films/layers/{missing}.js").unlink()
    opened(page, film)
    page.keyboard.press("ArrowRight")
    problem = page.locator("#viewer-problem")
    problem.wait_for()
    settled(page)
    assert problem.inner_text() == f"The files of this film are missing beside the page: films/layers/{missing}.js"
    assert missing in page.locator("#viewer-title").inner_text()
    assert captions(page) == ["", ""]
    assert [pane.std() for pane in panes(page)] == [0, 0]
    page.close()


def films_of(project: Path) -> report_films.TestFilms:
    split, manifest = (
        table.read(project / folder).set_index("image_id", drop=False)
        for table, folder in ((SPLIT, DATASET), (MANIFEST, RAW))
    )
    return read_films(project, read_runs(project, [1, 2], [1]), split, manifest)


def test_a_page_of_too_many_films_shows_some_and_says_so(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    films = films_of(project)
    results = {Path(table.name).stem: table.read(project / REPORTS) for table in RESULTS}
    facts = contents(films, read_runs(project, [1, 2], [1]), results, "", read_params(project / PARAMS))
    assert "test films, at equal steps" not in render(films, facts)[0]
    monkeypatch.setattr("stages.report.films.ON_PAGE", 2)
    page, _ = render(films, facts)
    assert f"Shown are 2 of the {len(films.ids)} test films" in page
    scores = films.scores["baseline"].set_index("image_id")["f1"]
    assert re.findall('data-film="(.+?)"', page) == films.shown
    assert {scores[name] for name in films.shown} == {scores.min(), scores.max()}
    assert [card["number"] for card in cards(films)] == [films.ids.index(name) + 1 for name in films.shown]


def test_the_mailed_films_have_the_pixels_that_the_networks_saw(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(overlays, "TILE", 32)
    films = films_of(project)
    shown = cards(films)[:1]
    _, script = to_mail(films, shown)
    record, _ = json.loads(f"[{script.removeprefix('viewer.add(').removesuffix(');' + chr(10))}]")
    picture = Image.open(BytesIO(b64decode(record["film"].partition(",")[2])))
    assert (record["grid"], picture.size) == ([0, 0, 64, 64], (64, 64))
