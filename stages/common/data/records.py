"""The JSON files of the pipeline that others read, each a TypedDict; null stands for what is undefined."""

from pathlib import Path
from typing import Any, Literal, TypedDict

from stages.common.core.errors import UserError
from stages.common.core.files import read_json
from stages.common.data.layout import DESCRIPTION, Input

# Precisions of a training in words.
NUMBERS = {"fp32": "numbers of 32 bits", "bf16": "numbers of 16 bits (bfloat16) where that is safe, else 32 bits"}


class Machine(TypedDict):
    """What besides code, data and params decides the last bits of the weights.

    device: the GPU's name, or the highest instruction set that torch used on the processor: DEFAULT, AVX2 or AVX512.
    precision: fp32 or bf16. threads: of a process. processes: that shared a batch.
    """

    torch: str
    device: str
    precision: Literal["fp32", "bf16"]
    threads: int
    processes: int


class Reference(TypedDict):
    """What training films look like, see `stages.common.model.out_of_distribution`: 16 means, a 16 x 16 precision
    matrix, and the distance beyond which a film is unfamiliar.
    """

    mean: list[float]
    precision: list[list[float]]
    limit: float


class NetworkRecord(TypedDict, total=False):
    """The section `train.network`: `channels` is missing where the architecture has none."""

    architecture: str
    encoder: str
    weights: str
    input: Input
    channels: list[int]
    compile: bool


class PretrainedRecord(TypedDict):
    """The weights that an encoder started from. sha256: of their file."""

    source: str
    licence: str
    sha256: str


class TrainingRecord(TypedDict):
    """What decides the weights of a training besides code and data.

    network, loss, augment, optimiser, loop: these sections of `train`. pretrained: None where the encoder started from
    random weights. weights: the section `train.<variant>`.
    """

    network: NetworkRecord
    pretrained: PretrainedRecord | None
    loss: dict[str, Any]
    augment: dict[str, Any]
    optimiser: dict[str, Any]
    loop: dict[str, Any]
    weights: dict[str, Any]
    seed: int
    fold: int
    machine: Machine


class ModelRecord(TrainingRecord):
    """model.json. familiar: what its training films look like. epoch: whose weights were kept, counted from 1."""

    familiar: Reference
    epoch: int


def read_model_record(folder: Path) -> ModelRecord:
    """model.json in the folder of a training.

    Raises:
        UserError: it is missing, or of another version of the pipeline.
    """
    record: ModelRecord = read_json(folder / DESCRIPTION)
    if missing := [name for name in ("network", "machine") if name not in record]:
        raise UserError(
            f"{folder / DESCRIPTION}: there is no {' and no '.join(missing)} in it; another version of this pipeline "
            "wrote it: run `dvc repro` to train again"
        )
    return record


class TestSet(TypedDict):
    """Films on which a network was scored. prevalence: share of their pixels that are fracture."""

    images: int
    images_with_fracture: int
    both_empty: int
    only_prediction_empty: int
    only_label_empty: int
    prevalence: float


class PixelSummary(TypedDict):
    """Metrics by their names: of counts summed over the films, and means over the films in which they are defined.

    undefined: in how many films each is not.
    """

    pooled: dict[str, float | None]
    mean: dict[str, float | None]
    undefined: dict[str, int]
    test_set: TestSet


class DetectionSummary(TypedDict):
    """Fractures of all films: see `stages.evaluate.detection`. pointing: share of the fractured films."""

    fractures: int
    found_iou: int
    found_centre: int
    false_regions_per_image: float
    pointing: float | None


class CalibrationSummary(TypedDict):
    """Expected calibration error of all pixels, and the mean Brier score."""

    ece: float
    brier: float


class ImageCalibration(TypedDict):
    """The probability that a film has a fracture is sigmoid(slope * logit(score) + intercept)."""

    slope: float
    intercept: float


class ImageLevelSummary(TypedDict):
    """Films with and without a fracture, told apart by the largest probability of their maps.

    auroc: area under the ROC curve. sensitivity_90, sensitivity_95: share of fractured films that are recognised at a
    specificity of at least 90 and 95 %. calibration: fitted on the validation films, None where these do not allow it.
    brier: of the calibrated probabilities of the test films, None without calibration.
    """

    with_fracture: int
    without_fracture: int
    auroc: float
    sensitivity_90: float
    sensitivity_95: float
    calibration: ImageCalibration | None
    brier: float | None


# A number that probabilities were treated with, and where it is from: params, none or validation.
Choice = TypedDict("Choice", {"value": float, "from": str})


class TestMetrics(PixelSummary):
    """metrics.json of an evaluation. auprc: of all pixels. boundary: means of nsd, hd95_px and hd95_mm over films.

    image_level: None where all test films have a fracture, or none has. mirror: whether probabilities are means over
    each film and its mirror image. device: that computed the probabilities, in the words of `Machine`.
    """

    auprc: float | None
    boundary: dict[str, float | None]
    detection: DetectionSummary
    calibration: CalibrationSummary
    image_level: ImageLevelSummary | None
    threshold: Choice
    temperature: Choice
    mirror: bool
    device: str
