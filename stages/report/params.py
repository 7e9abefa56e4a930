"""The section `report` of params.yaml."""

from typing import Annotated

from pydantic import Field

from stages.common.core.params import Strict, param

Share = Annotated[float, Field(ge=0, le=1)]


class Tolerance(Strict):
    """When one of the paper's claims counts as reproduced."""

    score: Share = param(0.05, "our score may differ by this from the published one")
    prevalence: Share = param(0.1, "where the share of fracture pixels differs by more, scores do not compare")
    rounding: Share = param(0.0001, "a published figure may differ by this from what the paper's other figures give")


class Params(Strict):
    tolerance: Tolerance = Tolerance()
