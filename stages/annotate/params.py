"""The section `annotate` of params.yaml."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from stages.common.core.params import Alternative, ByName, Strict, param

Mask = Literal["box", "polygon", "box_levels"]


SEED = param(11, "of the draws", ge=0)
VALIDATION = param(20, "taken out of the train films; chooses the epoch that is kept", unit="films", ge=1)


class Drawn(Alternative):
    """Whole patients, drawn from the seed, alike in source and fractures on both sides."""

    tag: ClassVar[str] = "by"
    by: Literal["drawn"] = "drawn"
    seed: int = SEED
    train: int = param(120, "the paper's number", unit="films", ge=2)
    test: int = param(40, "the paper's number", unit="films", ge=1)
    validation: int = VALIDATION

    @model_validator(mode="after")
    def check_sizes(self) -> "Drawn":
        if self.validation >= self.train:
            raise ValueError("validation is taken out of train and must be smaller")
        return self


class Given(Alternative):
    """As the source's own table says; validation films are the source's, or drawn where it names none."""

    tag: ClassVar[str] = "by"
    by: Literal["given"] = "given"
    seed: int = SEED
    validation: int = VALIDATION


Split = Annotated[Drawn | Given, Field(discriminator="by"), ByName("by")]


class Params(Strict):
    mask: Mask = param(
        "box",
        "box: the filled box (the paper's label); polygon: what was drawn, where that is a polygon; box_levels: the "
        "part of the box whose grey level is another than that of the bone around it",
    )
    split: Split = param(Drawn(), "how films are dealt to train, validation and test")
