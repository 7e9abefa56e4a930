"""The section `train` of params.yaml."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from stages.common.core.params import Strict

Weight = Annotated[float, Field(ge=0, le=1000)]
Rate = Annotated[float, Field(gt=0, le=1)]
Share = Annotated[float, Field(ge=0, le=1)]
Method = Literal[
    "fixed",
    "linear",
    "reversed",
    "cosine",
    "exponential",
    "steal",
    "uncertainty",
    "dwa",
    "softadapt",
    "relobralo",
    "gradnorm",
    "time_mean",
    "shuffled",
    "random",
]


class Ramp(Strict):
    """A loss weight at the start and the end of training, as the paper names them."""

    start: Weight
    end: Weight


class Exponential(Strict):
    rate: Annotated[float, Field(gt=0, le=100)] = 3.0


class Steal(Strict):
    step: Annotated[float, Field(ge=-1000, le=1000)] = 0.01
    floor: Weight = 0.1


class Uncertainty(Strict):
    learning_rate: Rate = 0.002


class Dwa(Strict):
    temperature: Annotated[float, Field(gt=0, le=1000)] = 2.0


class SoftAdapt(Strict):
    beta: Annotated[float, Field(ge=-1000, le=1000)] = 0.1
    variant: Literal["original", "normalised", "loss_weighted"] = "original"


class Relobralo(Strict):
    temperature: Annotated[float, Field(gt=0, le=1000)] = 0.1
    decay: Share = 0.999
    lookback: Share = 0.99


class GradNorm(Strict):
    power: Annotated[float, Field(ge=0, le=10)] = 1.5
    learning_rate: Rate = 0.025


class LossWeights(Strict):
    """alpha weighs Dice, beta weighs BCE (paper, equation 3); how they move is the method's.

    What a method needs besides has the values of its paper unless params.yaml says otherwise.
    """

    method: Method
    alpha: Ramp
    beta: Ramp
    beta_reading: Literal["as_printed", "start_to_end"] = "as_printed"
    clock: Literal["published", "epoch", "iteration"] = "published"
    normalise: bool = False
    exponential: Exponential = Exponential()
    steal: Steal = Steal()
    uncertainty: Uncertainty = Uncertainty()
    dwa: Dwa = Dwa()
    softadapt: SoftAdapt = SoftAdapt()
    relobralo: Relobralo = Relobralo()
    gradnorm: GradNorm = GradNorm()

    @model_validator(mode="after")
    def check_some_loss(self) -> "LossWeights":
        alpha, beta = self.alpha, self.beta
        betas = (beta.end, beta.start) if self.beta_reading == "as_printed" else (beta.start, beta.end)
        sums = {"the start": alpha.start + betas[0], "the end": alpha.end + betas[1]}
        if self.method == "fixed":
            sums = {"every epoch": alpha.start + beta.start}
        for when, total in sums.items():
            if total == 0:
                raise ValueError(f"at {when} both weights are 0, so that nothing would be learnt; raise one")
        return self


class Unet(Strict):
    encoder: Annotated[str, Field(min_length=1)]
    channels: Annotated[list[Annotated[int, Field(ge=1, le=1024)]], Field(min_length=3, max_length=5)]
    input: Literal["image", "levels", "both"]
    compile: bool


class Loss(Strict):
    dice_over: Literal["batch", "image"]
    smooth: Annotated[float, Field(gt=0, le=1000)]


class Augment(Strict):
    flip: Share
    rotate_deg: Annotated[float, Field(ge=0, le=180)]
    scale: Annotated[float, Field(ge=0, lt=1)]
    shift: Annotated[float, Field(ge=0, le=0.5)]
    contrast: Annotated[float, Field(ge=0, lt=1)]


class Optimiser(Strict):
    learning_rate: Rate
    schedule: Literal["cosine", "constant"]
    warmup: Annotated[float, Field(ge=0, lt=1)]
    weight_decay: Share
    clip: Annotated[float, Field(gt=0, le=1e6)]
    ema: Annotated[float, Field(ge=0, lt=1)]


class Loop(Strict):
    epochs: Annotated[int, Field(ge=1, le=10_000)]
    batch: Annotated[int, Field(ge=1, le=4096)]
    select: Literal["best", "last"]
    precision: Literal["auto", "bf16", "fp32"]
    threads: Annotated[int, Field(ge=1, le=1024)]
    devices: Annotated[int, Field(ge=1, le=1024)]


class Params(Strict):
    seeds: Annotated[list[Annotated[int, Field(ge=0, le=2**32)]], Field(min_length=1)]
    unet: Unet
    loss: Loss
    augment: Augment
    optimiser: Optimiser
    loop: Loop
    baseline: LossWeights
    adaptive: LossWeights

    @model_validator(mode="after")
    def check(self) -> "Params":
        if len(set(self.seeds)) < len(self.seeds):
            raise ValueError("seeds names one twice; the same training twice shows nothing")
        if self.loop.batch < self.loop.devices:
            raise ValueError("loop.batch is shared by loop.devices processes and must not be smaller")
        return self
