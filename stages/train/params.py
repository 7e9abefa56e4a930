"""The section `train` of params.yaml."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from stages.common.params import Strict

Weight = Annotated[float, Field(ge=0, le=1000)]


class Ramp(Strict):
    """A loss weight at the start and the end of training, as the paper names them."""

    start: Weight
    end: Weight


class Weights(Strict):
    """alpha weighs Dice, beta weighs BCE (paper, equation 3)."""

    alpha: Ramp
    beta: Ramp
    beta_reading: Literal["as_printed", "start_to_end"]

    @model_validator(mode="after")
    def check_some_loss(self) -> "Weights":
        if self.alpha.start + self.alpha.end + self.beta.start + self.beta.end == 0:
            raise ValueError("at least one weight must be above 0")
        return self


class Unet(Strict):
    encoder: Annotated[str, Field(min_length=1)]
    channels: Annotated[list[Annotated[int, Field(ge=1, le=1024)]], Field(min_length=3, max_length=5)]


class Loss(Strict):
    dice_over: Literal["batch", "image"]
    smooth: Annotated[float, Field(gt=0, le=1000)]


class Augment(Strict):
    flip: Annotated[float, Field(ge=0, le=1)]
    rotate_deg: Annotated[float, Field(ge=0, le=180)]
    scale: Annotated[float, Field(ge=0, lt=1)]
    shift: Annotated[float, Field(ge=0, le=0.5)]
    contrast: Annotated[float, Field(ge=0, lt=1)]


class Loop(Strict):
    seed: Annotated[int, Field(ge=0)]
    epochs: Annotated[int, Field(ge=1, le=10_000)]
    batch: Annotated[int, Field(ge=1, le=4096)]
    learning_rate: Annotated[float, Field(gt=0, le=1)]
    weight_decay: Annotated[float, Field(ge=0, le=1)]
    precision: Literal["auto", "bf16", "fp32"]
    threads: Annotated[int, Field(ge=1, le=1024)]


class Params(Strict):
    unet: Unet
    loss: Loss
    augment: Augment
    loop: Loop
    baseline: Weights
    adaptive: Weights
