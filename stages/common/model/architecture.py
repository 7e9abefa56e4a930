"""The section `train.network` of params.yaml, which model.json repeats: what `network.build` makes a network of."""

from pathlib import PurePosixPath
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, TypeAdapter, model_validator

from stages.common.core.params import Alternative, ByName, param
from stages.common.data.layout import CHANNELS, ENCODERS, Input

CLASS = "class of segmentation-models-pytorch"
EMBEDDED = "tu-tf_efficientnet_lite0"  # the encoder whose ImageNet weights an installed package brings
ENCODER = "any encoder of segmentation-models-pytorch, or of timm behind tu-"


class Network(Alternative):
    """An architecture of segmentation-models-pytorch, by the name of its class."""

    tag: ClassVar[str] = "architecture"

    architecture: str
    encoder: str = param("resnet18", ENCODER, min_length=1)
    weights: str = param(
        "none",
        "none (random) | imagenet | PATH.safetensors; what the encoder starts from; `wrist fetch weights` brings and "
        "pins what the installation lacks",
        min_length=1,
    )
    input: Input = param("image", "the film, its multilevel map, or both as two channels (the paper: unclear)")
    compile: bool = param(False, "torch.compile; a minute of warm-up, and slower on a CPU")

    @property
    def in_channels(self) -> int:
        """Channels of a film: one for each kind of picture."""
        return len(CHANNELS[self.input])

    @property
    def pretrained(self) -> bool:
        """Whether the encoder starts from weights that saw photographs, and so from films in three channels."""
        return self.weights != "none"

    @property
    def weight_file(self) -> str:
        """The file, from the project's root, that the encoder starts from; blank where an installed package has it."""
        if not self.pretrained or (self.weights == "imagenet" and self.encoder == EMBEDDED):
            return ""
        return str(ENCODERS / f"{self.encoder}.safetensors") if self.weights == "imagenet" else self.weights

    @model_validator(mode="after")
    def check_weights(self) -> "Network":
        path = PurePosixPath(self.weights)
        inside = not path.is_absolute() and ".." not in path.parts and str(path) == self.weights
        if self.weights not in ("none", "imagenet") and not (inside and path.suffix == ".safetensors"):
            raise ValueError(
                "weights must be none, imagenet or the path of a .safetensors file from the project's root, below it "
                "and in its shortest form"
            )
        if self.pretrained and self.in_channels > 1:
            raise ValueError(f"input {self.input} has no weights to start from; set input: image, or weights: none")
        return self


class Pyramid(Network):
    """Architectures whose decoder has chosen channels at each level; the paper's is Unet."""

    architecture: Literal["Unet", "UnetPlusPlus", "MAnet"] = param("Unet", CLASS)
    encoder: str = param("tu-resnet10t", ENCODER, min_length=1)
    channels: list[Annotated[int, Field(ge=1, le=1024)]] = param(
        [64, 32, 16, 16, 8],
        "of the decoder, from the deepest level up; as many as the encoder is deep",
        min_length=3,
        max_length=5,
    )


class Preset(Network):
    """Architectures with the decoder and the depth that the library gives them."""

    architecture: Literal[
        "Linknet", "FPN", "PSPNet", "DeepLabV3", "DeepLabV3Plus", "PAN", "UPerNet", "Segformer", "DPT"
    ] = param(..., CLASS)


AnyNetwork = Annotated[Pyramid | Preset, Field(discriminator="architecture"), ByName("architecture")]


def read_network(content: Any) -> Network:
    """A section `train.network` from plain values, or from an architecture's name.

    Raises:
        ValidationError: no network is described by them.
    """
    return TypeAdapter[Network](AnyNetwork).validate_python(content)
