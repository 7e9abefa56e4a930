"""The section `ingest` of params.yaml."""

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from stages.common.core.params import Strict
from stages.ingest.sources.presets import complete

Source = Literal["sample", "kaggle", "hospital", "folder"]
Format = Literal["yolo", "voc", "voc_devkit", "labelme", "coco", "label_studio", "cvat", "via", "csv"]
Name = Annotated[str, Field(min_length=1)]


class Limits(Strict):
    megapixels: Annotated[int, Field(ge=1, le=1000)]
    file_mb: Annotated[int, Field(ge=1, le=100_000)]
    archive_gb: Annotated[int, Field(ge=1, le=100_000)]
    archive_ratio: Annotated[int, Field(ge=2, le=100_000)]


class Labelled(Strict):
    """How the films of a source are annotated, and under which licence they are."""

    annotations: Format
    classes: list[str]
    other_classes: list[str]
    unlabelled: Literal["no_fracture", "refuse"]
    licence: Name


class Kaggle(Strict):
    """One Kaggle data set at one version; what a ready entry of `datasets.py` says may be left out."""

    handle: Annotated[str, Field(pattern=r"^[\w-]+/[\w-]+$")]
    version: Annotated[int, Field(ge=1)]
    annotations: Format
    licence: Name
    include: list[str] = Field(default=["*"])
    classes: list[str] = Field(default=[])
    other_classes: list[str] = Field(default=[])
    unlabelled: Literal["no_fracture", "refuse"] = "refuse"
    archive: str = ""
    warning: str = ""
    accept_licence: bool = False

    @model_validator(mode="before")
    @classmethod
    def filled_in(cls, entry: Any) -> Any:
        return complete(entry)

    @model_validator(mode="after")
    def accepted(self) -> "Kaggle":
        if self.warning and not self.accept_licence:
            raise ValueError(f"{self.handle}: {self.warning}; set accept_licence: true to use it all the same")
        return self


class Hospital(Labelled):
    burned_in: Literal["refuse", "mask_corners"]
    corner: Annotated[float, Field(gt=0, le=0.5)]
    ct_window: Annotated[list[float], Field(min_length=2, max_length=2)]
    ct_slices: Literal["middle", "all"]

    @field_validator("ct_window")
    @classmethod
    def wide_enough(cls, window: list[float]) -> list[float]:
        if window[1] <= 1:
            raise ValueError("the width, its second number, must be above 1 HU")
        return window


class Sample(Strict):
    seed: Annotated[int, Field(ge=0)]
    films: Annotated[int, Field(ge=16, le=100_000)]
    width: Annotated[int, Field(ge=96, le=4096)]


class Params(Strict):
    sources: Annotated[list[Source], Field(min_length=1)]
    inbox: Name
    on_error: Literal["stop", "quarantine"]
    near_duplicate_bits: Annotated[int, Field(ge=0, le=64)]
    limits: Limits
    folder: Labelled
    kaggle: list[Kaggle]
    hospital: Hospital
    sample: Sample
