"""The section `evaluate` of params.yaml."""

from typing import Annotated, Literal

from pydantic import Field

from stages.common.params import Strict


class Params(Strict):
    threshold: Annotated[float, Field(gt=0, lt=1)] | Literal["validation"]
    boundary_px: Annotated[float, Field(ge=0, le=1000)]
