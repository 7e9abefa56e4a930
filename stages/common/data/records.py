"""The JSON files of the pipeline that others read, each a TypedDict; null stands for what is undefined."""

from typing import TypedDict


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


# A number that probabilities were treated with, and where it is from: params, none or validation.
Choice = TypedDict("Choice", {"value": float, "from": str})


class TestMetrics(PixelSummary):
    """metrics.json of an evaluation. auprc: of all pixels. boundary: means of nsd, hd95_px and hd95_mm over films."""

    auprc: float | None
    boundary: dict[str, float | None]
    detection: DetectionSummary
    calibration: CalibrationSummary
    threshold: Choice
    temperature: Choice
