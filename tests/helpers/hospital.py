"""An export of a hospital with films of the sample, in the folder `in`."""

from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from pydicom import Dataset, dcmread

from stages.common.core.errors import UserError
from stages.ingest.dicom.pseudonyms import Key
from stages.ingest.main import main
from stages.ingest.params import Params, Sample
from stages.ingest.sources.sample import SampleFilm, dicom_file, draw, voc_file
from tests.helpers.params import merge, read_yaml
from tests.helpers.paths import ROOT

SAMPLE = Sample(seed=3, films=16, width=96)
KEY = Key(b"k" * 32)


def settings(hospital: dict[str, Any] | None = None, **changes: Any) -> Params:
    """The section `ingest` for an export in the folder `in`.

    Args:
        hospital: keys of the entry.
    """
    source = {"source": "hospital", "annotations": "voc"} | (hospital or {})
    base = read_yaml(ROOT / "params.yaml")["ingest"] | {"sources": [source], "inbox": "in"}
    return Params.model_validate(merge(base, changes))


def bring(
    inbox: Path, name: str = "DOE_JANE/IM1", film: int = 1, patient: int = 2, kind: str = "DX",
    change: Callable[[Dataset], None] = lambda data: None, label: bool = True,
) -> None:  # fmt: skip
    """A film with its annotation, as an export holds it: without a suffix, in a folder of the patient's name."""
    plan = SampleFilm(film, patient, "hospital", kind)
    drawn = draw(plan, SAMPLE)
    data = dcmread(BytesIO(dicom_file(plan, drawn, 3)))
    change(data)
    path = inbox / name
    path.parent.mkdir(parents=True, exist_ok=True)
    data.save_as(path, enforce_file_format=True)
    if label:
        path.with_suffix(".xml").write_bytes(voc_file(plan, drawn))


def refused(**changes: Any) -> str:
    with pytest.raises(UserError) as fault:
        main(settings(**changes))
    assert "DOE" not in str(fault.value)
    return str(fault.value)
