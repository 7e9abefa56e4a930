"""The section `evaluate` of params.yaml."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from stages.common.core.params import Strict, param


class Params(Strict):
    folds: list[Annotated[int, Field(ge=1)]] = param(
        [1],
        "1 is the split of annotate; of 160 films there are 4 of 40, and [1, 2, 3, 4] tests each film once",
        min_length=1,
    )
    threshold: Annotated[float, Field(gt=0, lt=1)] | Literal["validation"] = param(
        0.5,
        "a pixel whose probability reaches it is called fracture; validation: the one with the best pooled F1 of the "
        "validation films",
    )
    temperature: Literal["none", "validation"] = param(
        "none", "validation: logits are divided by the number that fits the validation films best"
    )
    mirror: bool = param(False, "probabilities are means over a film and its mirror image, left to right")
    boundary_px: float = param(
        3.0, "outlines no further apart agree (normalised surface Dice)", unit="pixels", ge=0, le=1000
    )
    accelerator: Literal["auto", "cpu"] = param("auto", "auto takes a GPU where there is one; never tried on a GPU")

    @model_validator(mode="after")
    def check_folds(self) -> "Params":
        if len(set(self.folds)) < len(self.folds):
            raise ValueError("folds names one twice; its films would count twice")
        return self
