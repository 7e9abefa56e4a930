"""The section `threshold` of params.yaml."""

from typing import Literal

from stages.common.core.params import Strict, param

Criterion = Literal["otsu", "cross_entropy", "kapur"]


class Params(Strict):
    criterion: Criterion = param("otsu", "what the best split optimises; the paper cites cross entropy")
    classes: int = param(4, "the paper does not say how many", unit="grey levels", ge=2, le=16)
