"""Layers that timm has of its own, as training needs them: with portable gradients, and with shared statistics."""

from timm.layers.conv2d_same import Conv2dSame
from timm.layers.norm_act import BatchNormAct2d, convert_sync_batchnorm
from timm.layers.padding import pad_same
from torch import Tensor

from stages.train.devices import normalise_shared
from stages.train.strided_convolution import StridedConvolution

__all__ = ["BatchNormAct2d", "Conv2dSame", "PortableConv2dSame", "SharedBatchNormAct", "convert_sync_batchnorm"]


class PortableConv2dSame(Conv2dSame):
    """A strided convolution with TensorFlow's padding, which hangs on the film's size, and a portable gradient."""

    def forward(self, x: Tensor) -> Tensor:
        films = pad_same(x, list(self.weight.shape[-2:]), list(self.stride), list(self.dilation))
        result: Tensor = StridedConvolution.apply(films, self.weight, self)
        return result if self.bias is None else result + self.bias[:, None, None]


class SharedBatchNormAct(BatchNormAct2d):
    """Batch normalisation over all processes, with the dropout and the activation that timm's layer holds."""

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return super().forward(x)  # type: ignore[no-any-return, no-untyped-call]
        result: Tensor = self.act(self.drop(normalise_shared(self, x)))
        return result
