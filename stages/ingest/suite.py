"""What must hold of data/raw, as a great-expectations suite."""

from pathlib import Path

import pandas as pd

from stages.common.artifacts import sha256
from stages.common.validation import Expectation, parse_boxes
from stages.ingest.records import on_film


def manifest_facts(manifest: pd.DataFrame, folder: Path) -> pd.DataFrame:
    """The manifest with what was found on disk beside each row: `found_sha256` and `boxes_inside`."""
    facts = manifest.copy()
    facts["found_sha256"] = [sha256(folder / file) if (folder / file).exists() else "missing" for file in facts["file"]]
    facts["boxes_inside"] = [
        bool(on_film(parse_boxes(boxes), width, height).all())
        for boxes, width, height in zip(facts["boxes"], facts["width"], facts["height"], strict=True)
    ]
    return facts


def manifest_suite() -> list[Expectation]:
    """Ids unique, files there with the hash that the manifest states, boxes on the film, no field left blank."""
    return [
        ("image ids are unique", "ExpectColumnValuesToBeUnique", {"column": "image_id"}),
        (
            "every file exists with the stated hash",
            "ExpectColumnPairValuesToBeEqual",
            {"column_A": "file_sha256", "column_B": "found_sha256"},
        ),
        ("every box lies on its film", "ExpectColumnValuesToBeInSet", {"column": "boxes_inside", "value_set": [True]}),
        ("every film has a patient", "ExpectColumnValueLengthsToBeBetween", {"column": "patient_id", "min_value": 1}),
        ("every film has a licence", "ExpectColumnValueLengthsToBeBetween", {"column": "licence", "min_value": 1}),
        ("films have 8 or 16 bits", "ExpectColumnValuesToBeInSet", {"column": "bits", "value_set": [8, 16]}),
        (
            "modalities are known",
            "ExpectColumnValuesToBeInSet",
            {"column": "modality", "value_set": ["CR", "DX", "CT", "OT"]},
        ),
    ]
