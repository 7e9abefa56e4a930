"""A patient's birth date, telephone or case number is a number, too: none may pass where numbers do."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydicom import Dataset

from stages.common.data.layout import QUALITY, RAW
from stages.ingest.main import main
from tests.helpers.hospital import bring, refused, settings

BIRTH, CASE = "19700231", "5550123"


def put(**values: Any) -> Callable[[Dataset], None]:
    def change(data: Dataset) -> None:
        for name, value in values.items():
            setattr(data, name, value)

    return change


LEFT_OUT = [
    {"WindowCenter": ["40", BIRTH, CASE], "WindowWidth": ["400", BIRTH, CASE]},
    {"RescaleSlope": ["1", BIRTH], "RescaleIntercept": ["0", CASE]},
    {"PixelSpacing": [BIRTH, CASE]},
    {"PixelSpacing": ["0.1", "0.1", BIRTH]},
    {"ImagerPixelSpacing": [BIRTH, CASE]},
    {"SliceThickness": BIRTH},
    {"SliceThickness": ["1", BIRTH]},
    {"ImagePositionPatient": [BIRTH, CASE, "0"]},
    {"ImagePositionPatient": ["0", "0", "0", BIRTH]},
    {"ImageOrientationPatient": ["1", "0", "0", "0", "1", BIRTH]},
]
REFUSED = [
    {"WindowCenter": BIRTH, "WindowWidth": CASE},
    {"RescaleIntercept": BIRTH, "RescaleSlope": "1"},
    {"RescaleSlope": CASE},
]


def outputs() -> bytes:
    """Every byte of data/raw and the quality page."""
    return b"".join(path.read_bytes() for path in [*RAW.rglob("*"), QUALITY] if path.is_file())


@pytest.mark.parametrize("kind", ["CR", "CT"])
@pytest.mark.parametrize("values", LEFT_OUT, ids=str)
def test_a_number_that_shows_nothing_reaches_no_output(
    kind: str, values: dict[str, Any], inbox: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    bring(inbox, "DOE/1", 1, kind=kind, change=put(**values))
    said = main(settings()) + "".join(capfd.readouterr())
    assert [secret for secret in (BIRTH, CASE) if secret.encode() in outputs() + said.encode()] == []


@pytest.mark.parametrize("values", REFUSED, ids=str)
def test_a_grey_scale_that_no_film_has_is_refused_without_its_numbers(values: dict[str, Any], inbox: Path) -> None:
    bring(inbox, "DOE/1", 1, change=put(**values))
    said = refused()
    assert "beyond 100000, which no grey levels of 16 bits need" in said
    assert [secret for secret in (BIRTH, CASE) if secret in said] == []
