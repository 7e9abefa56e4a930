"""The section `evaluate` of params.yaml."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from stages.common.core.params import Strict


class Params(Strict):
    folds: Annotated[list[Annotated[int, Field(ge=1)]], Field(min_length=1)]
    threshold: Annotated[float, Field(gt=0, lt=1)] | Literal["validation"]
    temperature: Literal["none", "validation"]
    boundary_px: Annotated[float, Field(ge=0, le=1000)]

    @model_validator(mode="after")
    def check_folds(self) -> "Params":
        if len(set(self.folds)) < len(self.folds):
            raise ValueError("folds names one twice; its films would count twice")
        return self
