"""The section `preprocess` of params.yaml."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from stages.common.params import Strict

Step = Literal["crop", "normalise", "resize", "stretch", "filter", "equalise"]


class Crop(Strict):
    level: Annotated[float, Field(gt=0, lt=1)]
    margin: Annotated[float, Field(ge=0, le=0.5)]


class Stretch(Strict):
    low: Annotated[float, Field(ge=0, lt=1)]
    high: Annotated[float, Field(gt=0, le=1)]


class Params(Strict):
    steps: list[Step]
    size: Annotated[int, Field(ge=32, le=2048, multiple_of=32)]
    crop: Crop
    stretch: Stretch
    filter_px: Annotated[int, Field(ge=1, le=15)]
    equalise_bins: Annotated[int, Field(ge=2, le=65536)]

    @model_validator(mode="after")
    def check_steps(self) -> "Params":
        if len(set(self.steps)) != len(self.steps) or "resize" not in self.steps:
            raise ValueError("steps must name `resize` and no step twice")
        if self.stretch.low >= self.stretch.high:
            raise ValueError("stretch.low must be below stretch.high")
        return self
