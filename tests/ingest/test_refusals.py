"""Every kind of refusal of ingest, twice: the same bytes in another folder, process and order of hashes."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any
from zipfile import ZIP_DEFLATED, ZipFile

import numpy as np
import pytest
from PIL import Image

from stages.common.core.errors import UserError
from stages.ingest.account import account_for
from stages.ingest.file_access import Archive, Folder
from stages.ingest.params import Folder as FolderSource
from stages.ingest.params import Params
from stages.ingest.process_film import process_film
from stages.ingest.sources.folder import picture_films
from tests.helpers.odd_films import NAME, refused_files, sample_film
from tests.helpers.params import read_yaml
from tests.helpers.paths import ROOT

LABELS: dict[str, bytes] = {
    "yolo": b"0 0.5 0.5 0.1 0.1",
    "voc": b"<annotation><object><name>fracture</name><bndbox><xmin>1</xmin><ymin>1</ymin><xmax>9</xmax><ymax>9</ymax>"
    b"</bndbox></object></annotation>",
}
LEFT_OUT = {"in", "data_docs"}  # the pages of great-expectations hold the time, and are no output
INGEST = """
import multiprocessing
import os
from contextlib import nullcontext
from stages.common.core import parallel
from stages.common.core.errors import UserError
from stages.ingest.main import main
from stages.ingest.params import Params
from tests.helpers.once import compute_once
from tests.helpers.params import read_yaml
from tests.helpers.paths import ROOT
from tests.helpers.processes import forked_python
compute_once()
multiprocessing.set_executable(forked_python())
base = read_yaml(ROOT / "params.yaml")["ingest"] | {"inbox": "in"}
with parallel.processes() as pool:
    parallel.processes = lambda: nullcontext(pool)  # all four share the worker processes, which take seconds to start
    for source, annotations in (("folder", "yolo"), ("hospital", "voc")):
        os.chdir(source)
        sources = [{"source": source, "annotations": annotations}]
        for on_error in ("stop", "quarantine"):
            try:
                print(main(Params.model_validate(base | {"sources": sources, "on_error": on_error})))
            except UserError as error:
                print(error)
        os.chdir("..")
"""


def png(seed: int) -> bytes:
    """A film of noise, 40 x 30 pixels."""
    buffer = BytesIO()
    Image.fromarray(np.random.default_rng(seed).integers(0, 65535, (30, 40), dtype=np.uint16)).save(buffer, "PNG")
    return buffer.getvalue()


def pictures() -> dict[str, bytes]:
    """A folder of films with labels in YOLO: one that is sound, and one of each kind that is refused."""
    files = {name: content for name, content in refused_files().items() if "." in name}
    label = LABELS["yolo"]
    wrong = (
        b"0 a b c d",
        b"0 0.5",
        b"0 2 2 1 1",
        b"\xff\xfe\xfa",
        b"0 0.5 0.5 -1 0.1",
        b"0 nan 0.5 0.1 0.1",
        b"0 0 0 0 0",
    )
    for number, content in enumerate((label, *wrong)):
        files |= {f"film{number}.png": png(number), f"film{number}.txt": content}
    files |= {f"{Path(name).stem}.txt": label for name in list(files) if not name.startswith("film")}
    tiny = BytesIO()
    Image.new("L", (3, 3)).save(tiny, "PNG")
    twins = {"p/twin.txt": label, "q/twin.txt": label, "twin.png": png(50)}
    same = {"a b.png": png(51), "a_b.png": png(52), "A_B.png": png(53)}
    return files | twins | same | {"tiny.png": tiny.getvalue(), "lost.txt": label, "README": b"text"}


def export() -> dict[str, bytes]:
    """A hospital's export in folders that are names: one sound film, and one of each kind that is refused."""
    files = {f"{NAME}/{name}": content for name, content in refused_files().items()}
    files |= {f"{name}.xml": LABELS["voc"] for name in list(files)}
    dates = sample_film(PatientBirthDate=b"12 Maret 1960 ", StudyDate=b"12 Maret 1960 ")
    uid = {"SOPInstanceUID": b"1.2.3\0", "SeriesInstanceUID": NAME.encode()}
    files |= {"sound": dates, "sound.xml": LABELS["voc"], "twin": dates}
    names = LABELS["voc"].replace(b"fracture", NAME.encode())
    files |= {"named": sample_film(**uid), "named.xml": names}
    wrong = (b"<annotation>", names.replace(b"<xmin>1", b"<xmin>12 Maret"), names.replace(b">9<", b">9000<"), b"")
    for number, content in enumerate(wrong):
        files |= {f"wrong{number}": sample_film(SOPInstanceUID=f"1.2.4.{number}"), f"wrong{number}.xml": content}
    for state in ("YES", "yes", "Y", "UNKNOWN", ""):
        film = sample_film(
            BurnedInAnnotation=state.encode(), SOPInstanceUID=f"1.2.5.{len(state)}.{int(state == 'yes')}"
        )
        files |= {f"burned{state}": film, f"burned{state}.xml": LABELS["voc"]}
    return files | {f"{NAME}/unlabelled": sample_film(SOPInstanceUID="1.2.6"), "lost.xml": names}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_every_refusal_is_the_same_bytes_without_a_name(tmp_path: Path) -> None:
    (tmp_path / "key").write_bytes(b"k" * 32)
    written = []
    for seed in ("1", "2"):
        here = tmp_path / f"run{seed}"
        for source, content in (("folder", pictures()), ("hospital", export())):
            for name, data in content.items():
                path = here / source / "in" / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(data)
        key = {"PSEUDONYM_KEY_FILE": str(tmp_path / "key"), "WORKERS": seed}
        done = subprocess.run(
            [sys.executable, "-c", INGEST],
            cwd=here, env=os.environ | key | {"PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT)},
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        outputs = [path for path in here.rglob("*") if path.is_file() and not LEFT_OUT & set(path.parts)]
        files = {path.relative_to(here).as_posix(): path.read_bytes() for path in sorted(outputs)}
        said = "".join(line for line in done.stderr.splitlines(keepends=True) if "/s]" not in line)
        written.append(files | {"out": done.stdout.encode(), "err": said.encode()})
    assert written[0].keys() == written[1].keys()
    assert [name for name in written[0] if written[0][name] != written[1][name]] == []
    texts = {name: data for name, data in written[0].items() if not name.endswith((".png", ".dcm"))}
    for source in ("folder", "hospital"):
        assert b"".join(data for name, data in texts.items() if name.startswith(source)).count(b"expected") > 30
    hidden = [str(tmp_path), "0x7", "SURNAME", "Maret", "Warning", "Traceback", "object at"]
    assert [word for word in hidden if word.encode() in b"".join(texts.values())] == []


def js(content: Any) -> bytes:
    return json.dumps(content).encode()


def coco(*annotations: Any) -> bytes:
    return js({"images": [{"id": 1, "file_name": "a.png", "width": 40, "height": 30}], "annotations": annotations})


def studio(*results: Any, **task: Any) -> bytes:
    return js([{"data": {"image": "a.png"}, "annotations": [{"result": list(results)}]} | task])


def via(regions: Any) -> bytes:
    return js({"a": {"filename": "a.png", "regions": regions}})


def cvat(inside: str) -> bytes:
    return f'<annotations><image name="a.png" width="40" height="30">{inside}</image></annotations>'.encode()


def labelme(*shapes: Any) -> bytes:
    return js({"shapes": list(shapes)})


def mask(values: int) -> bytes:
    buffer = BytesIO()
    Image.fromarray((np.arange(1200) % values).astype(np.uint8).reshape(30, 40)).save(buffer, "PNG")
    return buffer.getvalue()


def workbook() -> bytes:
    """A zip, and no workbook."""
    buffer = BytesIO()
    with ZipFile(buffer, "w") as archive:
        archive.writestr("xl/workbook.xml", "<a>")
    return buffer.getvalue()


RECT = {"type": "rectanglelabels", "original_width": 40, "original_height": 30}
OUTSIDE = {"x": 90, "y": 90, "width": 50, "height": 50, "rectanglelabels": ["f"]}
CSV_HEAD = b"image,label,xmin,ymin,xmax,ymax\n"
NO_JSON = (b"", b"{", b"[]", b"null", b"[" * 99_999, b"\xff\xfe\0", b'{"a": 1, "a": 2}')
# By format, the name of a file beside a.png and contents that are refused, each in a way of its own.
WRONG: dict[str, tuple[str, tuple[bytes, ...]]] = {
    "coco": (
        "coco.json",
        (
            *(mark + b'"images" "annotations"' for mark in NO_JSON),
            *(js({"images": images, "annotations": []}) for images in (None, 1, [1], [{}], [{"id": 1}], [{"id": []}])),
            *map(coco, (None, {}, {"image_id": 2}, {"image_id": 1}, {"image_id": 1, "bbox": [1, 2, 3]})),
            *(coco({"image_id": 1, "bbox": box}) for box in (None, "abcd", [1, 2, "x", 4], [1, 1, 90, 90])),
            *(
                coco({"image_id": 1, "segmentation": drawn})
                for drawn in ([1], [[1, 2, 3]], {}, {"size": [1], "counts": ""}, {"size": [30, 40], "counts": "ÿ"})
            ),
        ),
    ),
    "label_studio": (
        "tasks.json",
        (
            *(mark + b'"annotations" "data" "result"' for mark in NO_JSON),
            *map(studio, ({"type": "choices"}, {"type": "brushlabels"}, RECT, RECT | {"value": []}, None)),
            studio(RECT | {"value": OUTSIDE}),
            studio(RECT | {"value": OUTSIDE | {"x": None}}),
            studio(RECT | {"value": OUTSIDE | {"rectanglelabels": ["f", "g"]}}),
            studio(data={"result": []}),
            studio(annotations=[{"result": None}]),
        ),
    ),
    "via": (
        "via.json",
        (
            *(mark + b'"filename" "regions"' for mark in NO_JSON),
            *map(via, (None, 1, [None], [{}], [{"shape_attributes": {"name": "circle"}}])),
            via([{"shape_attributes": {"name": "rect", "x": 1}}]),
            via([{"shape_attributes": {"name": "polygon", "all_points_x": [1], "all_points_y": [1, 2]}}]),
            via([{"shape_attributes": {}, "region_attributes": {"label": {"f": True, "g": True}}}]),
        ),
    ),
    "cvat": (
        "cvat.xml",
        (
            b"<annotations",
            b"<annotations><image></annotations>",
            b"<annotations><track/></annotations>",
            b"<annotations><image/></annotations>",
            b'<!DOCTYPE a [<!ENTITY b "c">]><annotations>&b;</annotations>',
            *map(cvat, ("<polyline/>", "<box/>", '<polygon points="1,2;3"/>', '<mask left="1"/>')),
            cvat('<mask left="0" top="0" width="2" height="2" rle="9"/>'),
        ),
    ),
    "labelme": (
        "a.json",
        (
            *NO_JSON,
            *(js({"shapes": shapes}) for shapes in (None, 1, [None], [{}])),
            *(labelme({"label": "f", "points": points}) for points in (None, [], [[1, 2]], [[1, 2], [3], [4, 5]])),
            labelme({"label": "f", "shape_type": "rectangle", "points": [[1, 2]]}),
            labelme({"label": "f", "shape_type": "circle", "points": [[1, 2], [3, 4]]}),
        ),
    ),
    "csv": (
        "boxes.csv",
        (
            b"xmin\n",
            CSV_HEAD.replace(b"ymin", b"xmin"),
            CSV_HEAD + b'"a.png,f,1,2,3,4\n',
            CSV_HEAD + b"a.png,f,1,2\n",
            CSV_HEAD + b"a.png,f,1,2,3,wide\n",
            CSV_HEAD + b"b.png,f,1,2,3,4\n",
            CSV_HEAD + b"a.png,f,1,2,3,400\n",
            CSV_HEAD + b"\xff",
        ),
    ),
    "masks": ("a_mask.png", (b"", b"no mask", mask(2)[:60], mask(200), b"\x89PNG\r\n\x1a\n" + bytes(40))),
    "none": (
        "patients.csv",
        (
            b"image,patient\nb,1\n",
            b"image,patient\na,\n",
            b"image,patient\na,1\na,2\n",
            b"image,patient\na,1,2\n",
            b"image,image,patient\na,a,1\n",
            b"film,patient\na,1\n",
            b"image,patient\n\xff,1\n",
            b"image,patient\n" + b"a" * 140_000 + b",1\n",
        ),
    ),
    "none, a workbook": ("patients.xlsx", (b"", b"no workbook", workbook(), workbook()[:-9])),
    "none, another": ("patients.xls", (b"",)),
}  # fmt: skip
PYTHONS = re.compile(r"0x[0-9a-f]{3}| at 0|Error|NoneType|Traceback|Warning|<class|object '|bytes-like|to unpack|__")


def said_of(folder: Path, annotations: str) -> Iterator[str]:
    """All that ingest says of a folder, in this process."""
    base = read_yaml(ROOT / "params.yaml")["ingest"] | {"inbox": "in"}
    entry = {"source": "folder", "annotations": annotations, "unlabelled": "refuse" if annotations != "none" else None}
    entry = {key: value for key, value in entry.items() if value}
    settings = Params.model_validate(base | {"sources": [entry]})
    source = FolderSource.model_validate(entry)
    try:
        plan = picture_films(Folder(folder / "in", settings.limits), "s", source)
        results = [process_film(film, settings, None, folder / "out") for film in plan.films]
    except UserError as error:
        yield str(error)
        return
    for refusal in plan.refusals + [refusal for result in results for refusal in result.refusals]:
        yield refusal.reason
    account = account_for(plan, results)
    assert account.seen == 2
    yield from (*plan.notes, account.sentence, *account.reasons)


@pytest.mark.parametrize(
    ("kind", "file", "content"),
    [(kind, file, content) for kind, (file, contents) in WRONG.items() for content in contents],
    ids=[f"{kind}-{number}" for kind, (_, contents) in WRONG.items() for number in range(len(contents))],
)
@pytest.mark.filterwarnings("ignore")
def test_every_format_is_refused_twice_in_the_same_words_of_ours(
    kind: str, file: str, content: bytes, tmp_path: Path
) -> None:
    said = []
    for run in ("one", "other"):
        (tmp_path / run / "in").mkdir(parents=True)
        (tmp_path / run / "in/a.png").write_bytes(png(1))
        (tmp_path / run / "in" / file).write_bytes(content)
        said.append(list(said_of(tmp_path / run, kind.partition(",")[0])))
    assert said[0] == said[1]
    assert any("expected" in words or "missing image" in words for words in said[0]), said[0]
    assert [words for words in said[0] if PYTHONS.search(words) or str(tmp_path) in words] == []


def archives() -> dict[str, bytes]:
    """Archives that are refused, each in a way of its own."""
    made = {"none": b"", "text": b"no zip"}
    for name, member, content in (
        ("out", "../a.png", b"x"),
        ("bomb", "a.png", bytes(2**25)),
        ("sound", "a.png", png(1)),
        ("twice", "A.png", b"x"),
    ):
        buffer = BytesIO()
        with ZipFile(buffer, "w", ZIP_DEFLATED) as archive:
            archive.writestr(member, content)
            if name == "twice":
                archive.writestr("a.png", b"x")
        made[name] = buffer.getvalue()
    sound = made.pop("sound")
    middle = 200
    return made | {"cut": sound[:-30], "damaged": sound[:middle] + b"\xff" * 20 + sound[middle + 20 :]}


@pytest.mark.parametrize("name", archives())
def test_every_archive_is_refused_twice_in_the_same_words_of_ours(name: str, tmp_path: Path) -> None:
    limits = Params.model_validate(read_yaml(ROOT / "params.yaml")["ingest"]).limits
    said = []
    for run in ("one", "other"):
        (tmp_path / run).mkdir()
        path = tmp_path / run / "films.zip"
        path.write_bytes(archives()[name])
        archive = Archive(path, limits, "films.zip")
        try:
            plan = picture_films(archive, "s", FolderSource(source="folder", annotations="none"))
            settings = Params.model_validate(read_yaml(ROOT / "params.yaml")["ingest"])
            results = [process_film(film, settings, None, tmp_path / "out") for film in plan.films]
            said.append([refusal.reason for result in results for refusal in result.refusals])
        except UserError as error:
            said.append([str(error)])
    assert said[0] == said[1]
    assert len(said[0]) == 1
    assert not PYTHONS.search(said[0][0])
    assert str(tmp_path) not in said[0][0]
