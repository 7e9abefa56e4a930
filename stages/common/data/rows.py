"""The rows of the pipeline's tables: their columns in the order of the file, each with its type.

A blank cell is '' in a `str` column and NaN in a `float` column; `int` and `bool` columns have none. They stand apart
from `tables`, so that code that only makes a row loads no pandas.
"""

from typing import Literal, TypedDict

from stages.common.data.layout import Side

Role = Literal["film", "labels", "classes", "table"]
"""Of a source file, in the order of files.csv: the film, its annotations, names of their classes, facts of patients."""

SAMPLE_SOURCES = ("sample-kaggle", "sample-hospital")  # it comes as two real sources deliver their films


class ManifestRow(TypedDict):
    """A film of data/raw.

    file: its picture, from data/raw. source_file: its name in its source; blank for a hospital's film. sha256: of the
    source file. file_sha256: of the picture's file. pixel_sha256: of size, depth and pixels. patient_id: a pseudonym.
    group: the smallest patient_id among patients who share a film or a copy of one. split: what the source says, or
    blank. modality: CR, DX, CT or OT. bits: 8 or 16. *_spacing_mm: "row column" of a pixel, or blank. key_id: of the
    key that made the pseudonyms. fractures: number of shapes.
    """

    image_id: str
    file: str
    source: str
    source_file: str
    sha256: str
    file_sha256: str
    pixel_sha256: str
    patient_id: str
    group: str
    split: str
    modality: str
    width: int
    height: int
    bits: int
    pixel_spacing_mm: str
    imager_pixel_spacing_mm: str
    photometric_interpretation: str
    licence: str
    key_id: str
    fractures: int


class AnnotationRow(TypedDict):
    """A shape on a film of data/raw.

    points: `x y x y ...` in pixels, with `;` between rings, see `shapes`. file and line: where it was annotated; file
    is blank for a hospital's film.
    """

    image_id: str
    label: str
    kind: Literal["box", "polygon"]
    points: str
    file: str
    line: int


class FileRow(TypedDict):
    """A source file of a film; others may share it. file: its name; of a hospital's, its number in the export."""

    image_id: str
    role: Role
    source: str
    file: str
    sha256: str
    licence: str


class QuarantineRow(TypedDict):
    """A reason to refuse a source file. sha256: blank where the file was not read whole."""

    source: str
    file: str
    sha256: str
    reason: str


class WithdrawnRow(TypedDict):
    """A patient whose films are left out.

    withdrawn: the day, YYYY-MM-DD. key_id: of the key that made the pseudonym; blank for a patient of pictures.
    """

    patient_id: str
    withdrawn: str
    key_id: str


class PreparedRow(TypedDict):
    """A film of data/preprocessed.

    scale_*, shift_*: the map from the raw film's pixels to the square's. top, bottom, left, right: where on the square
    the film lies, the rest is padding. kept_share: of the raw film's area, 0..1.
    """

    image_id: str
    scale_x: float
    scale_y: float
    shift_x: float
    shift_y: float
    top: int
    bottom: int
    left: int
    right: int
    kept_share: float


class LevelsRow(TypedDict):
    """A film of data/levels. thresholds: grey levels, rising. objective: of the criterion, what they reach."""

    image_id: str
    thresholds: str
    objective: float


class LegendRow(TypedDict):
    """A level of the maps in data/levels, 0 for the darkest, and the grey that stands for it."""

    level: int
    grey: int


class SplitRow(TypedDict):
    """A film of data/dataset. Further folds, fold_2 and on, stand behind `split`, which is the first.

    prevalence: share of marked pixels, 0..1. boxes: `left top right bottom` on the square, with `;` between boxes, see
    `shapes`. row_mm, column_mm: height and width of the square's pixels where known, and mm_from the attribute that
    says so.
    """

    image_id: str
    split: Side
    patient_id: str
    group: str
    source: str
    modality: str
    fracture: bool
    prevalence: float
    boxes: str
    row_mm: float
    column_mm: float
    mm_from: str


class EpochRow(TypedDict):
    """An epoch of a training, counted from 1. alpha, beta: means over its steps. ratio: alpha / (alpha + beta).

    Behind train_loss and validation_loss stands each term of the loss, unweighted: train_dice_loss, train_bce_loss, ...
    """

    epoch: int
    alpha: float
    beta: float
    ratio: float
    learning_rate: float
    gradient_norm: float
    train_loss: float
    validation_loss: float
    validation_dice: float


class FilmKey(TypedDict):
    """Which film a row is about."""

    image_id: str


class Counts(TypedDict):
    """Pixels of one film by prediction and label."""

    tp: int
    fp: int
    fn: int
    tn: int


class PixelMetrics(TypedDict):
    """What follows from counts, see `stages.common.model.metrics`; NaN where undefined."""

    accuracy: float
    precision: float
    recall: float
    f1: float
    iou: float
    specificity: float
    balanced_accuracy: float
    mcc: float


class PixelScores(FilmKey, Counts, PixelMetrics):
    """A film, scored by its pixels."""


class FilmScores(PixelScores):
    """A test film, scored: `curves`, `boundary` and `detection` of the stage evaluate explain the columns."""

    auprc: float
    nsd: float
    hd95_px: float
    hd95_mm: float
    fractures: int
    found_iou: int
    found_centre: int
    false_regions: int
    pointing: float
    brier: float
    probability_max: float


class PrecisionRecallRow(TypedDict):
    """Precision and recall of all test pixels at a threshold."""

    threshold: float
    precision: float
    recall: float


class FrocRow(TypedDict):
    """Test films, if only regions count whose largest probability reaches `probability`.

    false_regions: regions per film whose most probable pixel lies in no box. sensitivity: share of the boxes in which
    such a pixel lies; NaN without boxes.
    """

    probability: float
    false_regions: float
    sensitivity: float


class ReliabilityRow(TypedDict):
    """Test pixels whose probability lies in low..high: their mean probability and the share that is fracture."""

    low: float
    high: float
    pixels: int
    predicted: float
    observed: float


class RowName(TypedDict):
    """What a row of a report's table is about: a predictor, or a row of the paper."""

    row: str


class ComparisonRow(RowName, PixelMetrics):
    """A predictor on all test films: pooled metrics, each the mean over seeds.

    f1_low, f1_high: 95 % interval. f1_seed_sd, f1_fold_sd: standard deviation over seeds of all films together, and
    over folds of their means over seeds. mean_f1: over films.
    """

    f1_low: float
    f1_high: float
    f1_seed_sd: float
    f1_fold_sd: float
    mean_f1: float
    prevalence: float
    images: float


class ImageLevelRow(RowName):
    """A model, or the difference of two, by how the largest probability of a film tells whether it has a fracture.

    auroc: area under the ROC curve. sensitivity_90, sensitivity_95: share of the fractured films that are recognised at
    a specificity of at least 90 and 95 %. low, high: of the interval of 95 % over patients; NaN where fewer than two
    patients have films of a kind.
    """

    with_fracture: int
    without_fracture: int
    patients: int
    auroc: float
    auroc_low: float
    auroc_high: float
    sensitivity_90: float
    sensitivity_90_low: float
    sensitivity_90_high: float
    sensitivity_95: float
    sensitivity_95_low: float
    sensitivity_95_high: float


class PairedRow(TypedDict):
    """One metric of two models on the same patients.

    difference: mean over patients of the mean over their films, second model minus first. low, high: 95 % interval (BCa
    bootstrap over patients). wilcoxon, permutation: p values of the paired tests, holm: the latter corrected for the
    number of metrics. effect: difference / standard deviation of the patients' differences (Cohen's d_z). detectable:
    the smallest difference that as many patients would show in 4 of 5 studies. false_claim: probability that the better
    model is not better. patients: their number; those without a defined value are left out.
    """

    metric: str
    difference: float
    low: float
    high: float
    wilcoxon: float
    permutation: float
    holm: float
    effect: float
    detectable: float
    false_claim: float
    patients: int


class SubgroupRow(TypedDict):
    """Pooled F1 of both models on a part of the films, and the difference with its interval."""

    subgroup: str
    images: int
    patients: int
    baseline: float
    adaptive: float
    difference: float
    low: float
    high: float


class PatientRow(TypedDict):
    """A patient's F1 of both models, the mean over films."""

    patient: str
    films: int
    baseline: float
    adaptive: float
    difference: float


class RankingRow(RowName):
    """A predictor's rank by pooled F1 when patients are drawn anew.

    rank_low, rank_high: 95 % of the draws. first: share of the draws in which it leads. tau: mean over the draws.
    """

    rank: float
    rank_low: float
    rank_high: float
    first: float
    tau: float


class TrainedRow(TypedDict):
    """A training and its scores on its test films."""

    variant: str
    seed: int
    fold: int
    epoch: int
    threshold: float
    images: int
    accuracy: float
    precision: float
    recall: float
    f1: float
    mean_f1: float
    auprc: float


class ClaimRow(TypedDict):
    """A claim of the paper beside what was found here, as text."""

    claim: str
    published: str
    found: str
    result: str
    why: str


class PaperAuditRow(RowName):
    """A published row and the confusion matrix, in shares of all pixels, that its numbers imply."""

    accuracy: float
    precision: float
    recall: float
    f1: float
    f1_recomputed: float
    prevalence: float
    tp: float
    fp: float
    fn: float
    tn: float
    specificity: float
    balanced_accuracy: float
    mcc: float
    iou: float
    everything_f1: float
    everything_accuracy: float


class WeightPinRow(TypedDict):
    """Weights of a pretrained encoder. file: from the project's root. source: what served it, or the user's file."""

    file: str
    sha256: str
    source: str
    licence: str
