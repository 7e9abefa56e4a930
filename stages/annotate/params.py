"""The section `annotate` of params.yaml."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from stages.common.core.params import Alternative, ByName, Strict, param

Mask = Literal["box", "polygon", "box_levels"]


SEED = param(11, "of the draws", ge=0)
VALIDATION = param(
    20, "as a count or as a share of the train films, of which they are taken; chooses the epoch that is kept"
)
Validation = Annotated[int, Field(ge=1)] | Annotated[float, Field(gt=0, le=0.5)]


def count_validation(validation: int | float, train: int) -> int:
    """The validation films among `train` train films: a count as it is, of a share at least one."""
    return validation if isinstance(validation, int) else max(1, round(validation * train))


class Drawn(Alternative):
    """Whole patients, drawn from the seed, alike in source and fractures on both sides."""

    tag: ClassVar[str] = "by"
    by: Literal["drawn"] = "drawn"
    seed: int = SEED
    train: int = param(120, "the paper's number", unit="films", ge=2)
    test: int = param(40, "the paper's number", unit="films", ge=1)
    validation: Validation = VALIDATION

    @model_validator(mode="after")
    def check_sizes(self) -> "Drawn":
        if 2 * count_validation(self.validation, self.train) > self.train:
            raise ValueError(
                f"validation must be at most half of the {self.train} train films, found {self.validation}"
            )
        return self


class Given(Alternative):
    """As the source's own table says; validation films are the source's, or drawn where it names none."""

    tag: ClassVar[str] = "by"
    by: Literal["given"] = "given"
    seed: int = SEED
    validation: Validation = VALIDATION


Split = Annotated[Drawn | Given, Field(discriminator="by"), ByName("by")]


class Params(Strict):
    mask: Mask = param(
        "box",
        "box: the filled box (the paper's label); polygon: what was drawn, where that is a polygon; box_levels: the "
        "part of the box whose grey level is another than that of the bone around it",
    )
    split: Split = param(Drawn(), "how films are dealt to train, validation and test")
    need_fractures: bool = param(
        True,
        "whether a train, validation or test side without a fracture, of a fold of evaluate.folds, is an error; false: "
        "it is meant",
    )
