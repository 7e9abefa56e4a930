"""The section `ingest` of params.yaml."""

from typing import Annotated, Literal

from pydantic import Field

from stages.common.params import Strict

Source = Literal["sample", "kaggle", "hospital", "folder"]


class Sample(Strict):
    seed: Annotated[int, Field(ge=0)]
    films: Annotated[int, Field(ge=16, le=100_000)]
    width: Annotated[int, Field(ge=96, le=4096)]


class Params(Strict):
    sources: Annotated[list[Source], Field(min_length=1)]
    inbox: Annotated[str, Field(min_length=1)]
    annotations: Literal["yolo", "voc", "coco"]
    licence: Annotated[str, Field(min_length=1)]
    sample: Sample
