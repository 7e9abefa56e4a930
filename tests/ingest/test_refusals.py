"""Every kind of refusal of ingest, twice: the same bytes in another folder, process and order of hashes."""

import os
import subprocess
import sys
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.helpers.odd_films import NAME, refused_files, sample_film
from tests.helpers.paths import ROOT

LABELS: dict[str, bytes] = {
    "yolo": b"0 0.5 0.5 0.1 0.1",
    "voc": b"<annotation><object><name>fracture</name><bndbox><xmin>1</xmin><ymin>1</ymin><xmax>9</xmax><ymax>9</ymax>"
    b"</bndbox></object></annotation>",
}
LEFT_OUT = {"in", "data_docs"}  # the pages of great-expectations hold the time, and are no output
INGEST = """
import os
from contextlib import nullcontext
from stages.common.core import parallel
from stages.common.core.errors import UserError
from stages.ingest.main import main
from stages.ingest.params import Params
from tests.helpers.params import read_yaml
from tests.helpers.paths import ROOT
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
