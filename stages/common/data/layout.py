"""Where every file of the pipeline lies, and in which folder of the data set a film does.

Paths count from the project's root; a stage runs there. Tables are described in `tables`, the folder of a training in
`run_id`.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Literal, get_args

Side = Literal["train", "validation", "test", "unused"]
Picture = Literal["image", "levels", "mask"]
Input = Literal["image", "levels", "both"]

PARAMS = Path("params.yaml")
INBOX = Path("data/incoming")  # unless params.yaml names another
PINS = Path("data/pins")
WITHDRAWN_PINS = PINS / "withdrawn.csv"
ENCODERS = Path("data/weights")  # of pretrained encoders, below the project's root also in a queued experiment
RAW, PREPROCESSED, LEVELS, DATASET = (Path("data", name) for name in ("raw", "preprocessed", "levels", "dataset"))
MODELS, REPORTS = Path("models"), Path("reports")
VALIDATION, EVALUATION, CURVES = (REPORTS / name for name in ("validation", "evaluation", "curves"))

IMAGES = "images"  # the folder of pictures of RAW, PREPROCESSED and LEVELS
# Of data/raw and data/dataset: the expectations that were checked.
CHECKS = "validation.json"
# Of a training.
WEIGHTS, DESCRIPTION = "weights.safetensors", "model.json"
# Of an evaluation: the scores, and a folder of pictures each.
METRICS, PROBABILITY, PREDICTED_MASK = "metrics.json", "probability", "mask"
# Of reports.
QUALITY, LABEL_SHEET = REPORTS / "data_quality.md", REPORTS / "labels.png"
PAGE, PAGE_TO_MAIL, HEADLINE = REPORTS / "index.html", REPORTS / "to_mail.html", REPORTS / "metrics.json"
PAGE_FILMS = REPORTS / "films"  # what the page loads of each film: a folder each of ORIGINAL, TILES, LAYERS
ORIGINAL, TILES, LAYERS, LAYERS_SUFFIX = "original", "tiles", "layers", ".js"
PREDICTION_SHEET = REPORTS / "predictions.png"
COMPARISON_MD, COMPARISON_TEX = REPORTS / "comparison.md", REPORTS / "comparison.tex"
MODEL_CARD, DATASHEET = REPORTS / "MODEL_CARD.md", REPORTS / "DATASHEET.md"
AUDIT_PAGE, SWEEP_PAGE = REPORTS / "lineage.html", REPORTS / "sweep.html"  # written by tools, no outputs of DVC
LIVE = REPORTS / "live"  # histories of the trainings since the last report, for DVC's plots; no outputs of DVC
DATA_DOCS = REPORTS / "data_docs"

SIDES: tuple[Side, ...] = get_args(Side)
USED: tuple[Side, ...] = ("train", "validation", "test")
PICTURES: tuple[Picture, ...] = get_args(Picture)
CHANNELS: dict[Input, tuple[Picture, ...]] = {"image": ("image",), "levels": ("levels",), "both": ("image", "levels")}
SUFFIX: dict[Picture, str] = {"image": "", "levels": "_levels", "mask": "_mask"}


def image_file(folder: Path, image_id: str) -> Path:
    """The picture of a film in RAW, PREPROCESSED or LEVELS."""
    return folder / IMAGES / f"{image_id}.png"


def dicom_file(folder: Path, image_id: str) -> Path:
    """The de-identified DICOM of a hospital's film in RAW."""
    return folder / "dicom" / f"{image_id}.dcm"


def map_file(folder: Path, kind: str, image_id: str) -> Path:
    """The PROBABILITY or PREDICTED_MASK of a film in the folder of an evaluation."""
    return folder / kind / f"{image_id}.png"


def dataset_folder(side: str, picture: Picture) -> str:
    """The folder of DATASET in which a kind of picture of a film of that side lies.

    Test films of the first fold, the column `split`, lie in test, test_levels and test_mask, all others in train,
    train_levels and train_mask. Further folds move no files.
    """
    return f"{'test' if side == 'test' else 'train'}{SUFFIX[picture]}"


DATASET_FOLDERS = tuple(dataset_folder(side, picture) for side in ("train", "test") for picture in PICTURES)


def dataset_file(folder: Path, side: str, image_id: str, picture: Picture = "image") -> Path:
    """A picture of a film in DATASET.

    Args:
        folder: DATASET, or what becomes it.
        side: what the column `split` says of the film.
        image_id: of the film.
        picture: which of its pictures.
    """
    return folder / dataset_folder(side, picture) / f"{image_id}.png"


def fold_column(fold: int) -> str:
    """The column of split.csv that says on which side a film stands in a fold, counted from 1."""
    return "split" if fold == 1 else f"fold_{fold}"


def fold_columns(columns: Iterable[object]) -> dict[int, str]:
    """The columns of all folds among those of split.csv, by the number of the fold."""
    names = [str(name) for name in columns]
    further = [int(name.removeprefix("fold_")) for name in names if name.startswith("fold_")]
    return {fold: fold_column(fold) for fold in [1, *further] if fold_column(fold) in names}
