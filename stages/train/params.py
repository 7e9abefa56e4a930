"""The section `train` of params.yaml."""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, TypeAdapter, model_validator

from stages.common.core.params import Alternative, ByName, Strict, param
from stages.common.model.architecture import AnyNetwork, Pyramid

Weight = Annotated[float, Field(ge=0, le=1000)]
Rate = Annotated[float, Field(gt=0, le=1)]
Share = Annotated[float, Field(ge=0, le=1)]


class Ramp(Strict):
    """A loss weight at the start and the end of training, as the paper names them."""

    start: Weight = param(0.3, "start of equation 3; see beta_reading for beta")
    end: Weight = param(0.7, "end of equation 3; see beta_reading for beta")


class Method(Alternative):
    """How alpha (of Dice) and beta (of BCE) move: the keys that a weighting uses, and no others."""

    tag: ClassVar[str] = "method"


class Clocked(Method):
    clock: Literal["published", "epoch", "iteration"] = param(
        "published", "when the weights may change; published is what the method's paper counts"
    )


class Scaled(Clocked):
    normalise: bool = param(
        False, "whether the weights are divided by their sum; without clipping AdamW sees their ratio only"
    )


class Ramped(Scaled):
    """Weights made of the paper's equation 3."""

    alpha: Ramp = param(Ramp(), "weight of Dice")
    beta: Ramp = param(Ramp(), "weight of BCE")
    beta_reading: Literal["as_printed", "start_to_end"] = param(
        "as_printed",
        "as_printed: from beta.end to beta.start, as in equation 3; start_to_end: from beta.start to beta.end",
    )

    @model_validator(mode="after")
    def check_some_loss(self) -> "Ramped":
        alpha, (first, last) = self.alpha, self.betas
        for when, total in (("the start", alpha.start + first), ("the end", alpha.end + last)):
            if total == 0:
                raise ValueError(f"at {when} both weights are 0, so that nothing would be learnt; raise one")
        return self

    @property
    def betas(self) -> tuple[float, float]:
        """beta at the start and at the end of training."""
        return (
            (self.beta.end, self.beta.start) if self.beta_reading == "as_printed" else (self.beta.start, self.beta.end)
        )


class Constant(Method):
    """Two numbers that may not both be 0."""

    alpha: Weight
    beta: Weight

    @model_validator(mode="after")
    def check_some_loss(self) -> "Constant":
        if self.alpha + self.beta == 0:
            raise ValueError("both weights are 0, so that nothing would be learnt; raise one")
        return self


class Fixed(Constant):
    """The paper's baseline."""

    method: Literal["fixed"] = "fixed"
    alpha: Weight = param(0.5, "weight of Dice")
    beta: Weight = param(0.5, "weight of BCE")


class Linear(Ramped):
    """The paper's adaptive weights: equation 3."""

    method: Literal["linear"] = "linear"


class Reversed(Ramped):
    """Equation 3 backwards in time."""

    method: Literal["reversed"] = "reversed"


class Cosine(Ramped):
    """Equation 3 along half a cosine: slow at both ends."""

    method: Literal["cosine"] = "cosine"


class Exponential(Ramped):
    """Equation 3 along an exponential: fast at first."""

    method: Literal["exponential"] = "exponential"
    rate: float = param(3.0, "k of 1 - exp(-k t); higher is faster at first", gt=0, le=100)


class Steal(Scaled, Constant):
    """Each tick moves a little from one loss to the other."""

    method: Literal["steal"] = "steal"
    alpha: Weight = param(0.3, "weight of Dice at the start")
    beta: Weight = param(0.7, "weight of BCE at the start")
    step: float = param(0.01, "moved from BCE to Dice at each tick; below 0, from Dice to BCE", ge=-1000, le=1000)
    floor: Weight = param(0.1, "the weight that the shrinking loss keeps")


class Uncertainty(Scaled):
    """Weights from two learnt variances."""

    method: Literal["uncertainty"] = "uncertainty"
    learning_rate: Rate = param(0.002, "at which the two variances are learnt")


class Dwa(Scaled):
    """Dynamic weight average: the loss that falls more slowly weighs more."""

    method: Literal["dwa"] = "dwa"
    temperature: float = param(2.0, "higher is more even", gt=0, le=1000)


class SoftAdapt(Clocked):
    """The loss that falls more slowly weighs more, by differences."""

    method: Literal["softadapt"] = "softadapt"
    beta: float = param(0.1, "sharpness; below 0 favours the loss that falls faster", ge=-1000, le=1000)
    variant: Literal["original", "normalised", "loss_weighted"] = param("original", "one of the paper's three")


class Relobralo(Scaled):
    """Relative loss balancing with random lookback."""

    method: Literal["relobralo"] = "relobralo"
    temperature: float = param(0.1, "higher is more even", gt=0, le=1000)
    decay: Share = param(0.999, "share of the past in the next weight")
    lookback: Share = param(0.99, "probability of comparing with the last tick, not the first")


class GradNorm(Scaled):
    """Gradients of equal size, corrected by training rates."""

    method: Literal["gradnorm"] = "gradnorm"
    power: float = param(1.5, "pull towards an equal training rate", ge=0, le=10)
    learning_rate: Rate = param(0.025, "at which the weights are learnt")


class TimeMean(Ramped):
    """The mean share of Dice under equation 3, held fixed."""

    method: Literal["time_mean"] = "time_mean"


class Shuffled(Ramped):
    """The values of equation 3 in random order."""

    method: Literal["shuffled"] = "shuffled"


class Random(Clocked):
    """Two random numbers that sum to 1, anew each tick."""

    method: Literal["random"] = "random"


LossWeights = Annotated[
    Fixed
    | Linear
    | Reversed
    | Cosine
    | Exponential
    | Steal
    | Uncertainty
    | Dwa
    | SoftAdapt
    | Relobralo
    | GradNorm
    | TimeMean
    | Shuffled
    | Random,
    Field(discriminator="method"),
    ByName("method"),
]


def read_weights(content: Any) -> Method:
    """A section `train.<variant>` from plain values, or from a method's name.

    Raises:
        ValidationError: no method can be used with them.
    """
    return TypeAdapter[Method](LossWeights).validate_python(content)


class Loss(Strict):
    dice_over: Literal["batch", "image"] = param("batch", "one Dice ratio per batch, or the mean of one per image")
    smooth: float = param(
        1.0, "added above and below the Dice ratio, which defines it on empty masks", unit="pixels", gt=0, le=1000
    )


class Augment(Strict):
    flip: Share = param(0.5, "probability of a left-right flip")
    flip_up_down: Share = param(0.0, "probability of an up-down flip")
    rotate_deg: float = param(15.0, "uniform in +- this", unit="degrees", ge=0, le=180)
    scale: float = param(0.15, "zoom uniform in 1 +- this", ge=0, lt=1)
    shift: float = param(0.08, "uniform in +- this", unit="share of the side", ge=0, le=0.5)
    contrast: float = param(
        0.2, "gain uniform in 1 +- this, offset uniform in +- half this, of the grey scale", ge=0, lt=1
    )
    gamma: float = param(0.0, "grey to the power exp(u), u uniform in +- this", ge=0, le=2)
    noise: float = param(
        0.0, "standard deviation of Gaussian noise, uniform in 0 to this", unit="share of the grey scale", ge=0, le=0.5
    )


class Optimiser(Strict):
    learning_rate: Rate = param(0.002, "the highest rate of AdamW")
    encoder_factor: Rate = param(1.0, "the encoder's learning rate as a share of this rate")
    frozen_epochs: int = param(0, "at the start, in which the encoder's learning rate is 0", unit="epochs", ge=0)
    schedule: Literal["cosine", "constant"] = param("cosine", "of the learning rate after the warm-up")
    warmup: float = param(0.3, "linear rise of the rate", unit="share of all steps", ge=0, lt=1)
    weight_decay: Share = param(0.01, "AdamW's")
    clip: float = param(1.0, "the gradient's norm is cut to this", gt=0, le=1e6)
    ema: float = param(0.0, "decay of a moving average of the weights, which is then kept; 0: no average", ge=0, lt=1)


class Loop(Strict):
    epochs: int = param(24, "the paper does not say how many", ge=1, le=10_000)
    batch: int = param(8, "per step", unit="films", ge=1, le=4096)
    select: Literal["best", "last"] = param("best", "the epoch of the best validation Dice, or the last one")
    precision: Literal["portable", "auto", "bf16", "fp32"] = param(
        "portable",
        "portable: fp32, on a CPU with no instruction beyond AVX2, meant to give the same bytes on every x86-64 "
        "machine with AVX2; auto: bf16 where the hardware has it, else fp32",
    )
    accelerator: Literal["auto", "cpu"] = param("auto", "auto takes a GPU where there is one")
    threads: int = param(2, "part of the result, since they order the sums", unit="CPU threads", ge=1, le=1024)
    devices: int = param(1, "GPUs, or processes where there is none; they share a batch", ge=1, le=1024)
    cuda_graph: bool = param(False, "one GPU repeats the step as a CUDA graph; never tried on a GPU")


class Params(Strict):
    seeds: list[Annotated[int, Field(ge=0, le=2**32 - 1)]] = param(
        [1], "both variants are trained from each: initial weights, order, augmentation", min_length=1
    )
    network: AnyNetwork = param(Pyramid(), "a class of segmentation-models-pytorch; the paper's is Unet")
    loss: Loss = Loss()
    augment: Augment = Augment()
    optimiser: Optimiser = Optimiser()
    loop: Loop = Loop()
    baseline: LossWeights = param(Fixed(), "the loss is alpha(t) Dice + beta(t) BCE; the paper gives no numbers")
    adaptive: LossWeights = param(Linear(), "as for the baseline")

    @property
    def portable(self) -> bool:
        """Whether the process must keep torch to AVX2."""
        return self.loop.precision == "portable"

    @model_validator(mode="after")
    def check(self) -> "Params":
        if len(set(self.seeds)) < len(self.seeds):
            raise ValueError("seeds names one twice; the same training twice shows nothing")
        if self.network.compile and self.portable:
            raise ValueError("network.compile makes code for the processor at hand; set loop.precision to another")
        if self.network.compile and self.loop.cuda_graph:
            raise ValueError("network.compile and loop.cuda_graph both decide how a step is started; set one to false")
        if self.optimiser.frozen_epochs > self.loop.epochs:
            raise ValueError("optimiser.frozen_epochs exceeds loop.epochs")
        if self.loop.batch < self.loop.devices:
            raise ValueError("loop.batch is shared by loop.devices processes and must not be smaller")
        return self
