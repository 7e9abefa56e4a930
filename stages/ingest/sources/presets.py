"""Ready entries for the public data sets of the field, by Kaggle handle.

No network reached Kaggle when these were written. Numbers come from the papers named beside them; that a mirror
holds what its paper describes, its folder names, its newest version and its licence tag could not be checked.
`version: 1` is a set's first upload.
"""

from typing import Any, TypedDict


class Preset(TypedDict, total=False):
    """Keys of an entry of `ingest.sources` that need not be written."""

    version: int
    annotations: str
    classes: list[str]
    other_classes: list[str]
    unlabelled: str
    licence: str
    warning: str


READY: dict[str, Preset] = {
    # Nagy et al., Scientific Data 9, 222, 2022: 20,327 paediatric wrist radiographs of 6,091 patients, PASCAL VOC and
    # YOLO boxes of nine classes, dataset.csv with patient ids.
    "jasonroggy/grazpedwri-dx": {
        "version": 1,
        "annotations": "voc",
        "classes": ["fracture"],
        "other_classes": [
            *("boneanomaly", "bonelesion", "foreignbody", "metal", "periostealreaction"),
            *("pronatorsign", "softtissue", "text", "axis"),
        ],
        "unlabelled": "no_fracture",
        "licence": "CC BY 4.0",
    },
    # Abedeen et al., Scientific Data 10, 521, 2023: 4,083 radiographs, 717 with fractures. The COCO polygons, since the
    # public YOLO polygons are damaged. COCO lists fractured films only.
    "mahmudulhasantasin/fracatlas-original-dataset": {
        "version": 1,
        "annotations": "coco",
        "classes": ["fractured"],
        "unlabelled": "no_fracture",
        "licence": "CC BY 4.0",
    },
    # Seven fracture classes as YOLO polygons; only the wrist's is used.
    "pkdarabi/bone-fracture-detection-computer-vision-project": {
        "version": 1,
        "annotations": "yolo",
        "classes": ["wrist positive"],
        "other_classes": [
            *("elbow positive", "fingers positive", "forearm fracture", "humerus fracture", "humerus"),
            "shoulder fracture",
        ],
        "unlabelled": "no_fracture",
        "licence": "tagged CC BY 4.0; origin unclear",
        "warning": (
            "its tag says CC BY 4.0, but file names and a limit of 512 pixels look like Stanford's MURA, "
            "which may not be passed on"
        ),
    },
}


def complete(entry: Any) -> Any:
    """An entry of `ingest.sources` with what the ready entry of its handle says about the rest."""
    if not isinstance(entry, dict) or not isinstance(entry.get("handle"), str):
        return entry
    return {**READY.get(entry["handle"], {}), **entry}
