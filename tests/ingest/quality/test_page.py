"""The defects that real data sets have, one constructed case of each, and what the quality report says of it."""

from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from stages.common.data.layout import RAW
from stages.common.data.tables import ANNOTATIONS, MANIFEST
from stages.ingest.main import main
from stages.ingest.params import Params, Sample
from stages.ingest.pictures import decode_picture
from stages.ingest.process_film import PART_MISSING
from stages.ingest.sources.sample import SampleFilm, draw
from tests.helpers.params import merge, read_yaml
from tests.helpers.paths import FRACATLAS, ROOT, needs

BOX = "0 0.5 0.5 0.1 0.1"


def settings(folder: dict[str, Any] | None = None, **changes: Any) -> Params:
    """The section `ingest` for the inbox `in`; `folder` changes the entry of its one source."""
    source = {"source": "folder", "annotations": "yolo"} | (folder or {})
    base = read_yaml(ROOT / "params.yaml")["ingest"] | {"sources": [source], "inbox": "in"}
    return Params.model_validate(merge(base, changes))


def film(number: int) -> Image.Image:
    density = draw(SampleFilm(number, number, "kaggle", "CR"), Sample(seed=3, films=16, width=128)).density
    return Image.fromarray(np.round(density * 255).astype(np.uint8))


def save(image: Image.Image, name: str, **options: Any) -> None:
    Path("in").mkdir(exist_ok=True)
    image.save(Path("in") / name, **options)


def report(**changes: Any) -> str:
    main(settings(**changes))
    return Path("reports/data_quality.md").read_text()


def no_fracture(name: str) -> None:
    """An empty label file."""
    Path("in").mkdir(exist_ok=True)
    Path(f"in/{name}.txt").write_text("")


def test_augmented_copies_of_one_film_are_one_group(here: Path) -> None:
    for number, name in enumerate(["a_png.rf.1a2b", "a_png.rf.3C4d", "a_jpg.rf.5e6f", "b_png.rf.1a2b", "c"], start=1):
        save(film(number), f"{name}.jpg")
        no_fracture(name)
    Path("in/t.csv").write_text("filename,patient_id\na_png.rf.1a2b.jpg,7\n")
    said = report()
    assert "4 films are Roboflow's augmented copies of 2 films" in said
    assert "a_jpg.rf.5e6f and a_png.rf.1a2b: augmented copies of one film with several patient ids" in said
    group = MANIFEST.read(RAW).set_index("image_id")["group"]
    assert len({group[name] for name in group.index if name.startswith("a_")}) == 1
    assert group.nunique() == 3


def test_the_same_film_stored_twice_is_one_group(here: Path) -> None:
    no_fracture("a")
    save(film(1), "a.png")
    save(film(1), "b.png")
    save(film(1), "c.jpg", quality=40)
    save(film(2), "other.png")
    said = report()
    assert "a and b: identical pixels; they count as two patients" in said
    assert "a and c: near copies (" in said
    manifest = MANIFEST.read(RAW).set_index("image_id")
    assert len(set(manifest.loc[["a", "b", "c"], "group"])) == 1
    assert manifest["group"].nunique() == 2
    assert "## The same film more than once: 2" in said
    assert "identical pixels" in report(near_duplicate_bits=0)
    assert "near copies" not in Path("reports/data_quality.md").read_text()


def test_a_copy_that_lacks_its_lower_part_is_one_group_and_a_film_of_other_details_is_none(here: Path) -> None:
    no_fracture("a")
    whole = np.asarray(film(1))
    broken = whole.copy()
    broken[len(whole) * 2 // 3 :] = 128
    base = np.asarray(film(2)) * 0.7 + 30
    noise = np.random.default_rng(0).normal(0, 12, (2, *base.shape))
    one, other = (np.clip(base + layer, 0, 255).astype(np.uint8) for layer in noise)
    for name, pixels in (("a", whole), ("b", broken), ("c", one), ("d", other)):
        save(Image.fromarray(pixels), f"{name}.png")
    said = report()
    groups = MANIFEST.read(RAW).set_index("image_id")["group"]
    assert groups["a"] == groups["b"]
    assert groups["c"] != groups["d"]
    assert "## The same film more than once: 1" in said
    assert "1 pairs of films have near hashes and other details: they are no copies" in said


def test_opposite_labels_on_copies_are_told(here: Path) -> None:
    for name in "ab":
        save(film(1), f"{name}.png")
    Path("in/a.txt").write_text(BOX)
    assert "one has a fracture and the other none: correct one" in report()


def test_an_official_split_that_leaks_is_told(here: Path) -> None:
    no_fracture("a")
    for name, number in (("a", 1), ("b", 1), ("c", 2), ("d", 3)):
        save(film(number), f"{name}.png")
    Path("in/t.csv").write_text("filename,patient_id,split\na.png,1,train\nb.png,2,test\nc.png,3,train\nd.png,3,test\n")
    said = report()
    assert "their source puts one into train and the other into test: the split leaks" in said
    assert "## The source's own split leaks: 2" in said
    assert "films in test and train (c, d)" in said


def save_cut(missing: int) -> None:
    """A JPEG whose last bytes are missing, as cut.jpg."""
    buffer = BytesIO()
    film(2).save(buffer, "JPEG")
    Path("in/cut.jpg").write_bytes(buffer.getvalue()[:-missing])


def test_truncated_files_are_told(here: Path) -> None:
    no_fracture("good")
    save(film(1), "good.png")
    save_cut(300)
    assert "cut.jpg: expected a whole grey PNG, JPEG, TIFF, WebP or BMP" in report(on_error="quarantine")


def test_truncated_files_are_taken_with_a_note_where_that_is_accepted(here: Path) -> None:
    no_fracture("good")
    save(film(1), "good.png")
    save_cut(12)
    said = report(on_truncated="accept")
    assert "the file is cut off and its last pixels are grey (ingest.on_truncated): cut" in said
    assert set(MANIFEST.read(RAW)["image_id"]) == {"cut", "good"}


def test_films_whose_lower_part_is_missing_are_told_with_labels_that_lie_there(here: Path) -> None:
    buffer = BytesIO()
    film(2).save(buffer, "JPEG", quality=95)
    half = buffer.getvalue()[: len(buffer.getvalue()) // 2]
    broken = Image.fromarray(decode_picture(half + b"\xff\xd9", 64).pixels)  # a codec takes this for whole
    save(broken, "lost.jpg", quality=80)
    save(broken, "labelled.png")
    save(film(1), "whole.png")
    Path("in/labelled.txt").write_text("0 0.5 0.9 0.1 0.1")
    said = report()
    assert f"{PART_MISSING}: labelled, lost" in said
    assert "a label lies in the part of the film that is missing: labelled" in said


@pytest.mark.parametrize("turned", [True, False])
def test_labels_in_either_frame_of_a_turned_film_are_placed(turned: bool, here: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    stored = film(1)
    save(stored, "a.jpg", exif=exif, quality=95)
    width, height = stored.size
    # The same box, drawn on the film as it is shown (height x width) or as it is stored.
    size, corners = (
        ((height, width), (height - 30, 10, height - 20, 40)) if turned else ((width, height), (10, 20, 40, 30))
    )
    edges = "".join(f"<{e}>{v}</{e}>" for e, v in zip(("xmin", "ymin", "xmax", "ymax"), corners, strict=True))
    size_text = "<size><width>{}</width><height>{}</height></size>".format(*size)
    Path("in/a.xml").write_text(
        f"<annotation>{size_text}<object><name>f</name><bndbox>{edges}</bndbox></object></annotation>"
    )
    said = report(folder={"annotations": "voc"})
    points = ANNOTATIONS.read(RAW)["points"][0]
    assert points == f"{height - 30} 10 {height - 20} 40"
    assert ("drawn on the unturned picture were turned" in said) is not turned


def test_a_table_that_contradicts_itself_or_the_labels_is_told(here: Path) -> None:
    for number, name in enumerate("abcd"):
        save(film(number), f"{name}.png")
    Path("in/a.txt").write_text(BOX)
    rows = ["image_id,fractured,fracture_count", "a.png,1,1", "b.png,0,2", "c.png,1,1", "d.png,0,0"]
    Path("in/t.csv").write_text("\n".join(rows))
    said = report()
    assert "b: its table says fracture_count 2 and the opposite in `fractured`" in said
    assert "c: its table says {'fractured': '1'}, its labels hold 0 fractures" in said
    assert "## Tables against labels: 2" in said
    # As GRAZPEDWRI-DX has it: blank means no.
    Path("in/t.csv").write_text("filestem,fracture_visible\na,\nb,1\nc,\nd,\n")
    said = report()
    assert "a: its table says {'fracture_visible': '0'}, its labels hold 1 fractures" in said
    assert "b: its table says {'fracture_visible': '1'}, its labels hold 0 fractures" in said
    assert "## Tables against labels: 2" in said


@pytest.mark.slow
@needs(FRACATLAS)
@pytest.mark.parametrize("annotations", ["coco", "yolo"])  # test_formats holds all four to the same shapes
def test_no_false_alarm_on_real_films(annotations: str, here: Path) -> None:
    said = report(inbox=str(FRACATLAS), folder={"annotations": annotations, "licence": "CC BY 4.0"})
    for title in ("Refused", "The same film more than once", "The source's own split leaks", "Tables against labels"):
        assert f"## {title}: none" in said
    assert "## To look at: none" in said
    assert "| folder | 196 | 106 | 171 | OT 196 | CC BY 4.0 |" in said
