"""Ready entries for the public data sets of the field, by Kaggle handle or by the name of a `url` source.

No network reached Kaggle or figshare when these were written. Numbers come from the papers named beside them; that a
mirror holds what its paper describes, its folder names, its newest version and its licence tag could not be checked.
`version: 1` is a Kaggle set's first upload. Addresses, sizes and SHA-256 of figshare's files are those that public
programs state, named beside them.
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
    files: list[dict[str, str | int]]


GRAZ_OTHER = [
    *("boneanomaly", "bonelesion", "foreignbody", "metal", "periostealreaction"),
    *("pronatorsign", "softtissue", "text", "axis"),
]
FIGSHARE = "https://ndownloader.figshare.com/files"
READY: dict[str, Preset] = {
    # Nagy et al., Scientific Data 9, 222, 2022: 20,327 paediatric wrist radiographs of 6,091 patients, PASCAL VOC and
    # YOLO boxes of nine classes, dataset.csv with patient ids.
    "jasonroggy/grazpedwri-dx": {
        "version": 1,
        "annotations": "voc",
        "classes": ["fracture"],
        "other_classes": GRAZ_OTHER,
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
    # figshare article 22363012. Address and SHA-256: torch-em (torch_em/data/datasets/medical/fracatlas.py).
    "fracatlas": {
        "version": 7,
        "annotations": "coco",
        "classes": ["fractured"],
        "unlabelled": "no_fracture",
        "licence": "CC BY 4.0: FracAtlas, Abedeen et al. 2023, doi 10.6084/m9.figshare.22363012",
        "files": [
            {
                "name": "FracAtlas.zip",
                "address": f"{FIGSHARE}/65518038",
                "bytes": 338_436_460,
                "sha256": "b67ec2d290a022b3dcf47f78e9a37f7edcc80592c0571f439355bf00bd9f0e23",
            }
        ],
    },
    # figshare article 14825193. No public program that was seen states sizes or SHA-256: the first fetch pins them.
    "grazpedwri-dx": {
        "version": 2,
        "annotations": "voc",
        "classes": ["fracture"],
        "other_classes": GRAZ_OTHER,
        "unlabelled": "no_fracture",
        "licence": "CC BY 4.0: GRAZPEDWRI-DX, Nagy et al. 2022, doi 10.6084/m9.figshare.14825193",
        "files": [
            {"name": name, "address": f"{FIGSHARE}/{number}"}
            for name, number in {
                "dataset.csv": 35026432,
                "folder_structure.zip": 34268819,
                "images_part1.zip": 34268828,
                "images_part2.zip": 34268849,
                "images_part3.zip": 34268864,
                "images_part4.zip": 34268891,
            }.items()
        ],
    },
}


def complete(entry: Any) -> Any:
    """An entry of `ingest.sources` with what the ready entry of its handle or name says about the rest."""
    if not isinstance(entry, dict):
        return entry
    key = entry.get("handle", entry.get("name"))
    return {**READY.get(key, {}), **entry} if isinstance(key, str) else entry
