"""The page as a person meets it: in a browser, by mouse, keyboard and screen reader, without a network."""

import importlib
import re
import shutil
from collections.abc import Callable
from html import unescape
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import pytest
from huggingface_hub import ModelCard
from playwright.sync_api import Page
from pypdfium2 import PdfDocument

from stages import read_params, section_model
from stages.common.analysis.trivial_baselines import TRIVIAL_BASELINES
from stages.common.core.files import read_json, write_json
from stages.common.data.layout import DATASET, PARAMS, RAW, REPORTS
from stages.common.data.tables import COMPARISON, IMAGE_LEVEL, MANIFEST, SPLIT, SUBGROUPS, write_table
from stages.report import cards
from stages.report.evaluations import machines_of, read_runs
from stages.report.films import read_films
from stages.report.image_level import HEAD
from stages.report.page import question, steps, weighting_sentence
from stages.report.tables import subgroup_cells
from stages.train.pretrained import EMBEDDED_RECORD
from tests.helpers.files import tree_hash
from tests.helpers.markdown import cell_counts, tables_of
from tests.helpers.pages import cut_texts, require_accessible, widths_of_tables
from tests.helpers.params import merge
from tests.helpers.pictures import pixels
from tests.helpers.processes import run
from tools.audit.dvc_cache import file_md5

pytestmark = pytest.mark.slow
Scheme = Literal["dark", "light"]
SCHEMES: tuple[Scheme, ...] = ("dark", "light")


@pytest.fixture(scope="module")
def project(two_seeds: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return shutil.copytree(two_seeds, tmp_path_factory.mktemp("page"), dirs_exist_ok=True)


def report(project: Path, monkeypatch: pytest.MonkeyPatch, toy_params: dict[str, Any]) -> None:
    monkeypatch.chdir(project)
    importlib.import_module("stages.report.main").main(section_model("report").model_validate(toy_params["report"]))


def test_the_report_is_the_same_bytes_again_and_leftovers_do_not_count(
    project: Path, monkeypatch: pytest.MonkeyPatch, toy_params: dict[str, Any]
) -> None:
    before = tree_hash(project / "reports")
    for place in ("models", "reports/evaluation"):
        (project / place / "adaptive/seed-9-fold-1").mkdir()
    (project / "reports/validation").mkdir(exist_ok=True)
    for name in ("adaptive-9-1", "notes"):
        (project / f"reports/validation/{name}.json").write_text("{}")
    assert not list((project / "reports/live").iterdir()), "training wrote its histories there, and the report ended"
    report(project, monkeypatch, toy_params)
    (project / "reports/validation/notes.json").unlink()  # no run's
    assert tree_hash(project / "reports") == before
    assert not list(project.rglob("seed-9-fold-1"))


def test_every_seed_has_its_row_and_the_spread_is_theirs(project: Path) -> None:
    runs = pd.read_csv(project / "reports/runs.csv")
    assert list(zip(runs["variant"], runs["seed"], strict=True)) == [
        *(("baseline", 1), ("baseline", 2), ("adaptive", 1), ("adaptive", 2)),
    ]
    comparison = pd.read_csv(project / "reports/comparison.csv").set_index("row")
    for name, found in runs.groupby("variant"):
        assert comparison.loc[name, "f1"] == pytest.approx(found["f1"].mean())
        assert comparison.loc[name, "f1_seed_sd"] == pytest.approx(found["f1"].std())
    assert "over the choice of films and of 2 seeds" in (project / "reports/comparison.md").read_text()
    page = (project / "reports/index.html").read_text()
    assert page.count("mean of 2<") == 10  # both losses of both models, validation Dice, precision-recall, calibration
    assert "of a fracture: baseline 0.3; adaptive 0.3 (from params.yaml)" in page


def test_a_page_leads_to_the_commit_that_recorded_it_also_when_a_later_one_replaced_it(
    project: Path, tmp_path: Path
) -> None:
    page = (project / "reports/index.html").read_text()
    (command,) = re.findall(r"^<pre[^>]*>(git log .*?) +#", unescape(page), re.MULTILINE)
    (tmp_path / "reports").mkdir()
    (tmp_path / "reports/index.html").write_text(page)
    run(tmp_path, "git", "init", "-q")
    commits = []
    for md5 in ("0" * 32, file_md5(tmp_path / "reports/index.html"), "1" * 32):
        (tmp_path / "dvc.lock").write_text(md5)
        run(tmp_path, "git", "add", "dvc.lock")
        run(tmp_path, "git", "-c", "user.name=t", "-c", "user.email=t", "commit", "-qm", md5)
        commits.append(run(tmp_path, "git", "rev-parse", "HEAD"))
    assert run(tmp_path, "bash", "-c", command) == commits[1]


def test_the_first_screen_has_the_answer_its_picture_and_f1_before_all_other_scores(
    visit: Callable[..., Page], project: Path
) -> None:
    comparison = pd.read_csv(project / "reports/comparison.csv").set_index("row")
    page = visit(project / "reports/index.html", 1024)
    scores, gain = (page.locator(".charts figure").nth(number).get_attribute("aria-label") for number in (0, 1))
    best = comparison.loc[list(TRIVIAL_BASELINES), "f1"].idxmax()
    for name in ("baseline", "adaptive", best):
        assert f"{name} {comparison.loc[name, 'f1']:.3f}" in str(scores)
    row = comparison.loc["adaptive - baseline"]
    assert f"{row['f1']:+.3f} ({row['f1_low']:+.3f} to {row['f1_high']:+.3f})" in str(gain)
    assert (
        page.locator(".charts figure").nth(1).locator("[style*='stroke-dasharray: 1']").count() == 1
    )  # zero is marked
    table = page.locator("#comparison")
    assert table.locator("thead th").nth(1).inner_text() == "F1 (95 % interval)"
    published = table.locator("tbody").nth(1).locator("tr").first.inner_text()
    assert published.startswith(
        "Published, for other films: some 76 % of their pixels must have been labelled fracture"
    )
    assert table.locator("tbody").nth(1).locator("tr").count() == 3
    assert page.evaluate("(e => e.scrollWidth <= e.parentElement.clientWidth)(document.querySelector('#comparison'))")


def test_a_subgroup_of_a_few_patients_shows_no_numbers(project: Path) -> None:
    table = pd.read_csv(project / "reports/subgroups.csv")
    shown = subgroup_cells(table)
    for row, cells in zip(table.to_dict("records"), shown, strict=True):
        assert (cells[3:] == ["too few"] * 3) == (row["patients"] < 10)
    assert {cells[3] for cells in shown} >= {"too few"}


def results_of(project: Path) -> dict[str, pd.DataFrame]:
    """What the cards take of the report's tables."""
    return {Path(table.name).stem: table.read(project / REPORTS) for table in (COMPARISON, SUBGROUPS, IMAGE_LEVEL)}


def test_in_every_table_of_every_card_each_row_has_as_many_cells_as_its_heading(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also in those about whole films, which the toy project lacks, since a fracture is on each of its films."""
    own = shutil.copytree(project, tmp_path / "own", symlinks=True)
    params, runs = read_params(own / PARAMS), read_runs(own, [1, 2], [1])
    measures = [("Brier score", "0.1", "0.2")]
    section = {"with_fracture": 7, "without_fracture": 1, "head": HEAD, "rows": [HEAD, HEAD], "more": measures}
    monkeypatch.setattr(cards.image_level, "shown", lambda *_: section)
    cards.write_cards(own, runs, results_of(own), "Verdict.", params)
    for name, tables in {"MODEL_CARD.md": 8, "DATASHEET.md": 1}.items():
        widths = cell_counts((own / "reports" / name).read_text())
        assert len(widths) == tables, name
        assert {len(width) for width in widths} == {1}, name


def test_cards_name_sources_that_only_the_test_has_and_the_films_of_each_fold(project: Path, tmp_path: Path) -> None:
    """Fold 2 leaves out one film more than fold 1."""
    own = shutil.copytree(project, tmp_path / "own", symlinks=True)
    params, runs = read_params(own / PARAMS), read_runs(own, [1, 2], [1])
    split = SPLIT.read(own / DATASET)
    split["fold_2"] = split["split"]
    split.loc[split["split"] == "test", "source"] = "ward <b>"
    split.loc[split.index[split["split"] == "train"][0], "fold_2"] = "unused"
    write_table(own / DATASET / SPLIT.name, split)
    cards.write_cards(own, runs, results_of(own), "Verdict.", merge(params, {"evaluate": {"folds": [1, 2]}}))
    card, sheet = ((own / "reports" / name).read_text() for name in ("MODEL_CARD.md", "DATASHEET.md"))
    assert "| 8 of 8 test films, of ward &lt;b>, on none of which a network was trained |" in card
    assert "to films of another hospital.\n" in card
    assert {result.dataset_name for result in ModelCard(card).data.eval_results} == {"ward <b>"}, "tested on no other"
    assert "Means over the trainings, numbers of boxes and films too:" in card
    assert ModelCard(card).data.license == "mit"
    assert "15 to 16 for training (of which 4 for validation) in each of 2 folds, 8 for the test, 0 unused" in sheet
    assert "a segmentation network: 15 to 16 a fold and 8." in sheet


def test_each_machine_that_trained_is_named(project: Path) -> None:
    runs = read_runs(project, [1, 2], [1])
    here = machines_of(runs)
    runs["baseline"][1].model["machine"]["device"] = "NVIDIA H200"
    assert machines_of(runs).startswith("NVIDIA H200; ")
    assert machines_of(runs).endswith(f"; others on {here}")


def test_the_page_asks_what_was_trained_and_says_which_weights_were_in_force() -> None:
    assert question({"baseline": "fixed", "adaptive": "linear"}).startswith("Do adaptive weights of Dice and BCE")
    assert "`adaptive` (fixed)" in question({"baseline": "linear", "adaptive": "fixed"})
    ramp = {"start": 2.0, "end": 6.0}
    weights = {"method": "linear", "alpha": ramp, "beta": ramp, "beta_reading": "as_printed", "normalise": False}
    assert weighting_sentence("adaptive", weights).endswith("alpha 2 to 6, beta 2 to 6")
    assert weighting_sentence("adaptive", weights | {"normalise": True}).endswith("beta 2 to 6, divided by their sum")


def test_only_a_film_that_was_cropped_is_called_so(project: Path) -> None:
    split, manifest = (
        table.read(project / folder).set_index("image_id", drop=False)
        for table, folder in ((SPLIT, DATASET), (MANIFEST, RAW))
    )
    films = read_films(project, read_runs(project, [1, 2], [1]), split, manifest)
    assert [step["caption"] for step in steps(films, ["imresize"])][1] == "prepared"
    assert [step["caption"] for step in steps(films, ["crop", "imresize"])][1] == "cropped and prepared (figure 3)"


@pytest.mark.parametrize("licence", ["MIT-like, for research in this house only", "MIT Laboratory: credentialed"])
def test_a_licence_that_begins_as_mit_is_not_mit(licence: str, project: Path, tmp_path: Path) -> None:
    own = shutil.copytree(project, tmp_path / "own", symlinks=True)
    manifest = MANIFEST.read(own / RAW)
    manifest.loc[0, ["source", "licence"]] = ["ward", licence]
    write_table(own / RAW / MANIFEST.name, manifest)
    cards.write_cards(own, read_runs(own, [1, 2], [1]), results_of(own), "Verdict.", read_params(own / PARAMS))
    read = ModelCard((own / "reports/MODEL_CARD.md").read_text()).data
    assert (read.license, read.license_name) == ("other", "those of the films")


def test_weights_have_the_licences_of_their_films_and_of_their_encoder(project: Path) -> None:
    manifest, runs = MANIFEST.read(project / RAW), read_runs(project, [1, 2], [1])
    assert cards.licences_behind(manifest, runs) == {"MIT (synthetic, generated by this project)"}
    manifest.loc[0, "licence"] = "CC BY-NC 4.0"
    runs["adaptive"][1].model["pretrained"] = {"sha256": "", "source": "", "licence": "Apache-2.0"}
    assert cards.licences_behind(manifest, runs) >= {"CC BY-NC 4.0", "Apache-2.0"}
    own = project.parent / "others"
    shutil.copytree(project, own, symlinks=True)
    manifest.to_csv(own / RAW / MANIFEST.name, index=False)
    cards.write_cards(own, runs, results_of(own), "Verdict.", read_params(own / PARAMS))
    read = ModelCard((own / "reports/MODEL_CARD.md").read_text()).data
    assert (read.license, read.license_link) == ("other", "DATASHEET.md")
    assert read.license_name == "those of the films and of the encoder's weights"


def test_the_card_hides_the_numbers_of_small_subgroups_as_the_page_does(project: Path) -> None:
    card = (project / "reports/MODEL_CARD.md").read_text()
    (shown,) = (rows[2:] for rows in tables_of(card) if rows[0][0] == "subgroup")
    assert shown == subgroup_cells(pd.read_csv(project / "reports/subgroups.csv"))
    assert "too few" in shown[-1]


def test_cards_say_what_was_run(project: Path) -> None:
    card, sheet = ((project / "reports" / name).read_text() for name in ("MODEL_CARD.md", "DATASHEET.md"))
    assert "**The films are synthetic: these scores say nothing about patients. Networks saw no others, so that" in card
    assert card.count("/seed-2-fold-1`") == 2
    assert "6 epochs of AdamW, batch 4" in card
    assert "| outline within 3 pixels (NSD), mean |" in card
    assert "- 24 films, " in sheet
    assert "16 for training (of which 4 for validation), 8 for the test, 0 unused" in sheet
    assert not {"None", "nan"} & set((card + sheet).split())
    assert "- Recipe: paper, changed: preprocess.size 64 (256), " in card
    assert "from random initial weights" in card
    read = ModelCard(card).data
    assert (read.license, read.library_name, read.pipeline_tag) == (
        "mit",
        "segmentation-models-pytorch",
        "image-segmentation",
    )
    comparison = pd.read_csv(project / "reports/comparison.csv").set_index("row")
    scores = {result.metric_name: result.metric_value for result in read.eval_results}
    for variant in ("baseline", "adaptive"):
        assert scores[f"F1 of all test pixels, {variant}"] == pytest.approx(comparison.loc[variant, "f1"])
    assert "to train and test a segmentation network: 16 and 8." in sheet
    assert "Recipe: paper, changed: " in (project / "reports/index.html").read_text()


def test_the_card_says_what_the_encoder_started_from(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, toy_params: dict[str, Any]
) -> None:
    own = shutil.copytree(project, tmp_path / "own", symlinks=True)
    for file in own.glob("models/*/*/model.json"):
        write_json(file, read_json(file) | {"pretrained": EMBEDDED_RECORD})
    report(own, monkeypatch, toy_params)
    card = " ".join((own / "reports/MODEL_CARD.md").read_text().split())
    assert "from pretrained weights" in card
    assert (
        f"started from: {EMBEDDED_RECORD['source']}, licence Apache-2.0, SHA-256 `{EMBEDDED_RECORD['sha256']}`" in card
    )


@pytest.fixture
def page(visit: Callable[..., Page], project: Path) -> Page:
    """The open page, which asks for nothing but the files beside it."""
    return visit(project / "reports/index.html", 1280, 900)


def shown(page: Page) -> list[dict[str, Any]]:
    script = "films => films.filter(f => !f.hidden).map(f => ({...f.dataset, sort: JSON.parse(f.dataset.sort)}))"
    found: list[dict[str, Any]] = page.locator("#grid > li").evaluate_all(script)
    return found


def test_the_first_screen_has_question_answer_and_table(page: Page) -> None:
    assert page.locator("h1").inner_text().endswith("?")
    for what in ("#answer", "#comparison", ".note"):
        box = page.locator(what).first.bounding_box()
        assert box is not None
        assert box["y"] + box["height"] < 900
    answer, said = page.locator("#answer strong").inner_text(), page.locator("#answer").inner_text()
    assert answer.endswith(".")
    assert said.startswith(f"{answer} ")
    assert "95 % interval" in said
    assert ".." not in said


def test_the_picture_stands_beside_the_answer(visit: Callable[..., Page], project: Path) -> None:
    page = visit(project / "reports/index.html", 1440, 900)
    answer, picture = (page.locator(f".opening {what}").bounding_box() for what in ("#answer", ".charts"))
    assert answer
    assert picture
    assert answer["x"] + answer["width"] <= picture["x"]
    assert picture["x"] + picture["width"] <= 1440
    assert picture["y"] <= answer["y"] + answer["height"] <= picture["y"] + picture["height"], "at one height"


def test_a_phone_shows_f1_without_scrolling(visit: Callable[..., Page], project: Path) -> None:
    f1 = pd.read_csv(project / "reports/comparison.csv").set_index("row")["f1"]
    picture = visit(project / "reports/index.html", 390, 844).locator(".charts figure").first
    box = picture.bounding_box()
    assert box
    assert box["y"] + box["height"] < 844
    written = picture.locator("text").all_text_contents()
    for name in ("baseline", "adaptive"):
        assert written[written.index(name) + 1] == f"{f1[name]:.3f}"


def test_every_table_has_a_cell_for_each_heading(page: Page) -> None:
    widths = widths_of_tables(page)
    assert len(widths) > 15
    assert {len(width) for width in widths} == {1}


def test_a_link_leads_to_what_the_report_writes_and_not_to_what_a_later_command_may_have_written(page: Page) -> None:
    script = "links => links.map(link => link.getAttribute('href')).filter(href => !/^(#|https?:)/.test(href))"
    assert page.locator("a[href]").evaluate_all(script) == []
    assert "wrist audit page writes reports/lineage.html" in page.locator("#reproduce ~ p").first.inner_text()


def test_metrics_that_are_compared_have_the_names_of_the_other_tables(page: Page) -> None:
    names = page.locator("[aria-label='Paired statistics'] tbody th").all_inner_texts()
    assert {"F1", "IoU", "MCC", "AUPRC", "NSD", "accuracy"} <= set(names)


def test_the_ranking_says_that_it_is_no_claim(page: Page) -> None:
    below = page.locator(
        ".scroll:has([aria-label='Ranking of all predictors']) + p, [aria-label='Ranking of all predictors'] + p"
    ).first.inner_text()
    assert "It is no claim that it is better than the next: a claim needs the interval of their difference" in below


def test_what_favours_different_models_is_explained(page: Page) -> None:
    table = page.locator("[aria-label='Beyond pixels']")
    assert {"95 % Hausdorff distance, mean, pixels", "the same in mm, where spacing is known"} < set(
        table.locator("tbody th").all_inner_texts()
    )
    said = table.locator("xpath=following-sibling::p[1]").inner_text()
    assert "mm only of films whose spacing is known: the two can favour different models" in said


def test_films_can_be_sorted_by_any_metric(page: Page) -> None:
    assert len(shown(page)) == 8
    keys = page.locator("#sort option").all_inner_texts()[1:]
    assert {"adaptive F1", "baseline precision", "difference in F1"} < set(keys)
    assert not [key for key in keys if "_" in key], "no names of columns"
    for key in keys:
        page.select_option("#sort", key)
        for order, sign in (("1", 1), ("-1", -1)):
            page.select_option("#order", order)
            values = [film["sort"][key] for film in shown(page)]
            known = [value for value in values if value is not None]
            assert known == sorted(known, key=lambda value, sign=sign: sign * value)
            assert values[: len(known)] == known, "undefined ones come last"


@pytest.mark.parametrize("name", ["source", "outcome"])
def test_films_can_be_filtered(name: str, page: Page) -> None:
    every = shown(page)
    options = page.locator(f"#{name} option").all_inner_texts()[1:]
    assert set(options) == {film[name] for film in every}
    for option in options:
        page.select_option(f"#{name}", label=option)
        found = shown(page)
        assert [film["number"] for film in found] == [film["number"] for film in every if film[name] == option]
        assert page.locator("#count").inner_text() == f"{len(found)} of 8 films"


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("opened", [False, True])
def test_axe_finds_nothing_to_mend(scheme: Scheme, opened: bool, page: Page) -> None:
    page.emulate_media(color_scheme=scheme)
    if opened:
        page.locator("#grid .tiles").first.click()
        page.locator("#viewer figcaption:has-text('F1')").first.wait_for()
        page.keyboard.press("?")
    require_accessible(page)


@pytest.mark.parametrize("width", [1440, 1024, 390])
def test_no_text_is_cut_on_the_page_or_in_the_viewer(width: int, visit: Callable[..., Page], project: Path) -> None:
    page = visit(project / "reports/index.html", width)
    page.evaluate("document.querySelectorAll('details').forEach(element => { element.open = true; })")
    for scheme in SCHEMES:
        page.emulate_media(color_scheme=scheme)
        assert cut_texts(page.locator("body")) == []
    page.locator("#grid .tiles").first.click()
    page.locator("#viewer figcaption:has-text('F1')").first.wait_for()
    page.keyboard.press("?")
    page.keyboard.press("p")
    for scheme in SCHEMES:
        page.emulate_media(color_scheme=scheme)
        assert cut_texts(page.locator("#viewer")) == []
    buttons = [button.bounding_box() for button in page.locator("#viewer .bar").first.locator("button").all()]
    assert len({round(box["y"]) for box in buttons if box}) == 1, "in one line"
    caption = page.locator("#viewer figcaption").first
    caption.evaluate(
        "element => Object.assign(element.style, {overflow: 'hidden', whiteSpace: 'nowrap', width: '9em'})"
    )
    assert cut_texts(page.locator("#viewer")) == [caption.inner_text()], "what is cut is found"


@pytest.mark.parametrize("width", [1280, 820, 360])
def test_nothing_but_tables_is_wider_than_the_window(width: int, page: Page) -> None:
    page.set_viewport_size({"width": width, "height": 900})
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_a_table_that_is_wider_than_a_phone_keeps_its_names_and_shows_that_it_goes_on(
    visit: Callable[..., Page], project: Path
) -> None:
    page = visit(project / "reports/index.html", 390)
    table = page.locator("#comparison")
    head, f1 = (table.locator("tbody tr").first.locator(cell) for cell in ("th", "td:nth-of-type(1)"))
    before = head.bounding_box()
    shown = f1.bounding_box()
    assert before
    assert shown
    assert shown["x"] + shown["width"] <= 390
    scroll = page.locator(".scroll:has(#comparison)")

    def edge() -> np.ndarray:
        return pixels(scroll.screenshot())[:, -2]

    paper = edge().max(axis=0)
    assert (edge().min(axis=0) < paper - 40).all(), "a shade where the table goes on"
    scroll.evaluate("element => element.scrollTo(10000, 0)")
    after = head.bounding_box()
    assert after
    assert after["x"] == before["x"]
    assert np.median(edge(), axis=0) == pytest.approx(paper), "none at its end"


def test_it_prints_with_its_films_and_in_the_colours_of_its_legend(page: Page, tmp_path: Path) -> None:
    page.set_viewport_size({"width": 794 - 76, "height": 1000})  # A4 at 96 pixels per inch, without its margins
    for scheme in SCHEMES:
        page.emulate_media(media="print", color_scheme=scheme)
        assert page.locator(".controls").is_hidden()
        assert page.evaluate("[...document.querySelectorAll('pre')].every(e => e.scrollWidth <= e.clientWidth)"), "cut"
        assert cut_texts(page.locator("body")) == []
        assert page.evaluate("[...document.querySelectorAll('details > *')].every(e => e.checkVisibility())"), (
            "unfolded"
        )
        ink = page.locator("#answer").evaluate("element => getComputedStyle(element).color")
        assert max(map(int, re.findall(r"\d+", ink))) < 60, "dark ink, since paper is white"
    page.pdf(path=tmp_path / "page.pdf", format="A4")
    legend = [page.evaluate("name => getComputedStyle(document.documentElement).getPropertyValue(name)", f"--{name}")
              for name in ("labelled", "found", "marked", "missed")]  # fmt: skip
    sheets = [sheet.render(scale=1).to_numpy()[..., :3] for sheet in PdfDocument(tmp_path / "page.pdf")]
    for colour in legend:
        wanted = [int(value) for value in re.findall(r"\d+", colour)][::-1]  # the renderer's order is blue, green, red
        assert sum((np.abs(sheet.astype(int) - wanted) <= 2).all(axis=2).sum() for sheet in sheets) > 60
    dark = sum(((sheet < 60).all(axis=2)).sum() for sheet in sheets)
    assert dark > 8 * 3000, "films are printed"
