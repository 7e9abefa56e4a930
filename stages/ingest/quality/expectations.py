"""What must hold of data/raw, as a great-expectations suite."""

from pathlib import Path

import pandas as pd

from stages.common.core.hashing import sha256
from stages.common.core.validation import Expectation
from stages.common.data.shapes import read_points


def manifest_facts(manifest: pd.DataFrame, annotations: pd.DataFrame, folder: Path) -> pd.DataFrame:
    """The manifest with what lies on disk beside each row: `found_sha256`, `found_fractures` and `shapes_inside`."""
    facts = manifest.copy()
    facts["found_sha256"] = [sha256(folder / file) if (folder / file).exists() else "missing" for file in facts["file"]]
    counts = annotations["image_id"].value_counts()
    facts["found_fractures"] = facts["image_id"].map(counts).fillna(0).astype(int)
    sizes = dict(zip(manifest["image_id"], zip(manifest["width"], manifest["height"], strict=True), strict=True))
    outside = {
        image_id
        for image_id, points in zip(annotations["image_id"], annotations["points"], strict=True)
        for ring in read_points(points)
        if (ring < 0).any() or (ring > sizes.get(image_id, (0, 0))).any()
    }
    facts["shapes_inside"] = [image_id not in outside for image_id in facts["image_id"]]
    return facts


def manifest_suite() -> list[Expectation]:
    """Ids unique, files there with the hash that the manifest states, shapes on the film, no field left blank."""
    return [
        ("image ids are unique", "ExpectColumnValuesToBeUnique", {"column": "image_id"}),
        (
            "every file exists with the stated hash",
            "ExpectColumnPairValuesToBeEqual",
            {"column_A": "file_sha256", "column_B": "found_sha256"},
        ),
        (
            "every stated fracture has its shape",
            "ExpectColumnPairValuesToBeEqual",
            {"column_A": "fractures", "column_B": "found_fractures"},
        ),
        (
            "every shape lies on its film",
            "ExpectColumnValuesToBeInSet",
            {"column": "shapes_inside", "value_set": [True]},
        ),
        ("every film has a patient", "ExpectColumnValueLengthsToBeBetween", {"column": "patient_id", "min_value": 1}),
        ("every film has a group", "ExpectColumnValueLengthsToBeBetween", {"column": "group", "min_value": 1}),
        ("every film has a licence", "ExpectColumnValueLengthsToBeBetween", {"column": "licence", "min_value": 1}),
        ("films have 8 or 16 bits", "ExpectColumnValuesToBeInSet", {"column": "bits", "value_set": [8, 16]}),
        (
            "modalities are known",
            "ExpectColumnValuesToBeInSet",
            {"column": "modality", "value_set": ["CR", "DX", "CT", "OT"]},
        ),
    ]
