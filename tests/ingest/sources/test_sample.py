import zipfile
from collections import Counter
from io import BytesIO
from pathlib import Path

import pytest
from pydicom import dcmread

from stages.common.core.parallel import executor
from stages.ingest.params import Sample
from stages.ingest.sources.sample import plan_films, write_sample

SETTINGS = Sample(seed=7, films=16, width=96)


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sample")
    with executor() as pool:
        write_sample(folder, SETTINGS, pool)
    return folder


def test_the_default_sample_is_dealt_as_the_paper_mixes_sources() -> None:
    plans = plan_films(160)
    assert [p.film for p in plans] == list(range(160))
    assert Counter(p.source for p in plans) == {"kaggle": 110, "hospital": 50}
    assert {p.modality for p in plans if p.source == "hospital"} == {"CR", "DX", "CT"}
    assert max(Counter(p.patient for p in plans if p.source == "hospital").values()) > 1
    kaggle, hospital = ({p.patient for p in plans if p.source == s} for s in ("kaggle", "hospital"))
    assert not kaggle & hospital


def test_the_archive_looks_like_one_from_kaggle(sample: Path) -> None:
    with zipfile.ZipFile(sample / "archive.zip") as archive:
        names = archive.namelist()
    images = [n for n in names if "/images/" in n]
    assert len(images) == 11
    assert {Path(n).suffix for n in images} == {".png", ".jpg"}
    assert {Path(n).stem for n in images} == {Path(n).stem for n in names if "/labels/" in n}
    assert {"wrist-sample/dataset.csv", "wrist-sample/data.yaml"} < set(names)


def test_the_export_looks_like_one_from_a_hospital(sample: Path) -> None:
    datasets = [dcmread(BytesIO(path.read_bytes())) for path in sorted((sample / "export").rglob("*.dcm"))]
    assert len(datasets) == 5
    assert all(d.PatientName and d.PatientID.startswith("MRN") for d in datasets)
    assert all(12 <= d.BitsStored <= 16 for d in datasets)
    assert len({d.SOPInstanceUID for d in datasets}) == 5


def test_its_bytes_are_the_same_every_time(sample: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORKERS", "1")
    with executor() as pool:
        write_sample(tmp_path, SETTINGS, pool)
    for path in sorted(p for p in sample.rglob("*") if p.is_file()):
        assert (tmp_path / path.relative_to(sample)).read_bytes() == path.read_bytes(), path.name
