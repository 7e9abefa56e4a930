"""The section `preprocess` of params.yaml."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from stages.common.core.params import Strict

Step = Literal["crop", "mat2gray", "imresize", "imadjust", "window", "medfilt2", "bilateral", "histeq", "clahe"]
Odd = Annotated[int, Field(ge=3, le=15)]


class Crop(Strict):
    level: Annotated[float, Field(gt=0, lt=1)]
    margin: Annotated[float, Field(ge=0, le=0.5)]


class Imadjust(Strict):
    low: Annotated[float, Field(ge=0, lt=1)]
    high: Annotated[float, Field(gt=0, le=1)]


class Window(Strict):
    low: Annotated[float, Field(ge=0, lt=100)]
    high: Annotated[float, Field(gt=0, le=100)]


class Medfilt2(Strict):
    window_px: Odd


class Bilateral(Strict):
    window_px: Odd
    sigma_level: Annotated[float, Field(gt=0, le=1)]
    sigma_px: Annotated[float, Field(gt=0, le=100)]


class Histeq(Strict):
    levels: Annotated[int, Field(ge=2, le=256)]


class Clahe(Strict):
    clip: Annotated[float, Field(gt=0, le=100)]
    tiles: Annotated[int, Field(ge=1, le=64)]


class Params(Strict):
    steps: list[Step]
    size: Annotated[int, Field(ge=32, le=2048, multiple_of=32)]
    crop: Crop
    imadjust: Imadjust
    window: Window
    medfilt2: Medfilt2
    bilateral: Bilateral
    histeq: Histeq
    clahe: Clahe

    @model_validator(mode="after")
    def check_steps(self) -> "Params":
        if len(set(self.steps)) != len(self.steps) or "imresize" not in self.steps:
            raise ValueError("steps must name `imresize` and no step twice")
        if "crop" in self.steps and self.steps.index("crop") > self.steps.index("imresize"):
            raise ValueError("steps must name `crop` before `imresize`, which gives the square its size")
        for name, limits in (("imadjust", self.imadjust), ("window", self.window)):
            if limits.low >= limits.high:
                raise ValueError(f"{name}.low must be below {name}.high")
        for name, side in (("medfilt2", self.medfilt2), ("bilateral", self.bilateral)):
            if side.window_px % 2 == 0:
                raise ValueError(f"{name}.window_px must be odd")
        return self
