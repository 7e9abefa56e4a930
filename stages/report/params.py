"""The section `report` of params.yaml."""

from typing import Annotated

from pydantic import Field

from stages.common.core.params import Strict

Share = Annotated[float, Field(ge=0, le=1)]


class Tolerance(Strict):
    score: Share
    prevalence: Share
    rounding: Share


class Params(Strict):
    tolerance: Tolerance
