"""The section `evaluate` of params.yaml."""

from typing import Annotated

from pydantic import Field

from stages.common.params import Strict


class Params(Strict):
    threshold: Annotated[float, Field(gt=0, lt=1)]
