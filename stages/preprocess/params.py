"""The section `preprocess` of params.yaml."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from stages.common.core.params import Alternative, ByName, Strict, param

Odd = Literal[3, 5, 7, 9, 11, 13, 15]


class StepParams(Alternative):
    """A step and its keys. Those of MATLAB's functions bear their names and have their defaults."""

    tag: ClassVar[str] = "step"


class Crop(StepParams):
    """Cut to the limb."""

    step: Literal["crop"] = "crop"
    level: float = param(0.15, "above it is limb", unit="share of the range from background to bright bone", gt=0, lt=1)
    margin: float = param(0.04, "added all round", unit="share of the limb's longer side", ge=0, le=0.5)


class Mat2gray(StepParams):
    """Minimum to black, maximum to white."""

    step: Literal["mat2gray"] = "mat2gray"


class Imresize(StepParams):
    """Bicubic to the square of `size`."""

    step: Literal["imresize"] = "imresize"


class Stretch(StepParams):
    low: float
    high: float

    @model_validator(mode="after")
    def check_order(self) -> "Stretch":
        if self.low >= self.high:
            raise ValueError("low must be below high")
        return self


class Imadjust(Stretch):
    """Contrast stretch between two quantiles."""

    step: Literal["imadjust"] = "imadjust"
    low: float = param(0.01, "quantile that becomes black", ge=0, lt=1)
    high: float = param(0.99, "quantile that becomes white", gt=0, le=1)


class Window(Stretch):
    """Contrast stretch between two percentiles, interpolated; the field's habit in place of imadjust."""

    step: Literal["window"] = "window"
    low: float = param(0.5, "percentile that becomes black", ge=0, lt=100)
    high: float = param(99.5, "percentile that becomes white", gt=0, le=100)


class Medfilt2(StepParams):
    """Median filter."""

    step: Literal["medfilt2"] = "medfilt2"
    window_px: Odd = param(3, "side of the median's window", unit="pixels")


class Bilateral(StepParams):
    """Edge-keeping filter; in place of medfilt2."""

    step: Literal["bilateral"] = "bilateral"
    window_px: Odd = param(5, "side of the window", unit="pixels")
    sigma_level: float = param(0.1, "what differs by more is an edge", unit="share of the grey scale", gt=0, le=1)
    sigma_px: float = param(2.0, "reach of the smoothing", unit="pixels", gt=0, le=100)


class Histeq(StepParams):
    """Histogram equalisation."""

    step: Literal["histeq"] = "histeq"
    levels: int = param(64, "in the output", unit="grey levels", ge=2, le=256)


class Clahe(StepParams):
    """Contrast-limited adaptive equalisation; in place of histeq."""

    step: Literal["clahe"] = "clahe"
    clip: float = param(2.0, "OpenCV's clip limit", unit="multiples of an even histogram", gt=0, le=100)
    tiles: int = param(8, "along each side", unit="tiles", ge=1, le=64)


Step = Annotated[
    Crop | Mat2gray | Imresize | Imadjust | Window | Medfilt2 | Bilateral | Histeq | Clahe,
    Field(discriminator="step"),
    ByName("step"),
]


class Params(Strict):
    size: int = param(
        256, "side of the square that train and test images have", unit="pixels", ge=32, le=2048, multiple_of=32
    )
    steps: list[Step] = param(
        [Crop(), Mat2gray(), Imresize(), Imadjust(), Medfilt2(), Histeq()],
        "in this order, each at most once; imresize is needed, and crop comes before it",
    )

    @model_validator(mode="after")
    def check_steps(self) -> "Params":
        names = [step.step for step in self.steps]
        if len(set(names)) != len(names) or "imresize" not in names:
            raise ValueError("steps must name `imresize` and no step twice")
        if "crop" in names and names.index("crop") > names.index("imresize"):
            raise ValueError("steps must name `crop` before `imresize`, which gives the square its size")
        return self
