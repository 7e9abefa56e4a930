"""The section `threshold` of params.yaml."""

from typing import Annotated, Literal

from pydantic import Field

from stages.common.core.params import Strict

Criterion = Literal["otsu", "cross_entropy", "kapur"]


class Params(Strict):
    criterion: Criterion
    classes: Annotated[int, Field(ge=2, le=16)]
