"""The section `annotate` of params.yaml."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from stages.common.core.params import Strict

Mask = Literal["box", "polygon", "box_levels"]


class Split(Strict):
    by: Literal["drawn", "given"]
    seed: Annotated[int, Field(ge=0)]
    train: Annotated[int, Field(ge=2)]
    test: Annotated[int, Field(ge=1)]
    validation: Annotated[int, Field(ge=1)]

    @model_validator(mode="after")
    def check_sizes(self) -> "Split":
        if self.validation >= self.train:
            raise ValueError("validation is taken out of train and must be smaller")
        return self


class Params(Strict):
    mask: Mask
    split: Split
